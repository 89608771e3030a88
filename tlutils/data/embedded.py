"""Data sets that are always at hand: rendered glyphs, and what scikit-learn brings along."""
import numpy as np
import torch

from tlutils.data.dataset import Dataset
from tlutils.data.glyphs import LETTERS, glyph_classes, glyphs


def load_glyphs() -> Dataset:
    """Sixty letters, the first twelve classes of each alphabet: 6,000 train and 3,000 test images, 24 x 24.

    Convention: fixed seeds, so every reader has the same images; extras["scripts"] names the script of each class.
    """
    classes = [c for script in LETTERS for c in glyph_classes(script)[:12]]
    (x, y), (x_test, y_test) = glyphs(classes, 6000, seed=0), glyphs(classes, 3000, seed=1)
    return Dataset("glyphs", x, y, x_test, y_test, np.array(classes), {"scripts": np.repeat(LETTERS, 12)})


def load_digits() -> Dataset:
    """Real handwriting: scikit-learn's 1,797 digits of 8 x 8, enlarged to 20 x 20 and padded to 24 x 24.

    Convention: grey levels 0..16 become 0..255, bilinear; one fixed stratified split, 900 train and 897 test.
    """
    from sklearn import datasets, model_selection
    source = datasets.load_digits()
    x = torch.from_numpy(source.images).float()[:, None] * (255 / 16)            # (1797, 1, 8, 8)
    x = torch.nn.functional.interpolate(x, size=20, mode="bilinear", align_corners=False)
    x = torch.nn.functional.pad(x, (2, 2, 2, 2))[:, 0].round().to(torch.uint8).numpy()
    y = source.target.astype(np.int64)
    train, test = model_selection.train_test_split(np.arange(len(y)), train_size=900, stratify=y, random_state=0)
    return Dataset("digits", x[train], y[train], x[test], y[test], np.array([str(d) for d in range(10)]))


def load_photos(n_train: int = 2000, n_test: int = 1000, side: int = 32) -> Dataset:
    """Colour patches of scikit-learn's two photographs; the label says which photograph, 0 china or 1 flower.

    Convention: places at random from a fixed seed. Training patches lie wholly in the left 60 % of a photograph and
    test patches wholly in the rest, so no pixel is in both.
    """
    from sklearn.datasets import load_sample_images
    photos = load_sample_images().images                                         # two of (427, 640, 3)
    rng = np.random.default_rng(0)

    def patches(n, first, last):
        labels = rng.permutation(np.arange(n) % 2)
        tops = rng.integers(0, photos[0].shape[0] - side + 1, n)
        lefts = rng.integers(first, last - side + 1, n)
        cut = [photos[k][i:i + side, j:j + side] for k, i, j in zip(labels, tops, lefts, strict=True)]
        return np.stack(cut), labels

    width = photos[0].shape[1]
    edge = int(0.6 * width)
    return Dataset("photos", *patches(n_train, 0, edge), *patches(n_test, edge, width), np.array(["china", "flower"]))
