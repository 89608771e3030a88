"""One pass over labelled features: what TransRate, H-Score, LogME and LFC need, and no n x n matrix."""
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tlutils.transferability._blas import add_gram, outer_gram, symmetric
from tlutils.transferability._inputs import BLOCK, Rows, class_sums


@dataclass
class Summary:
    """Counts and second moments of n samples in C classes, centred at the mean.

    Shapes: counts (C,), mean (k,), scatter (k, k) = sum z z^T, sums (C, k) = class sums of z, for z = x - mean.
    Convention: d is the number of features; k < d where a wide matrix was turned into its span.
        quartic is sum ||z||^4, NaN where nothing needs it.
    """

    n: int
    d: int
    counts: Tensor
    mean: Tensor
    scatter: Tensor
    sums: Tensor
    quartic: float = float("nan")


Visit = Callable[[Tensor, int, int], None]


def summarise(rows: Rows, codes: np.ndarray, counts: np.ndarray, *, shift: Tensor | None, d: int,
              quartic: bool = False) -> Summary:
    """Return the summary of rows in classes, read once in their order.

    Convention: moments are taken about shift, any point in the cloud, and then centred; without a shift about 0.
        For the quartic shift has to be the mean.
    """
    origin = shift.numpy() if shift is not None and shift.device.type == "cpu" else shift
    first = rows.take(slice(0, 1))[0]
    scatter, sums = first.new_zeros(rows.d, rows.d), first.new_zeros(len(counts), rows.d)
    fourth = 0.0
    for part, z in rows.blocks(rows.whole if origin is None else None):
        z = z if origin is None else z - origin
        add_gram(scatter, z)
        sums += class_sums(codes[part], z, len(counts))
        fourth += float(torch.as_tensor(z).square().sum(1).square().sum()) if quartic else float("nan")
    rows.finite(scatter.diagonal())
    shift = torch.zeros_like(first) if shift is None else shift
    return centred(rows.n, d, counts, shift, symmetric(scatter), sums, fourth)


def visit_classes(rows: Rows, codes: np.ndarray, counts: np.ndarray, *, mean: Tensor, d: int, visit: Visit,
                  quartic: bool = False) -> Summary:
    """Return the summary; call visit(Gram, n_c, n) for each class, its Gram taken about mean.

    Convention: a visited Gram is the upper triangle of Z_c^T Z_c, or of Z_c Z_c^T where that is cheaper (the nonzero
        eigenvalues are the same).
    """
    k, edges, order = rows.d, np.concatenate([[0], np.cumsum(counts)]), np.argsort(codes, kind="stable")
    scatter, sums = mean.new_zeros(k, k), mean.new_zeros(len(counts), k)
    fourth = 0.0
    for first, last in _groups(counts, k, rows.step):
        alone = counts[first] >= 0.53 * k  # d^3/3 against n_c^2 d + n_c^3/3
        gram = mean.new_zeros(k, k) if alone else scatter
        step = rows.step if alone else BLOCK
        for start in range(edges[first], edges[last], step):
            index = order[start:min(start + step, edges[last])]
            z = rows.take(index).sub_(mean)
            add_gram(gram, z)
            if alone:
                sums[first] += z.sum(0)
            fourth += float(z.square().sum(1).square().sum()) if quartic else float("nan")
        rows.finite(gram.diagonal())
        if alone:
            scatter += gram
            visit(gram, int(counts[first]), rows.n)
            continue
        for c in range(first, last):  # in one block
            own = z[edges[c] - edges[first]:edges[c + 1] - edges[first]]
            sums[c] = own.sum(0)
            visit(outer_gram(own), int(counts[c]), rows.n)
    return centred(rows.n, d, counts, mean, symmetric(scatter), sums, fourth)


def centred(n: int, d: int, counts, shift: Tensor, gram: Tensor, sums: Tensor, quartic: float) -> Summary:
    """Return the summary for moments that were taken about shift (quartic: about the mean)."""
    delta = sums.sum(0) / n  # mean - shift
    counts = torch.as_tensor(counts).to(shift)
    return Summary(n, d, counts, shift + delta, torch.addr(gram, delta, delta, alpha=-n),
                   torch.addr(sums, counts, delta, alpha=-1), quartic)


def _groups(counts: np.ndarray, k: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of consecutive classes: a large class alone, small ones together up to step rows."""
    first = 0
    for c, m in enumerate(counts):
        large = m >= 0.53 * k
        if c > first and (large or counts[first:c + 1].sum() > step):
            yield first, c
            first = c
        if large:
            yield c, c + 1
            first = c + 1
    if first < len(counts):
        yield first, len(counts)
