"""Streaming over batches gives what all features at once give; types, layouts and devices do not matter."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transfer_cases import labelled, softmax

from tlutils import transferability as T
from tlutils.transferability import _blas, _inputs

MEASURES = {"transrate": T.transrate, "uniform": lambda *a: T.transrate(*a, weights="uniform", class_scale="n"),
            "h_score": T.h_score, "shrinkage": lambda *a: T.h_score(*a, shrinkage=True), "logme": T.logme,
            "fixed_point": lambda *a: T.logme(*a, method="fixed_point"), "lfc": T.lfc}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 12), st.integers(1, 60), st.sampled_from([0.0, 1e3]))
def test_streamed_and_merged_is_all_at_once(seed, d, cut, offset):
    x, y = labelled(seed, 90, d, 3)
    x = x + offset
    moments, other = T.ClassMoments(d, 5), T.ClassMoments(d, 5)
    moments.update(x[:cut], y[:cut])
    for i in range(cut, 90, 17):
        other.update(torch.from_numpy(x[i:i + 17]), y[i:i + 17])
    moments.merge(other)
    for name, measure in MEASURES.items():
        assert measure(moments) == pytest.approx(measure(x, y), rel=1e-6 if offset else 1e-8, abs=1e-8), name
    assert T.scores(moments) == pytest.approx(T.scores(x, y), rel=1e-6, abs=1e-8)
    assert moments.counts.tolist() == [30, 30, 30, 0, 0]
    np.testing.assert_allclose(moments.sums[1], x[y == 1].sum(0), rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(moments.grams[2], x[y == 2].T @ x[y == 2], rtol=1e-9, atol=1e-7)
    assert not moments.grams[3:].any()


def test_merge_with_empty_moments_and_an_untouched_other():
    x, y = labelled(0, 30, 4, 3)
    full = T.ClassMoments(4, 3).update(x, y)
    value = T.transrate(full)
    assert T.transrate(T.ClassMoments(4, 3).merge(full)) == pytest.approx(value, rel=1e-12)
    assert T.transrate(full.merge(T.ClassMoments(4, 3))) == value
    assert T.ClassMoments(4, 3).counts.tolist() == [0, 0, 0]
    T.ClassMoments(4, 3).update(x + 1, y).merge(full)
    assert T.transrate(full) == value


@pytest.mark.parametrize("features", [
    lambda x: x.astype(np.float32), lambda x: x.astype(np.float16), lambda x: np.asfortranarray(x),
    lambda x: np.ascontiguousarray(x[::-1])[::-1], lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    lambda x: torch.from_numpy(x).requires_grad_(), lambda x: torch.from_numpy(x).bfloat16(),
    lambda x: torch.from_numpy(x).half(), lambda x: np.round(10 * x).astype(np.int16), lambda x: x.astype(">f8"),
    lambda x: torch.from_numpy(x).T.contiguous().T, lambda x: x.tolist(), lambda x: np.round(abs(x)).astype(np.uint8)])
@pytest.mark.parametrize("shape", [(70, 6), (20, 33)])
def test_any_type_and_layout_gives_the_value_of_its_upcast(features, shape):
    x, y = labelled(1, *shape, 4)
    given = features(x)
    if isinstance(given, torch.Tensor):
        upcast = given.detach().double().numpy()
    else:
        upcast = np.asarray(given).astype(np.float64)
    for name, measure in MEASURES.items():
        assert measure(given, y) == measure(upcast, torch.from_numpy(y)), name
    for labels in (y.astype(np.uint8), (5 * y - 9).tolist(), torch.from_numpy(y).int(), y * 10**15):
        assert T.h_score(given, labels) == pytest.approx(T.h_score(upcast, y), rel=1e-12)
    probs = softmax(x).astype(np.float32)
    assert T.leep(probs, y) == T.leep(probs.astype(np.float64), y) == T.leep(torch.from_numpy(probs), y)


def test_memory_that_must_not_be_written_to_is_left_alone():
    x, y = labelled(2, 50, 7, 3)
    x.flags.writeable = y.flags.writeable = False
    before = x.copy()
    for measure in MEASURES.values():
        measure(x, y)
    T.scores(x, y, source_probs=softmax(x))
    T.ClassMoments(7, 3).update(x, y)
    T.logme(x, x[:, 0])
    T.nce(y, y)
    assert np.array_equal(x, before)


def test_float32_features_of_low_rank_are_not_lost():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((500, 6)) @ rng.standard_normal((6, 64))).astype(np.float32)
    assert T.transrate(x, np.arange(500) % 5) == T.transrate(x.astype(np.float64), np.arange(500) % 5)


@pytest.mark.parametrize("counts", [[300, 1, 1, 40, 5000, 2], [1] * 40 + [30], [9000], [600, 2100, 2100]])
def test_blocks_and_groups_of_classes_cover_every_row(monkeypatch, counts):
    monkeypatch.setattr(_inputs, "BLOCK", 256 * 8)
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    x = rng.standard_normal((len(y), 8)) + rng.standard_normal((len(counts), 8))[y]
    z = x - x.mean(0)
    rate = T.coding_rate(z, eps=0.1)
    parts = [len(z[y == c]) / len(z) * 0.5 * np.linalg.slogdet(
        np.eye(8) + z[y == c].T @ z[y == c] / (0.1 * counts[c]))[1] for c in range(len(counts))]
    assert T.transrate(x, y, eps=0.1) == pytest.approx(rate - sum(parts), rel=1e-9, abs=1e-10)
    if len(counts) > 1:
        assert T.scores(x, y)["lfc"] == pytest.approx(T.lfc(x, y), rel=1e-9)


def test_many_determinants_at_once_are_those_one_by_one():
    rng = np.random.default_rng(1)
    zs = [torch.from_numpy(rng.standard_normal((9, k))) for k in (3, 7, 5)]
    many = _blas.batched_logdet([(z.T @ z).triu() for z in zs], [0.5, 2.0, 9.0])
    one = [_blas.logdet_plus_identity((z.T @ z).triu(), s) for z, s in zip(zs, (0.5, 2.0, 9.0), strict=True)]
    assert many == pytest.approx(one, rel=1e-12)


def test_a_determinant_too_large_for_the_identity():
    z = torch.full((3, 40), 1e12, dtype=torch.float64)
    z[:, 0] += torch.tensor([0.0, 3.0, 7.0])
    gram = z.T @ z
    expected = np.log1p(np.linalg.svd(z.numpy(), compute_uv=False) ** 2)[:1].sum()
    assert _blas.logdet_plus_identity(gram, 1.0) >= 0.99 * expected
    assert _blas._by_eigenvalues(gram.triu(), 1.0) >= 0.99 * expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: the values on one cannot be compared")
def test_on_a_gpu_the_values_are_those_on_the_cpu():
    x, y = labelled(3, 400, 24, 5)
    on_gpu = torch.from_numpy(x).to("cuda")
    for name, measure in MEASURES.items():
        assert measure(on_gpu, torch.from_numpy(y).to("cuda")) == pytest.approx(measure(x, y), rel=1e-9), name
    moments = T.ClassMoments(24, 5).update(on_gpu[:100], y[:100]).update(on_gpu[100:], y[100:])
    assert T.scores(moments) == pytest.approx(T.scores(x, y), rel=1e-9)
    assert T.leep(torch.from_numpy(softmax(x)).to("cuda"), y) == pytest.approx(T.leep(softmax(x), y), rel=1e-12)
    wide = torch.from_numpy(x[:10]).to("cuda")
    assert T.scores(wide, y[:10]) == pytest.approx(T.scores(x[:10], y[:10]), rel=1e-8)


def test_eigenvectors_in_factors_turn_there_and_back():
    x = np.random.default_rng(0).standard_normal((40, 7))
    gram, p = torch.from_numpy(x.T @ x), torch.from_numpy(np.random.default_rng(1).standard_normal((7, 3)))
    s, c, back = _blas.eigen_components(gram, p)
    torch.testing.assert_close(s, torch.linalg.eigvalsh(gram))
    torch.testing.assert_close(back(c), p)
    torch.testing.assert_close(back(s[:, None] * c), gram @ p)
