"""A task: what a network learns from and is tested on, as tensors on the device of the book."""
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tlutils import data, env


@dataclass(frozen=True)
class Task:
    """Training and test examples of one task; labels are 0 ... n_classes - 1, or numbers where the target is one.

    Shapes: x (n, c, h, w) standardised images, or (n, d); y (n,); the same for x_test and y_test.
    """

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor

    def __iter__(self):
        """Give x, y, x_test, y_test, for  x, y, x_test, y_test = task."""
        return iter((self.x, self.y, self.x_test, self.y_test))

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return int(self.y.max()) + 1

    @property
    def labels(self) -> np.ndarray:
        """The training labels as an array, for what is computed without PyTorch."""
        return self.y.cpu().numpy()

    @property
    def test_labels(self) -> np.ndarray:
        """The test labels as an array."""
        return self.y_test.cpu().numpy()

    def few(self, n: int, seed: int) -> "Task":
        """Return the task with n training examples of each class, drawn by the seed, and all test examples.

        Errors: ValueError if a class has fewer.
        """
        keep = data.subset_per_class(self.labels, n, seed)
        return Task(self.x[keep], self.y[keep], self.x_test, self.y_test)


def task(train_set: tuple[np.ndarray, np.ndarray], test_set: tuple[np.ndarray, np.ndarray]) -> Task:
    """Return (images, labels) to train on, and to test on, as a task on the device of the book."""
    return Task(*tensors(*train_set), *tensors(*test_set))


def tensors(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return images and labels as tensors on the device of the book."""
    where = env.device()
    return data.to_tensor(images, where), torch.as_tensor(labels, device=where)


def changed(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Return the batch with every image a little shifted, turned, resized, and with other light and contrast."""
    return data.augment(batch, generator, shift=2, rotate=0.2, scale=0.15, brightness=0.2, contrast=0.2)
