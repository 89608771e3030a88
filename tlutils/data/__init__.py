"""Data sets: embedded ones that need no network, real ones through torchvision, and ways to cut and change them."""
from tlutils.data.captions import captions, held_out_pairs, letter_pictures, tokenize
from tlutils.data.catalogue import load
from tlutils.data.colour import colour_glyphs
from tlutils.data.dataset import Dataset
from tlutils.data.domains import mnist_m, photo_strips, rendered_digits
from tlutils.data.folder import image_folder
from tlutils.data.glyphs import FACES, SCRIPTS, glyph_classes, glyphs, script_of
from tlutils.data.real import data_root
from tlutils.data.reviews import bag_of_words, numbered, reviews, vocabulary
from tlutils.data.smears import CLASSES as SMEARS
from tlutils.data.smears import smears
from tlutils.data.splits import select_classes, split_classes, subset_per_class
from tlutils.data.textures import gratings
from tlutils.data.transforms import augment, to_tensor

__all__ = ["FACES", "SCRIPTS", "SMEARS", "Dataset", "augment", "bag_of_words", "captions", "colour_glyphs", "data_root",
           "glyph_classes", "glyphs", "gratings", "held_out_pairs", "image_folder", "letter_pictures", "load",
           "mnist_m", "numbered", "photo_strips", "rendered_digits", "reviews", "script_of", "select_classes", "smears",
           "split_classes", "subset_per_class", "to_tensor", "tokenize", "vocabulary"]
