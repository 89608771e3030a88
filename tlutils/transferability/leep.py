"""LEEP (Nguyen et al. 2020): the log-likelihood of the target labels when read off the source model's predictions."""
import numpy as np
import torch

from tlutils.transferability._inputs import Rows, class_index


def leep(source_probs, labels) -> float:
    """Return LEEP: the mean log probability of each label under the expected empirical predictor.

    Equation: 1/n sum_i log sum_z P(y_i | z) p_i(z),  P(y | z) = sum_{i: y_i = y} p_i(z) / sum_i p_i(z)
        (Nguyen et al. 2020, eq. 1 and 2)
    Shapes and units: source_probs (n, C_s), one row of probabilities per sample; labels (n,) integers -> nats.
    Convention: between minus the entropy of the labels and 0. Source classes of no probability are left out. Rows may
        miss a sum of 1 by 1e-3 (1e-2 in half precision) and are used as they are.
    Errors: ValueError if rows are no probabilities (logits), shapes disagree, labels are no integers.
    Example:
        >>> round(leep([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]], [0, 0, 1]), 4)
        -0.2627
    """
    rows = Rows(source_probs, name="source_probs")
    y, counts = class_index(labels, rows.n)
    joint = torch.zeros(len(counts), rows.d, dtype=torch.float64, device=rows.device)
    y = torch.from_numpy(y).to(rows.device)
    for part, p in rows.blocks(128):  # small enough to stay in the cache
        joint.index_add_(0, y[part], p)
        if not p.min() >= 0:  # also when it is NaN
            rows.finite(p)
            raise ValueError(f"source_probs must be probabilities, got {float(p.min()):.3g}; logits need a softmax")
    share = torch.nan_to_num(joint / joint.sum(0))  # P(y | z), 0 for a source class that never occurs
    tolerance = 1e-2 if "16" in str(rows.x.dtype) else 1e-3
    total = 0.0
    for part, p in rows.blocks(128):
        sums = p.sum(1)
        if not ((sums - 1).abs() <= tolerance).all():
            worst = float(sums[(sums - 1).abs().argmax()])
            raise ValueError(f"source_probs must be rows that sum to 1, got a sum of {worst:.6g}; logits need a softmax")
        total += float(torch.einsum("iz,iz->i", p, share[y[part]]).log().sum())
    return min(total / rows.n, 0.0)
