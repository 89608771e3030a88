"""RSA (Dwivedi & Roig 2019): do two networks find the same pairs of images alike?"""
import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from tlutils.transferability._inputs import Rows


def rsa(features, target_features) -> float:
    """Return the rank correlation between two networks' dissimilarities of all pairs of images.

    Equation: Spearman(D_ij, D'_ij), i < j, with D_ij = 1 - Pearson(x_i, x_j)    (Dwivedi & Roig 2019)
    Shapes: features (n, d) of the source network, target_features (n, d') of a network trained on the target, rows of
        the same images -> a float in [-1, 1].
    Convention: symmetric in its arguments. Cost: O(n^2 d), and first of all a network trained on the target.
    Errors: ValueError for bad shapes or values, fewer than 3 images, a row of equal features, equal dissimilarities.
    Example:
        >>> x = [[0.0, 1.0, 2.0], [0.0, 1.0, 3.0], [5.0, 1.0, 0.0]]
        >>> round(rsa(x, [[2 * v + 1 for v in row] for row in x]), 6)
        1.0
    """
    sides = []
    for x, name in ((features, "features"), (target_features, "target_features")):
        rows = Rows(x, name, least=3)
        z = rows.take(slice(None)).cpu()
        rows.finite(z.square().sum(0))
        sides.append(1 - cosines(z - z.mean(1, keepdim=True), f"{name} without the mean of each row"))
    if len(sides[0]) != len(sides[1]):
        raise ValueError(f"target_features must have {len(sides[0])} rows as features, got {len(sides[1])}")
    return spearman_of_pairs(*sides)


def cosines(z: Tensor, name: str) -> Tensor:
    """Return the cosines (n, n) between the rows of z (n, d). ValueError if a row is zero."""
    norms = torch.linalg.vector_norm(z, dim=1)
    if not (norms > 1e-12 * norms.max()).all():
        raise ValueError(f"{name} must have no zero row, got one at {int(norms.argmin())}")
    z = z / norms[:, None]
    return z @ z.T


def spearman_of_pairs(a: Tensor, b: Tensor) -> float:
    """Return Spearman's correlation between the entries above the diagonals of two (n, n) matrices."""
    above = np.triu_indices(len(a), 1)
    ranks = [rankdata(np.round(side.numpy()[above], 12)) for side in (a, b)]  # rounding must not break ties
    a, b = (r - r.mean() for r in ranks)
    if not a.any() or not b.any():
        raise ValueError(f"features must tell pairs of images apart, got {len(a)} equal similarities")
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))
