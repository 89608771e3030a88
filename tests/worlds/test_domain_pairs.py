"""Pairs of domains: what may be seen is centred, what must not be seen is held apart, and shares are drawn as told."""
import numpy as np
import pytest
import torch
from PIL import Image

from tlutils import data
from tlutils.worlds import domains

SIZES = {"n_source": 200, "n_target": 150, "n_held": 50, "n_test": 60}


@pytest.fixture(scope="module")
def both():
    return domains.domain_pair("textured", 0, **SIZES)


def test_domains_are_of_one_shape_and_centred(both):
    assert both.x_s.shape == (200, 3, 24, 24) and both.x_t.shape == (150, 3, 24, 24)
    assert both.x_held.shape == (50, 3, 24, 24) and both.x_test.shape == (60, 3, 24, 24)
    middle = (torch.cat([both.x_s, both.x_held]).mean((0, 2, 3)) + both.x_t.mean((0, 2, 3))) / 2
    assert torch.allclose(middle, torch.zeros(3, device=middle.device), atol=1e-4)
    again, other = (domains.domain_pair("textured", seed, **SIZES) for seed in (0, 1))
    assert torch.equal(both.x_t, again.x_t) and not torch.equal(both.x_t, other.x_t)


def test_bags_of_words_know_the_words_of_both_products():
    both = domains.domain_pair("reviews", 0, **SIZES)
    assert both.x_s.shape[1] == both.x_t.shape[1] == both.x_test.shape[1] and both.n_classes == 2
    assert (len(both.x_s), len(both.x_held), len(both.x_t), len(both.x_test)) == (200, 50, 150, 60)
    middle = (torch.cat([both.x_s, both.x_held]).mean(0) + both.x_t.mean(0)) / 2
    torch.testing.assert_close(middle, torch.zeros_like(middle), atol=1e-5, rtol=0)


def test_handwriting_is_taken_whole():
    both = domains.domain_pair("handwriting", 0, **SIZES)
    real = data.load("digits")
    assert len(both.x_t) == len(real.train_images) and len(both.x_test) == len(real.test_images)
    assert both.y_test.tolist() == real.test_labels.tolist() and len(both.x_held) == 50


def test_shares_draw_the_classes_that_they_name():
    skewed = domains.domain_pair("textured", 0, **SIZES | {"n_target": 2000}, shares=(3, 1, *[0] * 8))
    counts = np.bincount(skewed.y_t.cpu(), minlength=10)
    assert counts[2:].sum() == 0 and 2.3 < counts[0] / counts[1] < 3.9
    assert set(skewed.y_test.tolist()) == {0, 1} and len(set(skewed.y_s.tolist())) == 10


def test_shares_hold_however_often_the_classes_came():
    labels = np.repeat([0, 1], [3000, 300])
    images, drawn = domains.drawn(labels.copy(), labels, (1, 3), seed=0)
    assert np.array_equal(images, drawn) and len(drawn) == 3300 and 0.72 < drawn.mean() < 0.78


@pytest.mark.parametrize("shares", [(1,), (0, 0), (2, -1)])
def test_shares_that_are_none_are_named(shares):
    labels = np.array([0, 1, 1])
    with pytest.raises(ValueError, match="shares must be >= 0, not all zero, one for each of 2 classes"):
        domains.drawn(labels, labels, shares, seed=0)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="pair must be one of textured, .*got 'cats'"):
        domains.domain_pair("cats", 0, **SIZES)
    with pytest.raises(ValueError, match="shares must be None for the pair reviews"):
        domains.domain_pair("reviews", 0, **SIZES, shares=(1, 1))


def test_mnist_m_runs_without_its_photographs_and_with_them(monkeypatch, tmp_path):
    monkeypatch.setenv("TLUTILS_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="BSDS500"):
        domains.domain_pair("mnist_m", 0, **SIZES)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (300, 28, 28), dtype=np.uint8), np.arange(300) % 10
    made = data.Dataset("mnist", images, labels, images[:40], labels[:40], np.array([str(k) for k in range(10)]))
    monkeypatch.setattr(data, "load", lambda name, **_: made)
    sizes = {"n_source": 100, "n_target": 120, "n_held": 50, "n_test": 60}
    both = domains.domain_pair("mnist_strips", 0, **sizes)
    assert both.x_s.shape == (100, 3, 28, 28) and both.x_t.shape == (120, 3, 28, 28) and len(both.x_test) == 40
    folder, published = domains.published_mnist_m()
    folder.mkdir(parents=True)
    np.savez(published, images=np.zeros((5, 32, 32, 3), np.uint8), labels=np.arange(5))
    for name in ("one", "two"):
        picture = np.random.default_rng(len(name)).integers(0, 256, (60, 70, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{name}.jpg")
    assert len(domains.domain_pair("mnist_m", 0, **sizes).x_test) == 5
