"""Domain shifts: the same digits in print and on photographs."""
from collections.abc import Sequence

import numpy as np

from tlutils.data.glyphs import glyphs
from tlutils.env import check_seed


def mnist_m(digits: np.ndarray, photos: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Lay digits over random patches of photographs: the difference of the two, in colour.

    Equation: |patch - digit|, channel by channel; where the digit is bright the patch is inverted   (Ganin et al. 2016)
    Shapes: digits uint8 (n, h, w), bright on black; photos uint8 (H, W, 3), each at least h x w; -> uint8 (n, h, w, 3).
    Convention: the photograph and the place of each patch are uniform; the same seed gives the same images.
    Errors: ValueError for other shapes or types, no photograph, or one that is too small.
    """
    digits = np.asarray(digits)
    if digits.ndim != 3 or digits.dtype != np.uint8:
        raise ValueError(f"digits must be uint8 (n, h, w), got {digits.dtype} {digits.shape}")
    _, h, w = digits.shape
    photos = [np.asarray(photo) for photo in photos]
    for photo in photos:
        fits = photo.ndim == 3 and photo.shape[2] == 3 and photo.shape[0] >= h and photo.shape[1] >= w
        if not fits or photo.dtype != np.uint8:
            raise ValueError(f"photos must be uint8 (H, W, 3) of at least {h} x {w}, got {photo.dtype} {photo.shape}")
    if not photos:
        raise ValueError("photos must hold at least one photograph, got none")
    rng = np.random.default_rng(check_seed(seed))
    mixed = np.empty((*digits.shape, 3), np.uint8)
    for i, which in enumerate(rng.integers(len(photos), size=len(digits))):
        photo = photos[which]
        top, left = rng.integers(photo.shape[0] - h + 1), rng.integers(photo.shape[1] - w + 1)
        patch = photo[top:top + h, left:left + w].astype(np.int16)                  # (h, w, 3)
        mixed[i] = np.abs(patch - digits[i, :, :, None])
    return mixed


def photo_strips(split: str, *, width: int = 80, enlarge: int = 2) -> list[np.ndarray]:
    """Return strips of scikit-learn's two photographs, enlarged: material for `mnist_m`.

    Shapes: uint8 (854, width, 3) each, for enlarge = 2.
    Convention: the strips stand side by side and go to "train" and "test" in turn, so that no pixel is in both. At
        their own size the photographs' texture is as fine as the strokes of a 24-pixel digit.
    Errors: ValueError for another split, or a width or factor below 1.
    """
    from sklearn.datasets import load_sample_images
    if split not in ("train", "test"):
        raise ValueError(f"split must be train or test, got {split!r}")
    if width < 1 or enlarge < 1:
        raise ValueError(f"width and enlarge must be >= 1, got {width} and {enlarge}")
    strips = []
    for photo in load_sample_images().images:
        large = photo.repeat(enlarge, 0).repeat(enlarge, 1)
        starts = range(0, large.shape[1] - width + 1, width)
        strips += [large[:, start:start + width] for start in starts][("train", "test").index(split)::2]
    return strips


def rendered_digits(n: int, seed: int, *, side: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return n printed digits, bright on black: images uint8 (n, side, side), labels int64 (n,).

    Convention: the faces, sizes, turns and shifts of `glyphs`, at half their spread; full ink, no noise, no background.
    """
    images, labels, drawn = glyphs("0123456789", n, seed, jitter=0.5, noise=0.0, background=0.0, side=side,
                                   return_attributes=True)
    ink = (images.astype(np.float32) / 127.5 - 1) * (drawn["polarity"] / drawn["ink"])[:, None, None]
    return np.clip(np.rint(255 * ink), 0, 255).astype(np.uint8), labels
