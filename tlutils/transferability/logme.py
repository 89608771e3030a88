"""LogME (You et al. 2021): the evidence of a Bayesian linear model from features to targets."""
import math

import numpy as np
import torch
from torch import Tensor

from tlutils.arrays import storage
from tlutils.transferability._blas import add_gram, eigen_components, symmetric
from tlutils.transferability._inputs import Rows
from tlutils.transferability._summary import Summary
from tlutils.transferability.moments import ClassMoments, summary_of


def logme(features, targets=None, *, task: str | None = None, method: str = "exact") -> float:
    """Return the largest log evidence per sample, averaged over classes (one against the rest) or target columns.

    Equation: max_{a,b} 1/n log p(y | X, a, b), y = X w + N(0, 1/b), w ~ N(0, 1/a)    (You et al. 2021)
    Shapes and units: features (n, d); targets (n,) integers, or (n,) or (n, k) floats, or ClassMoments alone -> nats.
    Convention: no centring, no bias. task None: classification if targets are integers. method "exact" takes the
        maximum over t = a/b from a grid and Newton's steps, t no smaller than e^-25 of the largest eigenvalue of X^T X:
        for a perfect fit, where the evidence has no bound. "fixed_point": at most 11 of the published updates, with
        the term -(d - rank)/2 log a that the published code leaves out; this one depends on the scale of the features.
    Errors: ValueError for bad shapes or values, one class, all-zero targets, float targets in classification.
    Example:
        >>> x = [[1.0], [2.0], [3.0], [4.0]]
        >>> logme(x, [1.0, 2.1, 2.9, 4.0]) > logme(x, [4.0, 1.0, 2.1, 2.9])
        True
    """
    if task not in (None, "classification", "regression"):
        raise ValueError(f"task must be 'classification', 'regression' or None, got {task!r}")
    if method not in ("exact", "fixed_point"):
        raise ValueError(f"method must be 'exact' or 'fixed_point', got {method!r}")
    if isinstance(features, ClassMoments) and task == "regression":
        raise ValueError(f"task must be classification with ClassMoments, got {task!r}")
    if isinstance(features, ClassMoments) or task == "classification" or task is None and not _is_float(targets):
        return logme_of(summary_of(features, targets, about="origin", name="targets"), method)
    rows = Rows(features)
    y = Rows(_column(targets), name="targets")
    if y.n != rows.n:
        raise ValueError(f"targets must be ({rows.n},) or ({rows.n}, k), got {tuple(y.x.shape)}")
    y = y.take(slice(None)).to(rows.device)
    narrow, _ = rows.narrow(rows.take(slice(0, 1))[0] * 0)
    onto = y.numpy() if y.device.type == "cpu" else y
    gram, projected = y.new_zeros(narrow.d, narrow.d), y.new_zeros(narrow.d, y.shape[1])
    for part, z in narrow.blocks():
        add_gram(gram, z)
        with np.errstate(invalid="ignore"):  # infinity is refused below
            projected += torch.as_tensor(z.T @ onto[part])
    rows.finite(gram.diagonal())
    square = y.square().sum(0)
    if not bool(torch.isfinite(square).all() and (square > 0).all()):
        raise ValueError(f"targets must be finite and no column all zero, got sums of squares {square.tolist()}")
    s, x2, rest, weights = _components(symmetric(gram), projected, square, rows.n, rows.d, with_weights=True)
    if (rest < 1e-3 * square).any() and len(s) < rows.n:  # a difference of near equals: take the residuals themselves
        weights = weights.numpy() if y.device.type == "cpu" else weights
        rest = torch.as_tensor(sum(((onto[part] - z @ weights) ** 2).sum(0) for part, z in narrow.blocks()))
    return float((_maximum if method == "exact" else _fixed_point)(s, x2, rest, rows.n).mean())


def logme_of(summary: Summary, method: str = "exact") -> float:
    """Return LogME of a summary: targets are 1 for a class and 0 for the others, one class after the other."""
    if len(summary.counts) < 2:
        raise ValueError(f"targets must hold at least two classes, got {len(summary.counts)}")
    gram = torch.addr(summary.scatter, summary.mean, summary.mean, alpha=summary.n)
    sums = torch.addr(summary.sums, summary.counts, summary.mean)
    s, x2, rest, _ = _components(gram, sums.T, summary.counts, summary.n, summary.d)
    return float((_maximum if method == "exact" else _fixed_point)(s, x2, rest, summary.n).mean())


