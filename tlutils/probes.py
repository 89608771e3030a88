"""How good are frozen features? Read them, fit a linear probe, or let the nearest neighbours vote."""
import copy
import math
from collections.abc import Hashable, Mapping

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import surgery, train
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
    mean, scale = x.mean(0), _scale(x)
    x, x_test = (((a - mean) / scale).astype(np.float32, copy=False) for a in (x, x_test))
    held = max(len(classes), round(0.2 * len(y)))
    fit, choose = next(StratifiedShuffleSplit(1, test_size=held, random_state=seed).split(x, y))
    scores = {C: _probe(C, kind).fit(x[fit], y[fit]).score(x[choose], y[choose]) for C in sorted(strengths)}
    best = max(scores, key=scores.get)
    return {"accuracy": float(_probe(best, kind).fit(x, y).score(x_test, y_test)), "C": float(best)}


def choose_layer(features: Mapping[Hashable, np.ndarray], labels, *, strengths=(0.01, 0.1, 1.0), folds: int = 5,
                 seed: int = 0) -> dict:
    """Choose the layer that a linear probe should read, and its C, by cross-validation on the labelled examples alone.

    Shapes: features maps a layer to what it puts out for the labelled examples (n, d), as of `probe_features`; labels
        (n,). Returns {"layer", "C", "accuracy": mean over the folds}.
    Convention: stratified folds, as many as the smallest class has examples where that is fewer; each fold is
        standardised by its own training part; the first layer and the smallest C of equals. Fit the probe again on all
        examples, `linear_probe(..., C=C)`, and look at the test set then, once.
    Errors: ValueError as for `linear_probe`, for folds < 2, or no layer.
    """
    if folds < 2 or not features or not len(strengths) or min(strengths) <= 0:
        raise ValueError("choose_layer needs a layer at least, folds >= 2 and strengths > 0, got "
                         f"{list(features)}, {folds} and {strengths}")
    scores = {}
    for layer, z in features.items():
        x, y, _, _ = _checked(z, labels, z, labels)
        _, counts = np.unique(y, return_counts=True)
        if len(counts) < 2 or counts.min() < 2:
            raise ValueError(f"labels must hold two classes or more, each twice or more, got counts {counts.tolist()}")
        parts = list(StratifiedKFold(min(folds, counts.min()), shuffle=True, random_state=seed).split(x, y))
        for C in sorted(strengths):
            scores[layer, C] = np.mean([linear_probe(x[fit], y[fit], x[held], y[held], C=C)["accuracy"]
                                        for fit, held in parts])
    layer, C = max(scores, key=scores.get)
    return {"layer": layer, "C": float(C), "accuracy": float(scores[layer, C])}


def probe_head(model: nn.Sequential, x: Tensor, y: Tensor, *, C: float = 0.1) -> nn.Sequential:
    """Return a copy of model whose new head is the linear probe of its features: where LP-FT begins to fine-tune.

    Equation: the probe of standardised features, W (z - m) / d + b, is the linear layer of weight W / d and intercept
        b - W (m / d) on the features z themselves (linear probing, then fine-tuning: Kumar et al. 2022).
    Shapes: x (n, ...), y (n,) integers 0 ... k - 1, each of them there; the head has k outputs.
    Convention: the penalty is that of `linear_probe` with C fixed, and the fit goes on to the minimum. A feature that
        varies by no more than rounding gets the weight 0. The body and its mode are those of model, which stays as
        it is.
    Errors: ValueError as for `surgery.replace_head`, for a C <= 0, or a label that is missing.
    """
    if not C > 0:
        raise ValueError(f"C must be > 0, got {C}")
    labels = array(y, "y")
    classes = np.unique(labels)
    if len(classes) < 2 or labels.dtype.kind not in "iu" or (classes != np.arange(len(classes))).any():
        raise ValueError(f"y must hold the integers 0 ... k - 1, each of them, k >= 2, got {classes}")
    made = surgery.replace_head(copy.deepcopy(model), len(classes))
    linear = list(made.modules())[-1]
    z, seen = [], linear.register_forward_pre_hook(lambda layer, given: z.append(array(given[0])))
    train.predict(made, x)                                          # what the linear layer is given, in eval mode
    seen.remove()
    z, labels, _, _ = _checked(np.concatenate(z), labels, np.concatenate(z), labels)
    mean, scale = z.mean(0, dtype=np.float64), _scale(z).astype(np.float64)
    fitted = LogisticRegression(C=C, max_iter=10_000, tol=1e-8).fit((z - mean) / scale, labels)
    w, b = fitted.coef_ / scale, fitted.intercept_
    if len(classes) == 2:                                           # two classes have one column: half of it for each
        w, b = np.concatenate([-w, w]) / 2, np.concatenate([-b, b]) / 2
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(w))
        linear.bias.copy_(torch.from_numpy(b - w @ mean))
    return made


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


def _scale(x: np.ndarray) -> np.ndarray:
    """Return the deviation of each column of x, or infinity where it varies by no more than rounding: x / inf = 0."""
    deviation, low, high = x.std(0), x.min(0), x.max(0)
    rounding = 8 * np.finfo(x.dtype).eps * np.maximum(abs(low), abs(high))
    return np.where((high - low > rounding) & (deviation > 0), deviation, np.inf)


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
