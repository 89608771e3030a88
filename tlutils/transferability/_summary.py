"""One pass over labelled features: what TransRate, H-Score, LogME and LFC need, and no n x n matrix."""
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tlutils.transferability._blas import add_gram, outer_gram, symmetric
from tlutils.transferability._inputs import BLOCK, Rows


@dataclass
class Summary:
    """Counts and second moments of n samples in C classes, centred at the mean.

    Shapes: counts (C,), mean (k,), scatter (k, k) = sum z z^T, sums (C, k) = class sums of z, for z = x - mean.
    Convention: d is the number of features; k < d where a wide matrix was turned into its span.
        quartic is sum ||z||^4, NaN if it was not asked for.
    """

    n: int
    d: int
    counts: Tensor
    mean: Tensor
    scatter: Tensor
    sums: Tensor
    quartic: float = float("nan")


Visit = Callable[[Tensor, int, int], None]


def summarise(rows: Rows, codes: np.ndarray, counts: np.ndarray, *, shift: Tensor, d: int,
              visit: Visit | None = None, quartic: bool = False) -> Summary:
    """Return the summary of rows in classes; call visit(Gram, n_c, n) for each class, its Gram taken about shift.

    Convention: a visited Gram is the upper triangle of Z_c^T Z_c, or of Z_c Z_c^T where that is cheaper (the nonzero
        eigenvalues are the same). For visit and quartic, shift has to be the mean; otherwise any point in the cloud.
    """
    k, edges, order = rows.d, np.concatenate([[0], np.cumsum(counts)]), np.argsort(codes, kind="stable")
    scatter, sums = shift.new_zeros(k, k), shift.new_zeros(len(counts), k)
    fourth = 0.0
    for first, last in _groups(counts, k) if visit else [(0, len(counts))]:
        alone = visit is not None and counts[first] >= 0.53 * k  # d^3/3 against n_c^2 d + n_c^3/3
        gram = shift.new_zeros(k, k) if alone else scatter
        for start in range(edges[first], edges[last], BLOCK):
            index = order[start:min(start + BLOCK, edges[last])]
            z = rows.take(index).sub_(shift)
            add_gram(gram, z)
            if last - first == 1:
                sums[first] += z.sum(0)
            else:
                sums.index_add_(0, torch.from_numpy(codes[index]).to(z.device), z)
            if quartic:
                fourth += float((torch.linalg.vector_norm(z, dim=1) ** 4).sum())
        if alone:
            scatter += gram
            visit(gram, int(counts[first]), rows.n)
        elif visit:  # one block: _groups sees to it
            for c in range(first, last):
                visit(outer_gram(z[edges[c] - edges[first]:edges[c + 1] - edges[first]]), int(counts[c]), rows.n)
    rows.finite(scatter.diagonal())
    return centred(rows.n, d, torch.from_numpy(counts).to(shift), shift, symmetric(scatter), sums,
                   fourth if quartic else float("nan"))


def centred(n: int, d: int, counts: Tensor, shift: Tensor, gram: Tensor, sums: Tensor, quartic: float) -> Summary:
    """Return the summary for moments that were taken about shift (quartic: about the mean)."""
    delta = sums.sum(0) / n  # mean - shift
    return Summary(n, d, counts, shift + delta, gram - n * torch.outer(delta, delta),
                   sums - counts[:, None] * delta, quartic)


def _groups(counts: np.ndarray, k: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of consecutive classes: a large class alone, small ones together up to BLOCK rows."""
    first = 0
    for c, m in enumerate(counts):
        if m >= 0.53 * k or counts[first:c + 1].sum() > BLOCK:
            if c > first:
                yield first, c
            first = c
            if m >= 0.53 * k:
                yield c, c + 1
                first = c + 1
    if first < len(counts):
        yield first, len(counts)