def _components(gram: Tensor, projected: Tensor, square: Tensor, n: int, d: int, with_weights: bool = False):
    """Return the nonzero eigenvalues s (k,) of X^T X, each target's squared components x2 (c, k), what is left of its
    square, and the weights of least squares (d, c) if asked."""
    s, c, back = eigen_components(gram, projected)
    keep = s > max(n, d) * torch.finfo(s.dtype).eps * s[-1]
    weights = back(torch.where(keep[:, None], c / s[:, None], 0.0)) if with_weights else None
    s, c = s[keep], c[keep]
    x2 = (c.square() / s[:, None]).T
    rest = (square - x2.sum(1)).clamp(min=0)
    rest[rest < n * torch.finfo(s.dtype).eps * square] = 0  # rounding
    return s, x2, rest * (len(s) < n), weights


def _maximum(s: Tensor, x2: Tensor, rest: Tensor, n: int) -> Tensor:
    """Return, per target, max_t -1/2 [log 2 pi + 1 + log(q/n)] - 1/(2n) sum log(1 + s/t), q = sum x2 t/(s+t) + rest.

    What alpha and beta maximise given t = alpha / beta is put in; t and the maximum are found on u = log t.
    """
    q_far = x2.sum(1) + rest
    far = -0.5 * (math.log(2 * math.pi) + 1 + (q_far / n).log())  # t to infinity: no signal
    if not len(s):
        return far

    def height(q, u):  # q of the shape of u
        volume = (s * (-u).exp()[..., None]).log1p().sum(-1)
        return -0.5 * (math.log(2 * math.pi) + 1 + (q / n).log()) - volume / (2 * n)

    low, step = float(s[-1].log()) - 25, 0.25
    grid = low + step * torch.arange(201, dtype=s.dtype, device=s.device)
    w = torch.sigmoid(grid[:, None] - s.log())  # t / (s + t), (201, k)
    heights = height(x2 @ w.T + rest[:, None], grid)
    best, at = heights.max(1)
    u = grid[at]
    for _ in range(7):  # Newton, vectorised over targets; never more than a step of the grid from where it is
        w = torch.sigmoid(u[:, None] - s.log())
        v = w * (1 - w)
        q = (x2 * w).sum(1) + rest
        q1, q2 = (x2 * v).sum(1) / q, (x2 * v * (1 - 2 * w)).sum(1) / q
        slope = -0.5 * q1 + (1 - w).sum(1) / (2 * n)
        curve = -0.5 * (q2 - q1**2) - v.sum(1) / (2 * n)
        move = torch.where(curve < 0, -slope / curve, 0.0).clamp(-step, step)
        u = (u + move).clamp(low, low + 50)
    w = torch.sigmoid(u[:, None] - s.log())
    return torch.stack([best, height((x2 * w).sum(1) + rest, u), far]).max(0).values


def _fixed_point(s: Tensor, x2: Tensor, rest: Tensor, n: int) -> Tensor:
    """Return, per target, the evidence where the published iteration stops: new alpha, beta, residuals of the old."""
    if not len(s):
        return _maximum(s, x2, rest, n)
    evidence, t = torch.full_like(rest, torch.nan), torch.ones_like(rest)
    running = torch.ones_like(rest, dtype=torch.bool)
    for _ in range(11):
        gamma = (s / (s + t[:, None])).sum(1)
        m2 = (s * x2 / (t[:, None] + s).square()).sum(1)
        residual = (x2 / (1 + s / t[:, None]).square()).sum(1) + rest
        alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (residual + 1e-5)
        new = (0.5 * len(s) * alpha.log() + 0.5 * n * beta.log() - 0.5 * (alpha + s[:, None] * beta).log().sum(0)
               - 0.5 * beta * residual - 0.5 * alpha * m2 - 0.5 * n * math.log(2 * math.pi)) / n
        evidence = torch.where(running, new, evidence)
        running &= (alpha / beta - t).abs() / t > 1e-3
        t = torch.where(running, alpha / beta, t)
        if not running.any():
            break
    return evidence


def _is_float(targets) -> bool:
    targets = storage(targets, "targets")
    return targets.is_floating_point() if isinstance(targets, Tensor) else targets.dtype.kind == "f"


def _column(targets):
    targets = storage(targets, "targets")
    return targets[:, None] if targets.ndim == 1 else targets
