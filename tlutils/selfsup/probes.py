"""How good are frozen features? One protocol for all methods: a linear probe, and nearest neighbours."""
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from torch.nn import functional as F

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
NEIGHBOURS = (1, 5, 20)


def linear_probe(features, labels, test_features, test_labels, *, strengths=STRENGTHS, seed: int = 0) -> dict:
    """Train a linear classifier on frozen features; return {"accuracy": on the test set, "C": the chosen strength}.

    Shapes: features (n, d), labels (n,), NumPy arrays or tensors; at least two examples of each class.
    Convention: features are standardised with the training set's mean and deviation; multinomial logistic regression
        with an L2 penalty 1 / C. A fifth of the training set, stratified, chooses C (the smallest of equals); the
        classifier is then fitted on all of it. The test set is looked at once, after that.
    Errors: ValueError for lengths or widths that differ, values that are not finite, or fewer than two classes with
        two examples each.
    """
    x, y, x_test, y_test = _checked(features, labels, test_features, test_labels)
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2 or counts.min() < 2:
        raise ValueError(f"labels must hold two classes or more, each twice or more, got counts {counts.tolist()}")
    if not strengths or min(strengths) <= 0:
        raise ValueError(f"strengths must be > 0, got {strengths}")
    mean, deviation = x.mean(0), x.std(0)
    x, x_test = ((a - mean) / np.where(deviation > 1e-6, deviation, 1) for a in (x, x_test))
    held = max(len(classes), round(0.2 * len(y)))
    fit, choose = next(StratifiedShuffleSplit(1, test_size=held, random_state=seed).split(x, y))
    scores = {C: _probe(C).fit(x[fit], y[fit]).score(x[choose], y[choose]) for C in sorted(strengths)}
    best = max(scores, key=scores.get)
    return {"accuracy": float(_probe(best).fit(x, y).score(x_test, y_test)), "C": float(best)}


def knn_probe(features, labels, test_features, test_labels, *, neighbours=NEIGHBOURS) -> dict:
    """Let the k nearest training examples vote; return {"accuracy": on the test set, "k": the chosen number}.

    Shapes: as for `linear_probe`.
    Convention: cosine similarity; each vote counts exp(similarity / 0.07) (Wu et al. 2018). k is chosen on the training
        set, each example left out in turn (the smallest of equals). Nothing is trained.
    Errors: ValueError as for `linear_probe`, or for a k that is not in 1..n - 1.
    """
    x, y, x_test, y_test = _checked(features, labels, test_features, test_labels)
    if not neighbours or min(neighbours) < 1 or max(neighbours) >= len(x):
        raise ValueError(f"neighbours must lie in 1..{len(x) - 1}, got {neighbours}")
    classes, y = np.unique(y, return_inverse=True)
    x, x_test = (F.normalize(torch.from_numpy(a).float(), dim=1) for a in (x, x_test))
    votes = F.one_hot(torch.from_numpy(y)).float()                                      # (n, k classes)

    def guesses(s, k):
        top, nearest = s.topk(k, dim=1)
        return ((top / 0.07).exp()[..., None] * votes[nearest]).sum(1).argmax(1).numpy()

    own = (x @ x.T).fill_diagonal_(-1)
    scores = {k: float((guesses(own, k) == y).mean()) for k in sorted(neighbours)}
    best = max(scores, key=scores.get)
    return {"accuracy": float((classes[guesses(x_test @ x.T, best)] == y_test).mean()), "k": int(best)}


def _probe(C: float) -> LogisticRegression:
    return LogisticRegression(C=C, max_iter=500, tol=1e-3)


def _checked(features, labels, test_features, test_labels) -> list[np.ndarray]:
    def array(a):
        return a.detach().cpu().numpy() if isinstance(a, torch.Tensor) else np.asarray(a)

    x, y, x_test, y_test = (array(a) for a in (features, labels, test_features, test_labels))
    if x.ndim != 2 or x_test.ndim != 2 or x.shape[1] != x_test.shape[1]:
        raise ValueError(f"features and test_features must be (n, d) of one width, got {x.shape} and {x_test.shape}")
    if y.shape != x.shape[:1] or y_test.shape != x_test.shape[:1] or len(y_test) == 0:
        raise ValueError(f"labels must fit the features, got {y.shape} for {x.shape} and {y_test.shape} for "
                         f"{x_test.shape}")
    if not (np.isfinite(x).all() and np.isfinite(x_test).all()):
        raise ValueError("features must be finite, got NaN or infinity")
    return [x.astype(np.float32), y, x_test.astype(np.float32), y_test]
