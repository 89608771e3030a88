"""The laws that the measures obey, over random features, and their equations written out plainly."""
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transfer_cases import labelled, softmax

from tlutils import transferability as T

SEEDS = st.integers(0, 10_000)
SHAPES = st.tuples(st.integers(12, 60), st.integers(1, 25), st.integers(2, 4))  # wide, square and tall ones
PLAIN = {"transrate": T.transrate, "h_score": T.h_score, "logme": T.logme, "lfc": T.lfc,
         "h_score_shrinkage": lambda x, y: T.h_score(x, y, shrinkage=True)}
few = settings(max_examples=25, deadline=None)


def data(seed, shape):
    n, d, c = shape
    return labelled(seed, n, d, c)


def rotation(seed, d):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def entropy(y):
    p = np.unique(y, return_counts=True)[1] / len(y)
    return -(p * np.log(p)).sum()


def same(a, b, rel=1e-8):
    assert a == pytest.approx(b, rel=rel, abs=1e-9)


# equations, written out

def plain_transrate(x, y, eps, weights, class_scale):
    z = x - x.mean(0)

    def logdet(a, scale):
        return np.linalg.slogdet(np.eye(a.shape[1]) + a.T @ a / scale)[1]

    classes = np.unique(y)
    total = 0.5 * logdet(z, len(z) * eps)
    for c in classes:
        own = z[y == c]
        share = len(own) / len(z) if weights == "proportional" else 1 / len(classes)
        total -= share * 0.5 * logdet(own, (len(own) if class_scale == "n_c" else len(z)) * eps)
    return total


@few
@given(SEEDS, SHAPES, st.sampled_from([1e-2, 1.0]), st.sampled_from(["proportional", "uniform"]),
       st.sampled_from(["n_c", "n"]))
def test_transrate_is_its_equation(seed, shape, eps, weights, class_scale):
    x, y = data(seed, shape)
    same(T.transrate(x, y, eps=eps, weights=weights, class_scale=class_scale),
         plain_transrate(x, y, eps, weights, class_scale))


@few
@given(SEEDS, SHAPES)
def test_h_score_is_the_sum_of_squared_canonical_correlations(seed, shape):
    x, y = data(seed, shape)
    z, onehot = x - x.mean(0), np.equal.outer(y, np.unique(y)).astype(float)
    bases = []
    for a in (z, onehot - onehot.mean(0)):
        u, s, _ = np.linalg.svd(a, full_matrices=False)
        bases.append(u[:, s > 1e-9 * s[0]])
    same(T.h_score(x, y), (np.linalg.svd(bases[0].T @ bases[1], compute_uv=False) ** 2).sum())


@few
@given(SEEDS, SHAPES)
def test_shrunk_h_score_is_its_equation(seed, shape):
    from sklearn.covariance import LedoitWolf
    x, y = data(seed, shape)
    fit = LedoitWolf(assume_centered=True).fit(x - x.mean(0))
    g = np.stack([x[y == c].mean(0) for c in y])
    between = np.atleast_2d(np.cov(g, rowvar=False))
    expected = np.trace(np.linalg.pinv(fit.covariance_) @ ((1 - fit.shrinkage_) * between))
    same(T.h_score(x, y, shrinkage=True), expected)


def plain_evidence(x, y, alpha, beta):
    n = len(y)
    cov = np.eye(n) / beta + x @ x.T / alpha  # y ~ N(0, cov)
    return -0.5 * (np.linalg.slogdet(2 * np.pi * cov)[1] + y @ np.linalg.solve(cov, y)) / n


@few
@given(SEEDS, SHAPES, st.floats(-3, 3), st.floats(-3, 3))
def test_logme_is_the_largest_evidence(seed, shape, log_alpha, log_beta):
    x, y = data(seed, shape)
    targets = [(y == c).astype(float) for c in np.unique(y)]
    anywhere = np.mean([plain_evidence(x, t, math.exp(log_alpha), math.exp(log_beta)) for t in targets])
    assert T.logme(x, y) >= anywhere - 1e-9
    assert T.logme(x, y) >= T.logme(x, y, method="fixed_point") - 1e-9


def test_logme_reaches_the_largest_evidence():
    from scipy.optimize import minimize
    for seed, shape in ((0, (40, 6)), (1, (20, 20)), (2, (15, 30))):
        x, y = labelled(seed, *shape, C=2, spread=0.3)
        t = (y == 0).astype(float)
        loss = partial(lambda x, t, u: -plain_evidence(x, t, *np.exp(np.clip(u, -20, 20))), x, t)
        options = {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 4000}
        best = max(-minimize(loss, [a, b], method="Nelder-Mead", options=options).fun
                   for a in (0.0, 3.0) for b in (0.0, 3.0))
        assert T.logme(x, t, task="regression") == pytest.approx(best, abs=1e-7)


