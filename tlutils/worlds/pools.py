"""A pool of coloured letters or photographs without labels, and a few with labels: what chapters 6 and 7 learn from."""
import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tlutils import data, selfsup
from tlutils.worlds.sources import GLYPHS, world
from tlutils.worlds.tasks import tensors


@dataclass(frozen=True)
class Pool:
    """The images: x to learn from without labels, a few with labels, and a test set for the last look.

    `other` holds the class of those pool images that belong to no target class, and -1 for the rest: it is for
    supervised pretraining alone.
    """

    x: Tensor
    other: Tensor
    x_labelled: Tensor
    y_labelled: Tensor
    x_test: Tensor
    y_test: Tensor

    def few(self, n: int, seed: int) -> Tensor:
        """Return the places of n labelled images of each class, drawn by the seed."""
        return torch.as_tensor(data.subset_per_class(self.y_labelled.cpu().numpy(), n, seed), device=self.x.device)

    def repainted(self, paint: str) -> "Pool":
        """Return the pool, labelled and test images too, in "grey", or "even", grey of one mean and contrast.

        Convention: grey is the brightness in three equal channels; even images have mean 0 and standard deviation 0.8;
            "colour" leaves all as it is.
        Errors: ValueError for another paint.
        """
        if paint == "colour":
            return self
        if paint not in ("grey", "even"):
            raise ValueError(f"paint must be colour, grey or even, got {paint!r}")
        done = {}
        for name in ("x", "x_labelled", "x_test"):
            x = getattr(self, name)
            x = torch.einsum("c,nchw->nhw", x.new_tensor(selfsup.views.GREY), x)[:, None]
            if paint == "even":
                x = 0.8 * (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True)
            done[name] = x.repeat(1, 3, 1, 1).contiguous(memory_format=torch.channels_last)
        return dataclasses.replace(self, **done)


def pool(name: str, seed: int, *, n_pool: int, n_classes: int, n_other: int, n_labelled: int, n_test: int,
         side: int) -> Pool:
    """Return the images of one seed: n_pool of n_classes + n_other classes, n_labelled of each of n_classes, and tests.

    Convention: glyphs (Latin letters; Greek and Cyrillic ones as others) are drawn anew for pool, labelled and test
        images. Of CIFAR-100 the labelled images are a part of the pool, and the test images are those of its test set.
    Errors: ValueError for another world, or more classes than it holds.
    """
    if world(name) is GLYPHS:
        target, others = data.glyph_classes("latin"), data.glyph_classes("greek") + data.glyph_classes("cyrillic")
        _enough(n_classes, n_other, len(target), len(others))
        target, others = target[:n_classes], others[:n_other]
        x, y = data.colour_glyphs(target + others, n_pool, 10 * seed, side=side)
        few = data.colour_glyphs(target, n_labelled * n_classes, 10 * seed + 1, side=side)
        test = data.colour_glyphs(target, n_test, 10 * seed + 2, side=side)
    else:
        real = data.load("cifar100", download=True)
        _enough(n_classes, n_other, n_classes, 100 - n_classes)
        order = np.random.default_rng(seed).permutation(100)[: n_classes + n_other]
        x, y = data.select_classes(real.train_images, real.train_labels, order)
        kept = np.random.default_rng(seed).permutation(len(x))[:n_pool]
        keep = data.subset_per_class(y[y < n_classes], n_labelled, seed)
        few = x[y < n_classes][keep], y[y < n_classes][keep]
        x, y = x[kept], y[kept]
        images, labels = data.select_classes(real.test_images, real.test_labels, order[:n_classes])
        test = images[:n_test], labels[:n_test]
    return Pool(*tensors(x, np.where(y < n_classes, -1, y - n_classes)), *tensors(*few), *tensors(*test))


def _enough(n_classes: int, n_other: int, most: int, most_other: int) -> None:
    if n_classes > most or n_other > most_other:
        raise ValueError(f"n_classes and n_other must be at most what the world holds ({most} and {most_other}), got "
                         f"{n_classes} and {n_other}")
