"""Without negatives a constant satisfies the loss, and the spread of its features shows it."""
import math

import pytest
import torch
from torch.nn import functional as F

from tlutils.selfsup import alignment_loss, nt_xent, spread


def test_a_constant_satisfies_alignment_and_not_contrast():
    constant = torch.tensor([0.3, -0.2, 0.5]).expand(6, 3)
    assert alignment_loss(constant, constant).item() == pytest.approx(0, abs=1e-6)
    assert nt_xent(constant, constant, temperature=0.2).item() == pytest.approx(math.log(11), abs=1e-5)


def test_alignment_is_the_mean_squared_distance_on_the_sphere():
    a, b = torch.randn(2, 7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean()
    torch.testing.assert_close(alignment_loss(a, b), expected)
    torch.testing.assert_close(alignment_loss(3 * a, -a), torch.tensor(4.0, dtype=torch.float64))


def test_spread_of_one_direction_and_of_all():
    assert spread(torch.ones(50, 8)) == pytest.approx(0, abs=1e-6)
    assert spread(torch.randn(5000, 8)) == pytest.approx(1, abs=0.02)


def test_guards():
    with pytest.raises(ValueError, match=r"z1 and z2 must be \(N, d\) .* got \(4, 3\) and \(4, 2\)"):
        alignment_loss(torch.ones(4, 3), torch.ones(4, 2))
    for wrong in (torch.ones(3), torch.ones(1, 3)):
        with pytest.raises(ValueError, match=r"z must be \(n, d\) with n > 1, got \("):
            spread(wrong)
