"""LFC (Deshpande et al. 2021): does the kernel of the features agree with the kernel of the labels?"""
import math

from tlutils.transferability._summary import Summary
from tlutils.transferability.moments import summary_of


def lfc(features, labels=None) -> float:
    """Return the label-feature correlation: the cosine between two n x n kernels, each less its mean entry.

    Equation: cos(K - mean K, L - mean L), K = X X^T, L_ij = 1 for the same class, else -1     (Deshpande et al. 2021)
    Shapes: features (n, d), labels (n,) integers, or ClassMoments alone -> a float in [-1, 1].
    Convention: features are not centred, and one number is taken off all entries, not row and column means. Written
        in class sums and one d x d Gram matrix, so the n x n kernels are never built. The paper takes gradients of a
        network as features; any features will do here.
    Errors: ValueError for bad shapes or values, fewer than two classes, constant features.
    Example:
        >>> round(lfc([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0, 0, 1]), 6)    # one-hot features
        1.0
    """
    return lfc_of(summary_of(features, labels))


def lfc_of(s: Summary) -> float:
    """Return LFC of a summary. With x = mu + z: K_ij - mean K = mu.z_i + mu.z_j + z_i.z_j, and these are orthogonal."""
    if len(s.counts) < 2:
        raise ValueError(f"labels must hold at least two classes, got {len(s.counts)}")
    if float(s.scatter.trace()) == 0:
        raise ValueError(f"features must not be constant, got the same row {s.n} times")
    kk = 2 * s.n * s.mean @ s.scatter @ s.mean + s.scatter.square().sum()
    if not 0 < float(kk) < math.inf:
        raise ValueError("features must be of a size whose fourth power float64 holds, got a variance of "
                         f"{float(s.scatter.trace()) / s.n}")
    kl = 2 * (s.sums.square().sum() + 2 * s.counts @ (s.sums @ s.mean))
    ll = s.n**2 - (2 * float(s.counts.square().sum()) - s.n**2) ** 2 / s.n**2
    return max(-1.0, min(1.0, float(kl) / math.sqrt(float(kk) * ll)))
