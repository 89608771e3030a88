"""How good are frozen features? Read them, fit a linear probe, or let the nearest neighbours vote."""
import math

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import train
from tlutils.arrays import array, no_autocast
from tlutils.env import check_seed

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
NEIGHBOURS = (1, 5, 20)


def probe_features(model: nn.Sequential, x: Tensor, n: int | None = None) -> np.ndarray:
    """Return what a probe reads from the first n blocks of model (default: all but the head): (batch, d).

    Convention: maps (c, h, w) are averaged to 3x3 and made flat; n = 0 gives the pixels.
    """
    z = train.features(model, x, n)
    return (thirds(z) if z.ndim == 4 and n != 0 else z).flatten(1).cpu().numpy()


def thirds(z: Tensor) -> Tensor:
    """Return maps (n, c, h, w) averaged to 3x3; Apple's GPUs average over parts of unequal size on the CPU alone."""
    return F.adaptive_avg_pool2d(z.cpu() if z.device.type == "mps" else z, 3)


def linear_probe(features, labels, test_features, test_labels, *, C: float | None = None, strengths=STRENGTHS,
                 kind: str = "softmax", seed: int = 0) -> dict:
    """Train a linear classifier on frozen features; return {"accuracy": on the test set, "C": of the penalty 1 / C}.

    Shapes: features (n, d), labels (n,) integers or words, arrays or tensors; at least two examples of each class.
    Convention: features are standardised with the training set's mean and deviation (a column that varies by no more
        than rounding is left out); multinomial logistic regression with an L2 penalty, or kind "svm", a linear support
        vector machine of C / 10. C fixed: nothing is selected. C = None: a fifth of the training set, stratified,
        chooses among strengths (the smallest of equals), and the classifier is fitted again on all of it. The test set
        is looked at once, after that.
    Errors: ValueError for lengths or widths that differ, values that are not finite, labels that are floats, fewer
        than two classes with two examples each (with C fixed: one), a strength <= 0, or another kind.
    """
    if kind not in ("softmax", "svm"):
        raise ValueError(f"kind must be 'softmax' or 'svm', got {kind!r}")
    seed = check_seed(seed)
    x, y, x_test, y_test = _checked(features, labels, test_features, test_labels)
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2 or (C is None and counts.min() < 2):
        raise ValueError(f"labels must hold two classes or more, each twice or more, got counts {counts.tolist()}")
    strengths = strengths if C is None else (C,)
    if not len(strengths) or min(strengths) <= 0:
        raise ValueError(f"{'strengths' if C is None else 'C'} must be > 0, got {strengths}")
    if C is not None:  # scikit-learn's own standardisation and tolerance: recorded runs were made so, to the last bit
        linear = LogisticRegression(C=C, max_iter=2000) if kind == "softmax" else LinearSVC(C=C / 10, max_iter=20000)
        probe = make_pipeline(StandardScaler(), linear).fit(x, y)
        return {"accuracy": float(probe.score(x_test, y_test)), "C": float(C)}
    mean, deviation, low, high = x.mean(0), x.std(0), x.min(0), x.max(0)
    rounding = 8 * np.finfo(x.dtype).eps * np.maximum(abs(low), abs(high))
    scale = np.where((high - low > rounding) & (deviation > 0), deviation, np.inf)      # x / inf = 0: left out
    x, x_test = (((a - mean) / scale).astype(np.float32, copy=False) for a in (x, x_test))
    held = max(len(classes), round(0.2 * len(y)))
    fit, choose = next(StratifiedShuffleSplit(1, test_size=held, random_state=seed).split(x, y))
    scores = {C: _probe(C, kind).fit(x[fit], y[fit]).score(x[choose], y[choose]) for C in sorted(strengths)}
    best = max(scores, key=scores.get)
    return {"accuracy": float(_probe(best, kind).fit(x, y).score(x_test, y_test)), "C": float(best)}


def knn_probe(features, labels, test_features, test_labels, *, neighbours=NEIGHBOURS) -> dict:
    """Let the k nearest training examples vote; return {"accuracy": on the test set, "k": the chosen number}.

    Shapes: as for `linear_probe`.
    Convention: cosine similarity; each vote counts exp(similarity / 0.07) (Wu et al. 2018). k is chosen on the training
        set, each example left out in turn (the smallest of equals). Nothing is trained.
    Errors: ValueError as for `linear_probe`, or for a k that is not in 1..n - 1.
    """
    x, y, x_test, y_test = _checked(features, labels, test_features, test_labels)
    if not len(neighbours) or min(neighbours) < 1 or max(neighbours) >= len(x):
        raise ValueError(f"neighbours must lie in 1..{len(x) - 1}, got {neighbours}")
    classes, y = np.unique(y, return_inverse=True)
    x, x_test = (F.normalize(torch.from_numpy(a.astype(np.float32)), dim=1) for a in (x, x_test))
    votes = F.one_hot(torch.from_numpy(y)).float()                                      # (n, k classes)

    def guesses(s, k):
        top, nearest = s.topk(k, dim=1)
        return ((top / 0.07).exp()[..., None] * votes[nearest]).sum(1).argmax(1).numpy()

    with no_autocast(x.device):
        own, theirs = (x @ x.T).fill_diagonal_(-1), x_test @ x.T
    scores = {k: float((guesses(own, k) == y).mean()) for k in sorted(neighbours)}
    best = max(scores, key=scores.get)
    return {"accuracy": float((classes[guesses(theirs, best)] == y_test).mean()), "k": int(best)}


def _probe(C: float, kind: str) -> LogisticRegression | LinearSVC:
    return LogisticRegression(C=C, max_iter=500, tol=1e-3) if kind == "softmax" else LinearSVC(C=C / 10)


def _checked(features, labels, test_features, test_labels) -> list[np.ndarray]:
    """Return the four as arrays, features in float32, or float64 where they came finer than that."""
    x, x_test = array(features, "features"), array(test_features, "test_features")
    if x.ndim != 2 or x_test.ndim != 2 or x.shape[1] != x_test.shape[1] or not x.shape[1]:
        raise ValueError(f"features and test_features must be (n, d) of one width, got {x.shape} and {x_test.shape}")
    if len(x) < 2:
        raise ValueError(f"features must hold at least two rows, got {x.shape}")
    found = []
    for name, z, y in (("", x, labels), ("test_", x_test, test_labels)):
        y = array(y, f"{name}labels")
        if z.dtype.kind not in "fiub" or not np.isfinite(z).all():
            raise ValueError(f"{name}features must be finite, got {z.dtype} with NaN or infinity, or no numbers")
        if y.shape != z.shape[:1] or not len(y) or y.dtype.kind in "fc":
            raise ValueError(f"{name}labels must be integers or words ({len(z)},) with n > 0, got {y.dtype} {y.shape}")
        fine = z.dtype.kind in "iu" or z.dtype.itemsize > 4
        found += [z.astype(np.float64 if fine else np.float32, copy=False), y]
    if (found[1].dtype.kind in "US") != (found[3].dtype.kind in "US"):
        raise ValueError(f"test_labels must be of the kind of labels, got {found[3].dtype} and {found[1].dtype}")
    most = float(abs(found[0]).max())
    if most > 0 and not 2**-20 < most < 2**40:                      # squares would leave the range of float32
        found[::2] = (np.ldexp(z, -math.frexp(most)[1]) for z in found[::2])
    return found
