"""LEEP (Nguyen et al. 2020): the log-likelihood of the target labels when read off the source model's predictions."""
import numpy as np
import torch

from tlutils.transferability._inputs import Rows, class_index, class_sums


def leep(source_probs, labels) -> float:
    """Return LEEP: the mean log probability of each label under the expected empirical predictor.

    Equation: 1/n sum_i log sum_z P(y_i | z) p_i(z),  P(y | z) = sum_{i: y_i = y} p_i(z) / sum_i p_i(z)
    (Nguyen et al. 2020)
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
    tolerance = 1e-2 if rows.coarse else 1e-3
    step = max(1, 2**18 // rows.d)  # rows that stay in the cache
    for part, p in rows.blocks(step):
        sums = p.sum(1)
        if not p.min() >= 0 or not (abs(sums - 1) <= tolerance).all():  # NaN fails both
            worst = float(p.min()) if p.min() < 0 else float(sums[abs(sums - 1).argmax()])
            raise ValueError(f"source_probs must be probabilities, rows that sum to 1, got "
                             f"{'an entry' if p.min() < 0 else 'a sum'} of {worst:.6g}; logits need a softmax")
        joint += class_sums(y[part], p, len(counts))
    share = torch.nan_to_num(joint / joint.sum(0))  # P(y | z), 0 for a source class that never occurs
    total, einsum = 0.0, torch.einsum
    if rows.device.type == "cpu":
        share, einsum = share.numpy(), np.einsum
    for part, p in rows.blocks(step):
        own = share[y[part]] if rows.device.type == "cpu" else share[torch.from_numpy(y[part]).to(rows.device)]
        total += float(torch.as_tensor(einsum("iz,iz->i", p, own)).log().sum())
    return min(total / rows.n, 0.0)
