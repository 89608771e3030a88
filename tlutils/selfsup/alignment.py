"""What is left of contrast without negatives, and a number that shows what then happens: all features become one."""
import torch
from torch import Tensor
from torch.nn import functional as F

from tlutils.arrays import full_precision
from tlutils.selfsup.nt_xent import unit_rows


@full_precision
def alignment_loss(z1: Tensor, z2: Tensor) -> Tensor:
    """Return the mean squared distance of the normalised features of two views, which a constant makes zero.

    Equation: mean of |z1 / |z1| - z2 / |z2||^2 = 2 - 2 cosine               (Wang & Isola 2020, alignment with alpha 2)
    Shapes: (N, d) and (N, d) -> a scalar.
    Convention: computed in float32 at least, whatever the inputs' type and autocast.
    Errors: ValueError for shapes that differ.
    """
    if z1.ndim != 2 or z1.shape != z2.shape or 0 in z1.shape:
        raise ValueError(f"z1 and z2 must be (N, d) with N, d > 0, got {tuple(z1.shape)} and {tuple(z2.shape)}")
    z1, z2 = unit_rows(torch.cat([z1, z2])).chunk(2)
    return 2 - 2 * (z1 * z2).sum(1).mean()


def spread(z: Tensor) -> float:
    """Return how far the directions of features z (n, d) are spread: 1 on the whole sphere, 0 for one direction.

    Equation: sqrt(d) times the mean over coordinates of the standard deviation of z / |z|
    Errors: ValueError unless z is (n, d) with n > 1.

    >>> round(spread(torch.ones(50, 8)), 6)
    0.0
    """
    if z.ndim != 2 or len(z) < 2:
        raise ValueError(f"z must be (n, d) with n > 1, got {tuple(z.shape)}")
    z = F.normalize(z, dim=1)
    return float(z.std(0).mean() * z.shape[1] ** 0.5)
