"""Every guard names the argument and shows what came."""
import numpy as np
import pytest
import torch
from transfer_cases import labelled, softmax

from tlutils import transferability as T

X, Y = labelled(0, 40, 5, 4)
P = softmax(X)
WITH_LABELS = {"transrate": T.transrate, "rank": lambda x, y: T.transrate(x, y, normalize="rank"), "h_score": T.h_score,
               "shrinkage": lambda x, y: T.h_score(x, y, shrinkage=True), "lfc": T.lfc, "nleep": T.nleep,
               "scores": T.scores, "logme": lambda x, y: T.logme(x, y, task="classification")}


def changed(value, at=(7, 2)):
    x = X.copy()
    x[at] = value
    return x


@pytest.mark.parametrize("name", sorted(WITH_LABELS))
@pytest.mark.parametrize(("x", "y", "message"), [
    (X[:, 0], Y, r"features must be \(n, d\), got \(40,\)"),
    (X[None], Y, r"features must be \(n, d\), got \(1, 40, 5\)"),
    (Y, X, r"features must be \(n, d\), got \(40,\); were features and labels swapped"),
    (X[:0], Y[:0], r"features must hold at least 2 samples.*got \(0, 5\)"),
    (X[:, :0], Y, r"features must hold.*got \(40, 0\)"),
    (X[:1], Y[:1], r"features must hold at least 2 samples.*got \(1, 5\)"),
    (changed(np.nan), Y, "features must be finite, got NaN or infinity in row 7"),
    (torch.from_numpy(changed(-np.inf)), Y, "features must be finite.*row 7"),
    (np.hstack([changed(np.nan)] * 10), Y, "features must be finite.*row 7"),
    (changed(1e200), Y, "features must be small enough"),
    (X.astype(str), Y, "features must be real numbers, got <U"),
    (X + 1j, Y, "features must be real numbers, got complex128"),
    (torch.from_numpy(X + 1j), Y, "features must be real numbers, got complex128"),
    (X, Y[:-1], r"(labels|targets) must be \(40,\), got \(39,\)"),
    (X, Y[:, None], r"(labels|targets) must be \(40,\), got \(40, 1\)"),
    (X, np.eye(4, dtype=int)[Y], r"(labels|targets) must be \(40,\), got \(40, 4\)"),
    (X, Y.astype(float), "(labels|targets) must be integers, got float64"),
    (X, torch.from_numpy(Y).float(), "(labels|targets) must be integers, got float32"),
    (X, None, "(labels|targets) must be given beside an array, got None")])