@few
@given(SEEDS, SHAPES)
def test_lfc_is_its_equation(seed, shape):
    x, y = data(seed, shape)
    kernel, agree = x @ x.T, 2.0 * np.equal.outer(y, y) - 1
    kernel, agree = kernel - kernel.mean(), agree - agree.mean()
    same(T.lfc(x, y), (kernel * agree).sum() / np.linalg.norm(kernel) / np.linalg.norm(agree))


@few
@given(SEEDS, st.integers(5, 40), st.integers(1, 6), st.integers(2, 4))
def test_leep_and_nce_are_their_equations(seed, n, n_source, n_classes):
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, n_classes, n), softmax(2 * rng.standard_normal((n, n_source)))
    total, z = 0.0, p.argmax(1)
    for i in range(n):
        total += math.log(sum(p[i, k] * p[y == y[i], k].sum() / p[:, k].sum() for k in range(n_source)))
    same(T.leep(p, y), total / n)
    same(T.nce(z, y), sum(math.log(np.sum((z == z[i]) & (y == y[i])) / np.sum(z == z[i])) for i in range(n)) / n)


# laws

@few
@given(SEEDS, SHAPES, st.sampled_from(sorted(PLAIN)))
def test_order_names_and_rotation_do_not_matter(seed, shape, name):
    x, y = data(seed, shape)
    measure, value = PLAIN[name], PLAIN[name](x, y)
    order = np.random.default_rng(seed).permutation(len(y))
    same(measure(x[order], y[order]), value)
    same(measure(x, -7 * y + 3), value)
    same(measure(x @ rotation(seed, x.shape[1]), y), value, 1e-7)


@few
@given(SEEDS, SHAPES, st.floats(-50, 50))
def test_translation(seed, shape, by):
    x, y = data(seed, shape)
    for name in ("transrate", "h_score", "h_score_shrinkage"):
        same(PLAIN[name](x + by, y), PLAIN[name](x, y), 1e-6)


@few
@given(SEEDS, SHAPES, st.sampled_from([1e-6, 1e-3, 0.5, 30.0, 1e5]))
def test_scale(seed, shape, a):
    x, y = data(seed, shape)
    same(T.transrate(a * x, y, eps=a * a * 0.01), T.transrate(x, y, eps=0.01), 1e-7)
    for name in set(PLAIN) - {"transrate"}:
        same(PLAIN[name](a * x, y), PLAIN[name](x, y), 1e-7)


@few
@given(SEEDS, SHAPES)
def test_features_twice_zero_features_constant_features(seed, shape):
    x, y = data(seed, shape)
    twice, zero, constant = np.hstack([x, x]), np.hstack([x, 0 * x]), np.hstack([x, np.full((len(x), 1), 0.1)])
    same(T.transrate(twice, y, eps=0.1), T.transrate(x, y, eps=0.05), 1e-7)
    for name in ("h_score", "logme", "lfc"):
        same(PLAIN[name](twice, y), PLAIN[name](x, y), 1e-6)
        same(PLAIN[name](zero, y), PLAIN[name](x, y), 1e-7)
    for name in ("transrate", "h_score", "lfc"):
        same(PLAIN[name](constant, y), PLAIN[name](x, y), 1e-6)
    same(T.transrate(zero, y), T.transrate(x, y), 1e-7)


@few
@given(SEEDS, SHAPES)
def test_everything_twice(seed, shape):
    x, y = data(seed, shape)
    for name in ("transrate", "h_score", "lfc"):
        same(PLAIN[name](np.vstack([x, x]), np.tile(y, 2)), PLAIN[name](x, y), 1e-6)


@few
@given(SEEDS, st.tuples(st.integers(40, 80), st.integers(1, 8), st.integers(2, 4)))
def test_h_score_knows_no_linear_maps_and_grows_with_features(seed, shape):
    x, y = data(seed, shape)
    mix = rotation(seed, x.shape[1]) * np.logspace(0, 3, x.shape[1])
    same(T.h_score(x @ mix, y), T.h_score(x, y), 1e-6)
    assert T.h_score(x[:, :-1], y) <= T.h_score(x, y) + 1e-9 if x.shape[1] > 1 else True


@few
@given(SEEDS, SHAPES, st.floats(-4, 1))
def test_bounds(seed, shape, log_eps):
    x, y = data(seed, shape)
    eps, c = 10.0**log_eps, len(np.unique(y))
    rate = T.coding_rate(x - x.mean(0), eps=eps)
    assert 0 <= T.transrate(x, y, eps=eps) <= rate * (1 + 1e-9)
    assert T.coding_rate(x, eps=2 * eps) < T.coding_rate(x, eps=eps)
    refined = y * 2 + np.arange(len(y)) % 2
    assert T.transrate(x, refined, eps=eps) >= T.transrate(x, y, eps=eps) - 1e-8 * rate
    assert -1e-9 <= T.h_score(x, y) <= min(c - 1, x.shape[1]) + 1e-9
    assert 0 <= T.h_score(x, y, shrinkage=True) <= len(y) / (len(y) - 1) * (c - 1) + 1e-9
    assert -1 <= T.lfc(x, y) <= 1


