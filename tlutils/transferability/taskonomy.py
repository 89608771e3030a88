"""Taskonomy (Zamir et al. 2018): train a readout on every source, let them play a tournament over test images."""
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tlutils.env import check_seed
from tlutils.transferability._inputs import Rows, class_index


def taskonomy(features: Sequence, labels, *, steps: int = 100, l2: float = 1e-3, seed: int = 0) -> list[float]:
    """Return the affinity of each source to the target; the affinities sum to 1, higher is better.

    Equation: W_ij = share of held-out images on which readout i has the smaller loss than j, clipped to [.001, .999];
        affinity = principal eigenvector of W_ij / W_ji    (Zamir et al. 2018)
    Shapes: features a sequence of (n, d_i), one per source, rows of the same target images; labels (n,) -> k floats.
    Convention: the readout is a linear softmax classifier on standardised features, trained on a random half with
        weight decay l2 by at most steps iterations of L-BFGS. In the paper it is a small network, and orders above one
        join several sources. Cost: training on the target once per source; the scores are relative to the others.
    Errors: ValueError for fewer than two sources, bad shapes or values, fewer than two classes, steps < 1, l2 < 0.
    Example:
        >>> y = [0, 1] * 10
        >>> a, b = taskonomy([[[float(v)] for v in y], [[float(i % 3)] for i in range(20)]], y)
        >>> a > b
        True
    """
    if isinstance(features, np.ndarray | Tensor) or len(features) < 2:
        raise ValueError(f"features must be a sequence of at least two matrices, got {type(features).__name__}")
    if steps < 1 or l2 < 0:
        raise ValueError(f"steps must be >= 1 and l2 >= 0, got {steps} and {l2}")
    sources = [Rows(x, f"features[{i}]", least=4) for i, x in enumerate(features)]
    codes, counts = class_index(labels, sources[0].n)
    if len(counts) < 2:
        raise ValueError(f"labels must hold at least two classes, got {len(counts)}")
    y = torch.from_numpy(codes)
    order = torch.from_numpy(np.random.default_rng(check_seed(seed)).permutation(len(y)))
    half = len(y) // 2
    losses = []
    for rows in sources:
        if rows.n != len(y):
            raise ValueError(f"{rows.name} must have {len(y)} rows, got {rows.n}")
        z = rows.take(slice(None)).cpu()
        rows.finite(z.square().sum(0))
        losses.append(_held_out_loss(z[order], y[order], half, len(counts), steps, l2))
    loss = torch.stack(losses)
    wins = ((loss[:, None] < loss).double() + 0.5 * (loss[:, None] == loss).double()).mean(2).clamp(0.001, 0.999)
    values, vectors = torch.linalg.eig(wins / wins.T)
    first = vectors[:, values.real.argmax()].real.abs()
    return (first / first.sum()).tolist()


def _held_out_loss(z: Tensor, y: Tensor, half: int, n_classes: int, steps: int, l2: float) -> Tensor:
    """Return the cross-entropy (n - half,) of a linear readout trained on the first half."""
    std, mean = torch.std_mean(z[:half], 0, correction=0)
    z = (z - mean) / torch.where(std > 0, std, 1.0)
    weight = torch.zeros(z.shape[1], n_classes, dtype=z.dtype, requires_grad=True)
    bias = torch.zeros(n_classes, dtype=z.dtype, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        loss = torch.nn.functional.cross_entropy(z[:half] @ weight + bias, y[:half]) + l2 * weight.square().sum()
        loss.backward()
        return loss

    solver.step(closure)
    with torch.no_grad():
        return torch.nn.functional.cross_entropy(z[half:] @ weight + bias, y[half:], reduction="none")
