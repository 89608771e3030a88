"""NCE (Tran et al. 2019): how uncertain the target label stays once the source label of the same sample is known."""
import numpy as np

from tlutils.transferability._inputs import class_index, integers


def nce(source_labels, labels) -> float:
    """Return the negative conditional entropy of the labels given the source labels.

    Equation: -H(Y | Z) = sum_{y,z} p(y, z) log(p(y, z) / p(z))    (Tran et al. 2019)
    Shapes and units: source_labels (n,) and labels (n,), any integers -> a float in nats.
    Convention: p are relative frequencies, nothing is smoothed. source_labels are those that the source model assigns
        (its argmax), or true ones. Between minus the entropy of the labels and 0. The order of the arguments matters.
    Errors: ValueError if either is no vector of integers, or lengths differ.
    Example:
        >>> round(nce([0, 0, 1, 1], [0, 1, 2, 2]), 4)    # half the samples keep one bit
        -0.3466
        >>> nce([0, 1, 2, 2], [0, 0, 1, 1])
        0.0
    """
    z = integers(source_labels, None, "source_labels")
    n = len(z)
    y, counts = class_index(labels, n)
    z, source_counts = class_index(z, n, "source_labels")
    pair = z * len(counts) + y
    if len(counts) * len(source_counts) <= 8 * n + 1_000_000:
        joint = np.bincount(pair)
        joint = joint[joint > 0]
    else:
        joint = np.unique(pair, return_counts=True)[1]
    value = _entropy_sum(joint) - _entropy_sum(source_counts)
    return min(float(value) / n, 0.0) + 0.0


def _entropy_sum(counts: np.ndarray) -> float:
    """Return sum m log m."""
    return float((counts * np.log(counts)).sum())
