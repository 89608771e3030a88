"""Distances between domains: known values, invariances, limits, bad input."""
import numpy as np
import pytest
import torch

from tlutils.domain import coral, mmd, proxy_a_distance


def test_a_distance_of_one_domain_is_small_and_of_two_far_ones_is_two():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 400, 5))
    assert proxy_a_distance(a, b, seed=0) < 0.25
    assert proxy_a_distance(a, b + 20, seed=0) == 2.0
    middle = proxy_a_distance(a, b + 0.7, seed=0)
    assert 0.5 < middle < 1.6 and middle == proxy_a_distance(a, b + 0.7, seed=0)
    assert proxy_a_distance(3 * a - 1, 3 * b + 1.1, seed=0) == pytest.approx(middle)  # standardised


def test_a_distance_counts_both_domains_the_same_whatever_their_sizes():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((900, 3)), rng.standard_normal((60, 3))
    assert proxy_a_distance(a, b, seed=0) < 0.5  # guessing the larger domain would look like 1.8


def test_coral_is_the_equation_and_ignores_the_means():
    rng = torch.Generator().manual_seed(0)
    s, t = torch.randn(50, 4, generator=rng, dtype=torch.float64), torch.randn(70, 4, generator=rng).double() * 2
    cov = [np.cov(z.numpy().T) for z in (s, t)]
    assert coral(s, t).item() == pytest.approx(((cov[0] - cov[1]) ** 2).sum() / (4 * 16))
    assert coral(s, s + 5).item() == pytest.approx(0, abs=1e-20) and coral(s, t) == coral(t, s)
    assert coral(s[:, :1], t[:, :1]).item() == pytest.approx((s[:, 0].var() - t[:, 0].var()).item() ** 2 / 4)


def test_mmd_is_the_equation_zero_for_equals_and_grows_with_the_distance():
    rng = torch.Generator().manual_seed(0)
    s, t = (torch.randn(n, 3, generator=rng, dtype=torch.float64) for n in (20, 30))
    z = torch.cat([s, t])
    squared = torch.cdist(z, z) ** 2
    k = torch.stack([torch.exp(-squared / (c * squared.mean())) for c in (0.25, 0.5, 1, 2, 4)]).mean(0)
    expected = k[:20, :20].mean() + k[20:, 20:].mean() - 2 * k[:20, 20:].mean()
    assert mmd(s, t).item() == pytest.approx(expected.item(), rel=1e-10)
    assert mmd(s, s).item() == pytest.approx(0, abs=1e-14)
    assert mmd(s, t).item() < mmd(s, t + 1).item() < mmd(s, t + 3).item()
    torch.testing.assert_close(mmd(s, t + 1), mmd(10 * s, 10 * t + 10))  # the kernel's width follows the data


@pytest.mark.parametrize("distance", [coral, mmd])
def test_a_gradient_step_brings_the_domains_closer(distance):
    rng = torch.Generator().manual_seed(0)
    s, t = torch.randn(40, 3, generator=rng), 2 * torch.randn(40, 3, generator=rng) + 1
    t.requires_grad_()
    before = distance(s, t)
    before.backward()
    assert distance(s, t.detach() - 0.5 * t.grad) < before


@pytest.mark.parametrize("call, message", [
    (lambda: coral(torch.ones(1, 2), torch.ones(3, 2)), r"source_features must be \(n, d\)"),
    (lambda: coral(torch.ones(3, 2), torch.ones(3, 4)), r"target_features .* got \(3, 4\)"),
    (lambda: mmd(torch.ones(3), torch.ones(3, 2)), "source_features"),
    (lambda: mmd(torch.ones(3, 2), torch.ones(3, 2), scales=(1, 0)), "scales must be positive"),
    (lambda: proxy_a_distance(np.ones((3, 2)), np.ones((9, 2)), seed=0), "source_features must be a finite matrix"),
    (lambda: proxy_a_distance(np.ones((9, 2)), np.full((9, 2), np.nan), seed=0), "target_features must be a finite"),
    (lambda: proxy_a_distance(np.ones((9, 2)), np.ones((9, 3)), seed=0), "the same features, got 2 and 3")])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
