"""Gabor functions fitted to filters: against a naive transcription, limit cases, invariances, and one small run."""
import dataclasses

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from tlutils import results
from tlutils.experiments import first_layer

TINY = dataclasses.replace(first_layer.LAPTOP, sources=("letters", "texture"), n_train=128, n_test=64, n_classes=12,
                           n_filters=4, steps=2, batch_size=32)


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
    fit, share = first_layer.gabor_fit(picture[None])
    assert share == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(fit[0], picture, atol=1e-9)


def test_share_is_at_least_that_of_any_member_by_least_squares_and_is_reached():
    w = np.random.default_rng(0).normal(size=(7, 7))
    _, (share,) = first_layer.gabor_fit(w[None])
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
    share = first_layer.gabor_fit(w)[1]
    for other in (-2 * w, np.rot90(w, axes=(1, 2)), w[:, ::-1]):
        np.testing.assert_allclose(first_layer.gabor_fit(other)[1], share, rtol=1e-9)


def test_noise_scores_little_and_a_checkerboard_least():
    noise = first_layer.gabor_fit(np.random.default_rng(3).normal(size=(300, 7, 7)))[1]
    assert 0.2 < noise.mean() < 0.27
    checkerboard = (-1.0) ** np.add.outer(np.arange(7), np.arange(7))
    assert first_layer.gabor_fit(checkerboard[None])[1] < 0.2


def test_pairs_are_orthonormal():
    pairs = first_layer.gabor_dictionary(7)
    gram = np.einsum("mip,mjp->mij", pairs, pairs)
    np.testing.assert_allclose(gram[:, 0, 0], 1)
    np.testing.assert_allclose(gram[:, 0, 1], 0, atol=1e-9)
    assert set(np.round(gram[:, 1, 1], 6)) == {0.0, 1.0}


def test_scramble_keeps_energy_and_amplitudes_and_loses_the_shape():
    w = np.stack([gabor(0.3, 1 / 6, 1.5, 1, 0, 0)] * 20)
    mixed = first_layer.scramble(w, seed=0)
    np.testing.assert_allclose((mixed**2).sum((1, 2)), (w**2).sum((1, 2)))
    np.testing.assert_allclose(np.abs(np.fft.fft2(mixed)), np.abs(np.fft.fft2(w)), atol=1e-9)
    assert first_layer.gabor_fit(mixed)[1].mean() < first_layer.gabor_fit(w)[1].mean() - 0.2


@pytest.mark.parametrize("pictures, words", [(np.zeros((3, 7)), r"pictures must be \(n, k, k\), got \(3, 7\)"),
                                             (np.ones((2, 7, 5)), r"got \(2, 7, 5\)"),
                                             (np.zeros((1, 7, 7)), "number 0 is zero")])
def test_bad_pictures_are_named(pictures, words):
    with pytest.raises(ValueError, match=words):
        first_layer.gabor_fit(pictures)


def test_colour_filters_give_their_main_pattern():
    pattern = gabor(0.5, 1 / 8, 1.5, 1, 0, 1)
    conv = nn.Conv2d(3, 2, 7)
    with torch.no_grad():
        conv.weight[0] = torch.tensor([0.2, -1.0, 0.4]).view(3, 1, 1) * torch.tensor(pattern)
    grey = first_layer.filters(nn.Sequential(conv))
    np.testing.assert_allclose((grey**2).sum((1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(grey[0], pattern / np.linalg.norm(pattern), atol=1e-5)


def test_network_starts_small_and_is_fixed_by_its_seed():
    small, usual = (first_layer.network(5, dataclasses.replace(TINY, initial_scale=s), seed=4) for s in (0.1, 1.0))
    assert small[0][0].weight.shape == (4, 1, 7, 7)
    torch.testing.assert_close(10 * small[0][0].weight, usual[0][0].weight)
    assert torch.equal(small.head.weight, usual.head.weight)
    assert small(torch.zeros(2, 1, 24, 24, device=small.head.weight.device)).shape == (2, 5)


def test_an_unknown_source_is_named():
    with pytest.raises(ValueError, match="got 'cats'"):
        first_layer.task("cats", TINY, 0)


def test_a_small_run_gives_complete_rows_and_repeats_itself():
    rows = first_layer.run(TINY, seed=1)
    results.check_rows(rows)
    assert {(r["source"], r["method"], r["metric"]) for r in rows} == {
        (s, m, "gabor_share") for s in TINY.sources for m in ("untrained", "trained", "scrambled")} | {
        (s, "trained", "accuracy") for s in TINY.sources}
    assert rows == first_layer.run(TINY, seed=1)
    untrained = [r["value"] for r in rows if r["method"] == "untrained"]
    assert untrained[0] == untrained[1]            # the same initial values, whatever the source


def test_filters_of_a_pretrained_file_keep_their_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    state = torchvision.models.squeezenet1_0(num_classes=3).state_dict()
    torch.save(state, folder / "some.pth")
    config = dataclasses.replace(TINY, pretrained=("squeezenet1_0", "some.pth"))
    rows = first_layer.run(config, seed=0)
    results.check_rows(rows)
    kept = [row for row in rows if "pixels" in row]
    weight = state["features.0.weight"].numpy()
    assert len(kept) == len(weight) and len(rows) == 3 * len(weight)
    picture = np.frombuffer(bytes.fromhex(kept[5]["pixels"]), np.uint8).reshape(7, 7, 3).transpose(2, 0, 1)
    np.testing.assert_allclose(picture / 127.5 - 1, weight[5] / np.abs(weight[5]).max(), atol=0.005)
    assert "some.pth" in first_layer.describe(config)["name"]