def test_features_and_labels(name, x, y, message):
    with pytest.raises(ValueError, match=message):
        WITH_LABELS[name](x, y)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: T.transrate(X, Y, eps=0), "eps must be > 0, got 0"),
    (lambda: T.transrate(X, Y, eps=-1e-4), "eps must be > 0, got -0.0001"),
    (lambda: T.transrate(X, Y, eps=float("nan")), "eps must be > 0, got nan"),
    (lambda: T.coding_rate(X, eps=0.0), "eps must be > 0"),
    (lambda: T.coding_rate(changed(np.nan), eps=1), "features must be finite"),
    (lambda: T.coding_rate(X[0], eps=1), r"features must be \(n, d\)"),
    (lambda: T.transrate(X, Y, weights="balanced"), "weights must be one of .* got 'balanced'"),
    (lambda: T.transrate(X, Y, class_scale="c"), "class_scale must be one of"),
    (lambda: T.transrate(X, Y, normalize="trace"), "normalize must be one of"),
    (lambda: T.transrate(T.ClassMoments(5, 4).update(X, Y), normalize="rank"), "normalize must be None with Class"),
    (lambda: T.transrate(T.ClassMoments(5, 4).update(X, Y), Y), "labels must be left out beside ClassMoments"),
    (lambda: T.h_score(T.ClassMoments(5, 4)), "at least 2 samples, got moments of 0"),
    (lambda: T.h_score(T.ClassMoments(5, 4).update(X[:1], Y[:1])), "at least 2 samples, got moments of 1"),
    (lambda: T.lfc(X, Y * 0), "labels must hold at least two classes, got 1"),
    (lambda: T.logme(X, Y * 0), "targets must hold at least two classes, got 1"),
    (lambda: T.scores(X, Y * 0), "at least two classes"),
    (lambda: T.lfc(X * 0 + 0.1, Y), "features must not be constant"),
    (lambda: T.h_score(X * 0 + 0.1, Y, shrinkage=True), "features must not be constant"),
    (lambda: T.nleep(X * 0 + 0.1, Y), "features must not be constant"),
    (lambda: T.nleep(X, Y, energy=0), r"energy must be in \(0, 1\], got 0"),
    (lambda: T.nleep(X, Y, n_components=41), r"n_components must be in 1..40, got 41"),
    (lambda: T.logme(X, Y, task="ranking"), "task must be"),
    (lambda: T.logme(X, Y, method="thuml"), "method must be"),
    (lambda: T.logme(X, X[:5, 0]), r"targets must be \(40,\) or \(40, k\), got \(5, 1\)"),
    (lambda: T.logme(X, X[:, 0] * 0), "no column all zero"),
    (lambda: T.logme(X, changed(np.inf)[:, 2]), "targets must be finite"),
    (lambda: T.logme(changed(np.nan), X[:, 0]), "features must be finite"),
    (lambda: T.logme(T.ClassMoments(5, 4), task="regression"), "task must be classification with ClassMoments"),
    (lambda: T.leep(X, Y), "source_probs must be probabilities.* got an entry of -.*logits"),
    (lambda: T.leep(2 * P, Y), "source_probs must be probabilities.* got a sum of 2"),
    (lambda: T.leep(np.exp(X), Y), "source_probs must be probabilities.*logits need a softmax"),
    (lambda: T.leep(np.vstack([P[:-1], 0 * P[:1]]), Y), "got a sum of 0"),
    (lambda: T.leep(np.where(X == X[3, 1], np.nan, P), Y), "source_probs must be"),
    (lambda: T.leep(Y, P), r"source_probs must be \(n, d\), got \(40,\).*swapped"),
    (lambda: T.leep(P, Y[:-1]), r"labels must be \(40,\), got \(39,\)"),
    (lambda: T.leep(P, Y * 1.0), "labels must be integers, got float64"),
    (lambda: T.nce(P, Y), r"source_labels must be \(n,\), got \(40, 5\)"),
    (lambda: T.nce(Y * 1.0, Y), "source_labels must be integers, got float64"),
    (lambda: T.nce(Y, Y[:-1]), r"labels must be \(40,\), got \(39,\)"),
    (lambda: T.nce(Y, Y * 1.0), "labels must be integers"),
    (lambda: T.nce(Y[:1], Y[:1]), "source_labels must hold at least 2 samples, got 1"),
    (lambda: T.nce([], []), "source_labels must"),
    (lambda: T.ClassMoments(0, 3), "n_features and n_classes must be >= 1, got 0 and 3"),
    (lambda: T.ClassMoments(6, 4).update(X, Y), r"features must be \(b, 6\), got \(40, 5\)"),
    (lambda: T.ClassMoments(5, 3).update(X, Y), r"labels must be in 0..2, got 0..3"),
    (lambda: T.ClassMoments(5, 4).update(X, Y - 1), r"labels must be in 0..3, got -1..2"),
    (lambda: T.ClassMoments(5, 4).update(changed(np.nan), Y), "features must be finite"),
    (lambda: T.ClassMoments(5, 4).merge(T.ClassMoments(5, 3)), "other must have 5 features and 4 classes, got 5 and 3"),
    (lambda: T.rank_correlation([1, 2], [1, 2, 3]), r"performance must be \(2,\) as scores, got \(3,\)"),
    (lambda: T.rank_correlation([1], [1]), r"scores must be \(m,\) with at least two candidates"),
    (lambda: T.rank_correlation([1, 2, 3], [2, 2, 2]), "performance must not be constant, got 2.0 3 times"),
    (lambda: T.rank_correlation([1, np.nan], [1, 2]), "scores must be finite"),
    (lambda: T.rank_correlation(["a", "b"], [1, 2]), "scores must be finite numbers"),
    (lambda: T.rank_correlation([1, 2], [1, 2], n_boot=-1), "n_boot must be >= 0, got -1")])
def test_guard(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_refused_batch_changes_nothing():
    moments = T.ClassMoments(5, 4).update(X, Y)
    before = T.scores(moments)
    with pytest.raises(ValueError):
        moments.update(changed(np.nan), Y)
    assert T.scores(moments) == before
