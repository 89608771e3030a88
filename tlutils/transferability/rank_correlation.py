"""How well scores rank candidates: Pearson, Kendall and weighted Kendall, each with a bootstrap interval."""
from dataclasses import dataclass

import numpy as np

from tlutils.arrays import array
from tlutils.env import check_seed


@dataclass(frozen=True)
class Correlation:
    """A correlation and the ends of its 95 % bootstrap interval, None without one."""

    value: float
    low: float | None = None
    high: float | None = None


def rank_correlation(scores, performance, *, n_boot: int = 1000, seed: int = 0) -> dict[str, Correlation]:
    """Return the correlations of scores with performance over the candidates: pearson, kendall, weighted_kendall.

    Equation: tau = sum_{i<j} w_ij sgn(a_i - a_j) sgn(b_i - b_j) / sqrt(sum w_ij sgn^2(a) sum w_ij sgn^2(b)); Kendall's
        tau-b: w = 1; weighted (Vigna 2015): w_ij = 1/(1 + r_i) + 1/(1 + r_j), r the rank from 0, best first.
    Shapes: scores (m,), performance (m,), one entry per candidate -> {name: Correlation(value, low, high)}.
    Convention: the weighted one is the mean over ranks by scores and ranks by performance (ties by the other one), the
        default of scipy.stats.weightedtau. Interval: the 2.5 and 97.5 percentiles over n_boot draws of candidates with
        replacement; draws in which one side is constant are left out. With few candidates it is wide, and says so.
    Errors: ValueError for other shapes, NaN, infinity, fewer than two candidates, constant input, n_boot < 0.
    Example:
        >>> round(rank_correlation([1.0, 2.0, 4.0], [10.0, 30.0, 20.0], n_boot=0)["weighted_kendall"].value, 4)
        0.1818
    """
    a, b = (_vector(x, name) for x, name in ((scores, "scores"), (performance, "performance")))
    if len(a) != len(b):
        raise ValueError(f"performance must be ({len(a)},) as scores, got ({len(b)},)")
    if n_boot < 0:
        raise ValueError(f"n_boot must be >= 0, got {n_boot}")
    values = {name: float(measure(a[None], b[None])[0]) for name, measure in _MEASURES.items()}
    if n_boot == 0:
        return {name: Correlation(value) for name, value in values.items()}
    draws = np.random.default_rng(check_seed(seed)).integers(0, len(a), (n_boot, len(a)))
    mixed = [x[draws].min(1) < x[draws].max(1) for x in (a, b)]
    draws = draws[mixed[0] & mixed[1]]
    if not len(draws):
        raise ValueError(f"n_boot must be larger: all of {n_boot} draws from {len(a)} candidates were constant")
    step = max(1, 2_000_000 // len(a) ** 2)
    parts = [draws[i:i + step] for i in range(0, len(draws), step)]
    ends = {name: np.percentile(np.concatenate([measure(a[part], b[part]) for part in parts]), [2.5, 97.5])
            for name, measure in _MEASURES.items()}
    return {name: Correlation(value, *map(float, ends[name])) for name, value in values.items()}


def _pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (x - x.mean(1, keepdims=True) for x in (a, b))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return np.clip((a * b).sum(1), -1, 1)


def _kendall(a: np.ndarray, b: np.ndarray, weights: np.ndarray | float = 1.0) -> np.ndarray:
    a, b = (np.sign(x[:, :, None] - x[:, None, :]) for x in (a, b))
    top, aa, bb = ((weights * product).sum((1, 2)) for product in (a * b, a * a, b * b))
    return np.clip(top / np.sqrt(aa * bb), -1, 1)


def _weighted_kendall(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (_kendall(a, b, _weights(a, b)) + _kendall(a, b, _weights(b, a))) / 2


def _weights(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Return 1/(1 + r_i) + 1/(1 + r_j) for ranks by first, ties by then, the largest value at rank 0."""
    order = np.lexsort((-then, -first), axis=1)
    inverse = 1.0 / (1.0 + np.argsort(order, axis=1))
    return inverse[:, :, None] + inverse[:, None, :]


_MEASURES = {"pearson": _pearson, "kendall": _kendall, "weighted_kendall": _weighted_kendall}


def _vector(x, name: str) -> np.ndarray:
    x = array(x, name)
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(f"{name} must be (m,) with at least two candidates, got {x.shape}")
    if x.dtype.kind not in "fiub" or not np.isfinite(x := x.astype(np.float64)).all():
        raise ValueError(f"{name} must be finite numbers, got {x}")
    if x.min() == x.max():
        raise ValueError(f"{name} must not be constant, got {x[0]} {len(x)} times")
    return x
