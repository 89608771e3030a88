"""The one shape in which every data set of the book comes."""
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Dataset:
    """Images and labels of one data set, split into train and test.

    Images are uint8, (n, h, w) for grey or (n, h, w, 3) for colour. Labels are int64 indices into `classes`, an array
    of strings. `extras` holds what only this set has: `train_coarse`, `test_coarse` and `superclasses` for CIFAR-100,
    `scripts` for glyphs. Errors: ValueError if images and labels do not fit together.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: np.ndarray
    extras: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        for split, images, labels in (("train", self.train_images, self.train_labels),
                                      ("test", self.test_images, self.test_labels)):
            colour = images.ndim == 4 and images.shape[-1] == 3
            if images.dtype != np.uint8 or not (images.ndim == 3 or colour):
                raise ValueError(f"{split}_images must be uint8 (n, h, w) or (n, h, w, 3), "
                                 f"got {images.dtype} {images.shape}")
            if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
                raise ValueError(f"{split}_labels must be int64 ({len(images)},), got {labels.dtype} {labels.shape}")
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
                raise ValueError(f"{split}_labels must lie in 0..{len(self.classes) - 1}, "
                                 f"got {labels.min()}..{labels.max()}")
