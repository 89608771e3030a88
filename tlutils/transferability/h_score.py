"""H-Score (Bao et al. 2019): how much of the features' variance, seen on equal terms, lies between the classes."""
import math

import torch
from torch import Tensor

from tlutils.transferability._summary import Summary
from tlutils.transferability.moments import summary_of


def h_score(features, labels=None, *, shrinkage: bool = False) -> float:
    """Return the H-Score, between 0 and the number of classes minus 1.

    Equation: H = tr(cov(f)^+ cov(E[f | y]))    (Bao et al. 2019)
        shrinkage: tr(S_a^+ (1 - a) cov(E[f | y])), S_a = (1 - a) S + a tr(S)/d I      (Ibrahim et al. 2022)
    Shapes: features (n, d), labels (n,) integers, or ClassMoments alone -> a float.
    Convention: the plain score is the sum of squared canonical correlations with the classes, so any invertible linear
        map of the features leaves it alone; with n <= d it says nothing (in general C - 1). Directions under
        max(n, d) * 2.2e-16 of the largest eigenvalue of the correlations count as empty. Shrinkage: a as in
        Ledoit & Wolf, S divided by n and cov(E[f | y]) by n - 1, as the published code has it.
    Errors: ValueError for bad shapes or values; shrinkage of constant features.
    Example:
        >>> round(h_score([[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1]), 4)    # 16 / 17 of the variance
        0.9412
    """
    return h_of(summary_of(features, labels, about="mean" if shrinkage else "first"), shrinkage)


def h_of(s: Summary, shrinkage: bool) -> float:
    """Return the score of a summary; shrinkage needs its quartic."""
    between = s.sums / s.counts.sqrt()[:, None]  # between^T between is the scatter of the class means
    limit = max(s.n, s.d) * torch.finfo(s.scatter.dtype).eps
    if not shrinkage:
        return _explained(s.scatter, between, limit, standardise=s.n >= s.d)
    a = ledoit_wolf(s)
    cov = (1 - a) / s.n * s.scatter
    cov.diagonal().add_(a * s.scatter.trace() / (s.n * s.d))
    return (1 - a) / (s.n - 1) * _explained(cov, between, limit, standardise=False)


def ledoit_wolf(s: Summary) -> float:
    """Return Ledoit & Wolf's intensity in closed form: the share of noise in the spread of the eigenvalues."""
    trace, square = float(s.scatter.trace()), float(s.scatter.square().sum())
    if trace == 0:
        raise ValueError(f"features must not be constant, got the same row {s.n} times")
    if not math.isfinite(s.quartic):
        raise ValueError(f"features must be small enough for their fourth power, got a variance of {trace / s.n}")
    mu = trace / (s.n * s.d)
    beta = (s.quartic / s.n - square / s.n**2) / (s.n * s.d)
    delta = (square / s.n**2 - 2 * mu * trace / s.n + s.d * mu**2) / s.d
    return min(max(beta, 0.0), delta) / delta if s.d > 1 and beta > 0 and delta > 0 else 0.0


def _explained(scatter: Tensor, between: Tensor, limit: float, standardise: bool) -> float:
    """Return tr(scatter^+ between^T between) by Cholesky, or by eigenvalues where correlations are near singular."""
    std = scatter.diagonal().sqrt() if standardise else torch.ones_like(scatter[0])  # a turned matrix has empty columns
    std = torch.where(std > 0, std, 1.0)
    corr, m = scatter / std / std[:, None], between / std
    factor, failed = torch.linalg.cholesky_ex(corr)
    diagonal = factor.diagonal()
    if not failed and diagonal.min() > 1e-5 * diagonal.max():
        return float(torch.linalg.solve_triangular(factor, m.T, upper=False).square().sum())
    values, vectors = torch.linalg.eigh(corr)
    keep = values > limit * values[-1]
    return float(((m @ vectors[:, keep]).square() / values[keep]).sum())
