"""DS (Cui et al. 2018): how far the classes of the source have to be carried to lie where those of the target lie."""
import numpy as np
import torch
from scipy.optimize import linprog
from scipy.sparse import block_array, eye_array, kron

from tlutils.transferability._inputs import Rows, class_index, class_sums


def domain_similarity(source_features, source_labels, features, labels, *, gamma: float = 0.01) -> float:
    """Return the domain similarity exp(-gamma EMD) between source and target, both seen by one network.

    Equation: EMD = min_f sum_ij f_ij ||s_i - t_j||,  f >= 0,  sum_j f_ij = n_i/n,  sum_i f_ij = m_j/m
        for class means s_i, t_j and class sizes n_i, m_j    (Cui et al. 2018)
    Shapes: source_features (n, d), source_labels (n,), features (m, d), labels (m,) -> a float in (0, 1].
    Convention: Euclidean distance; the transport problem is solved exactly as a linear programme with C_s C_t unknowns.
        Cost: O((n + m) d) and the programme; it needs the source data, and looks at the labels only to form means.
    Errors: ValueError for bad shapes or values, different widths, gamma <= 0.
    Example:
        >>> x, y = [[0.0], [1.0], [4.0]], [0, 0, 1]
        >>> domain_similarity(x, y, x, y)
        1.0
    """
    if not gamma > 0:
        raise ValueError(f"gamma must be > 0, got {gamma}")
    (s, p), (t, q) = _means(source_features, source_labels, "source_"), _means(features, labels, "")
    if s.shape[1] != t.shape[1]:
        raise ValueError(f"features must be (m, {s.shape[1]}) as source_features, got width {t.shape[1]}")
    cost = torch.cdist(s, t, compute_mode="donot_use_mm_for_euclid_dist").numpy().ravel()
    ones = np.ones((1, len(p))), np.ones((1, len(q)))
    flows = block_array([[kron(eye_array(len(p)), ones[1])], [kron(ones[0], eye_array(len(q)))]], format="csr")
    plan = linprog(cost, A_eq=flows[:-1], b_eq=np.concatenate([p, q])[:-1], method="highs")  # one equation follows
    assert plan.status == 0, plan.message
    return float(np.exp(-gamma * max(plan.fun, 0.0)))


def _means(features, labels, prefix: str):
    """Return the class means (C, d) and the shares (C,) of the classes."""
    rows = Rows(features, f"{prefix}features")
    codes, counts = class_index(labels, rows.n, f"{prefix}labels")
    sums = sum(class_sums(codes[part], z, len(counts)) for part, z in rows.blocks())
    return rows.finite(sums).cpu() / torch.from_numpy(counts)[:, None], counts / rows.n