@few
@given(SEEDS, st.integers(10, 40), st.integers(2, 5), st.integers(2, 4))
def test_laws_of_leep_and_nce(seed, n, n_source, n_classes):
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, n_classes, n), softmax(rng.standard_normal((n, n_source)))
    z, h = p.argmax(1), entropy(y)
    soft = np.stack([p[y == c].sum(0) for c in np.unique(y)]) / p.sum(0)
    soft_nce = (p * np.log(soft)[np.unique(y, return_inverse=True)[1]]).sum() / n
    assert -h - 1e-12 <= soft_nce <= T.leep(p, y) + 1e-12 <= 1e-12
    assert -h - 1e-12 <= T.nce(z, y) <= 0
    same(T.leep(np.eye(n_source)[z], y), T.nce(z, y))
    same(T.leep(np.full((n, n_source), 1 / n_source), y), -h)
    same(T.nce(np.zeros(n, int), y), -h)
    assert T.nce(y, y) == 0.0 and math.copysign(1, T.nce(y, y)) == 1
    assert T.nce(z * 2 + np.arange(n) % 2, y) >= T.nce(z, y) - 1e-12
    split = np.hstack([p[:, :1] * 0.3, p[:, 1:], p[:, :1] * 0.7, np.zeros((n, 1))])
    same(T.leep(split, y), T.leep(p, y))
    same(T.nce(-5 * z + 10**12, y * 3 - 40), T.nce(z, y))


@few
@given(SEEDS, SHAPES, st.floats(0.1, 20))
def test_laws_of_logme(seed, shape, c):
    x, y = data(seed, shape)
    target = np.random.default_rng(seed).standard_normal(len(y))
    same(T.logme(x, -c * target), T.logme(x, target) - math.log(c))
    same(T.logme(x, target[:, None]), T.logme(x, target))
    same(T.logme(x, np.stack([target, 2 * target], 1)), T.logme(x, target) - 0.5 * math.log(2))
    wide = np.hstack([x, np.zeros((len(x), len(x)))])
    same(T.logme(wide, y), T.logme(x, y), 1e-7)
    same(T.logme(wide, y, method="fixed_point"), T.logme(x, y, method="fixed_point"), 1e-7)


# known numbers

def test_known_numbers():
    x, y = labelled(0, 60, 4, 3)
    onehot = np.eye(3)[y]
    assert T.transrate(x, np.zeros(60, int)) == 0.0
    assert T.transrate(x[:2], [0, 1]) == 0.0
    assert T.transrate(np.zeros((6, 2)), [0, 0, 1, 1, 2, 2]) == 0.0
    same(T.h_score(onehot, y), 2)
    same(T.lfc(onehot, y), 1)
    assert T.h_score(x, np.zeros(60, int)) == pytest.approx(0, abs=1e-12)
    same(T.h_score(np.random.default_rng(0).standard_normal((12, 40)), np.arange(12) % 3), 2)
    eta2 = sum(20 * (x[y == c, 0].mean() - x[:, 0].mean()) ** 2 for c in range(3)) / (60 * x[:, 0].var())
    same(T.h_score(x[:, :1], y), eta2)
    same(T.h_score(x[:, :1], y, shrinkage=True), eta2 * 60 / 59)
    same(T.logme(np.zeros((60, 2)), y), T.logme(np.zeros((60, 2)), y, method="fixed_point"))
    p = 1 / 3  # no features: y ~ N(0, 1/b) with the best b
    same(T.logme(np.zeros((60, 2)), y), -0.5 * (math.log(2 * math.pi * p) + 1))


def test_a_direction_a_million_times_smaller_still_counts():
    x, y = labelled(4, 300, 6, 3)
    close = x.copy()
    close[:, 1] = x[:, 0] + 2e-6 * x[:, 1]
    same(T.h_score(close, y), T.h_score(x, y), 1e-3)


def test_weights_change_what_imbalance_does():
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], [990, 10])
    x = rng.standard_normal((1000, 20)) * np.where(y, 0.05, 1)[:, None]
    uniform, proportional = (T.transrate(x, y, weights=w) for w in ("uniform", "proportional"))
    assert uniform != pytest.approx(proportional, rel=0.1) and proportional > 0


def test_signal_beats_permuted_labels():
    x, y = labelled(5, 200, 10, 4)
    permuted = np.random.default_rng(0).permutation(y)
    assert all(measure(x, y) > measure(x, permuted) for measure in PLAIN.values())
