"""Gabor functions fitted to filters: against a naive transcription, limit cases, invariances; filters as pictures."""
import numpy as np
import pytest
import torch
from torch import nn

from tlutils import analysis


def gabor(theta, f, s, a, cx, cy, phase=0.0, side=7):
    """One Gabor function, pixel by pixel, as the equation says."""
    picture = np.zeros((side, side))
    for i in range(side):
        for j in range(side):
            x, y = j - (side - 1) / 2 - cx, i - (side - 1) / 2 - cy
            u, v = x * np.cos(theta) + y * np.sin(theta), y * np.cos(theta) - x * np.sin(theta)
            picture[i, j] = np.exp(-(u**2 + (v / a) ** 2) / (2 * s**2)) * np.cos(2 * np.pi * f * u - phase)
    return picture


@pytest.mark.parametrize("theta, f, s, a, cx, cy, phase", [
    (0, 1 / 6, 1.5, 1, 0, 0, 0.0), (np.pi / 4, 1 / 8, 2.2, 2, 1, -2, 0.7),
    (np.pi / 12, 1 / 4, 1.0, 1, -1, 0, -2.0), (0, 0, 1.5, 1, 2, 1, 0.0)])
def test_a_gabor_function_of_the_grid_is_explained_wholly(theta, f, s, a, cx, cy, phase):
    picture = -3.0 * gabor(theta, f, s, a, cx, cy, phase)
    fit, share = analysis.gabor_fit(picture[None])
    assert share == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(fit[0], picture, atol=1e-9)


def test_share_is_at_least_that_of_any_member_by_least_squares_and_is_reached():
    w = np.random.default_rng(0).normal(size=(7, 7))
    _, (share,) = analysis.gabor_fit(w[None])
    rng, best = np.random.default_rng(1), 0.0
    for _ in range(300):
        theta, f = np.pi * rng.integers(12) / 12, rng.choice([0, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 3])
        rest = rng.choice([1, 1.5, 2.2, 3.2]), rng.choice([1, 2]), rng.integers(-2, 3), rng.integers(-2, 3)
        basis = np.stack([gabor(theta, f, *rest, phase=p).ravel() for p in (0, np.pi / 2)], 1)
        fitted = basis @ np.linalg.lstsq(basis, w.ravel(), rcond=None)[0]
        best = max(best, (fitted**2).sum() / (w**2).sum())
    assert best <= share + 1e-9
    assert share < 1.6 * best                      # 300 of 14,400 members already come close


def test_share_ignores_scale_sign_and_a_quarter_turn():
    w = np.random.default_rng(2).normal(size=(5, 7, 7))
    share = analysis.gabor_fit(w)[1]
    for other in (-2 * w, np.rot90(w, axes=(1, 2)), w[:, ::-1]):
        np.testing.assert_allclose(analysis.gabor_fit(other)[1], share, rtol=1e-9)


def test_noise_scores_little_and_a_checkerboard_least():
    noise = analysis.gabor_fit(np.random.default_rng(3).normal(size=(300, 7, 7)))[1]
    assert 0.2 < noise.mean() < 0.27
    checkerboard = (-1.0) ** np.add.outer(np.arange(7), np.arange(7))
    assert analysis.gabor_fit(checkerboard[None])[1] < 0.2


def test_pairs_are_orthonormal():
    pairs = analysis.gabor_dictionary(7)
    gram = np.einsum("mip,mjp->mij", pairs, pairs)
    np.testing.assert_allclose(gram[:, 0, 0], 1)
    np.testing.assert_allclose(gram[:, 0, 1], 0, atol=1e-9)
    assert set(np.round(gram[:, 1, 1], 6)) == {0.0, 1.0}


def test_scramble_keeps_energy_and_amplitudes_and_loses_the_shape():
    w = np.stack([gabor(0.3, 1 / 6, 1.5, 1, 0, 0)] * 20)
    mixed = analysis.scramble(w, seed=0)
    np.testing.assert_allclose((mixed**2).sum((1, 2)), (w**2).sum((1, 2)))
    np.testing.assert_allclose(np.abs(np.fft.fft2(mixed)), np.abs(np.fft.fft2(w)), atol=1e-9)
    assert analysis.gabor_fit(mixed)[1].mean() < analysis.gabor_fit(w)[1].mean() - 0.2


@pytest.mark.parametrize("pictures, words", [(np.zeros((3, 7)), r"pictures must be \(n, k, k\), got \(3, 7\)"),
                                             (np.ones((2, 7, 5)), r"got \(2, 7, 5\)"),
                                             (np.zeros((1, 7, 7)), "number 0 is zero")])
def test_bad_pictures_are_named(pictures, words):
    with pytest.raises(ValueError, match=words):
        analysis.gabor_fit(pictures)


def test_colour_filters_give_their_main_pattern():
    pattern = gabor(0.5, 1 / 8, 1.5, 1, 0, 1)
    conv = nn.Conv2d(3, 2, 7)
    with torch.no_grad():
        conv.weight[0] = torch.tensor([0.2, -1.0, 0.4]).view(3, 1, 1) * torch.tensor(pattern)
    grey = analysis.filters(nn.Sequential(conv))
    np.testing.assert_allclose((grey**2).sum((1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(grey[0], pattern / np.linalg.norm(pattern), atol=1e-5)


def test_a_network_without_a_convolution_is_refused_and_a_filter_of_zeros_stays():
    with pytest.raises(ValueError, match="model must have a convolution, got a Linear"):
        analysis.filters(nn.Linear(3, 3))
    conv = nn.Conv2d(1, 2, 3)
    with torch.no_grad():
        conv.weight[0] = 0
    grey = analysis.filters(conv)
    assert (grey[0] == 0).all() and (grey[1] ** 2).sum() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("shape", [(7, 7), (2, 7, 5)])
def test_what_is_no_stack_of_square_pictures_is_not_scrambled(shape):
    with pytest.raises(ValueError, match=r"pictures must be \(n, k, k\)"):
        analysis.scramble(np.ones(shape), seed=0)


def test_scrambled_pictures_depend_on_the_seed_alone():
    w = np.random.default_rng(5).normal(size=(3, 7, 7))
    one, again, other = (analysis.scramble(w, seed) for seed in (0, 0, 1))
    assert np.array_equal(one, again) and not np.allclose(one, other)


def test_a_dictionary_needs_a_side():
    with pytest.raises(ValueError, match="side must be >= 1, got 0"):
        analysis.gabor_dictionary(0)
    assert analysis.gabor_dictionary(7).shape == (14_400, 2, 49)
