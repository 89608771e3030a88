"""Gradient reversal against the reference, its schedule, and who feels lambda."""
import numpy as np
import pytest
import torch

from tlutils.domain import grad_reverse, grl_schedule


@pytest.mark.parametrize("lam, first", [(1.0, 0.5398622978128441), (0.25, 0.13496557445321103), (0.0, 0.0)])
def test_value_and_gradient_of_the_reference(lam, first):
    rng = np.random.default_rng(401)
    x, w = (torch.tensor(rng.standard_normal((3, 4))) for _ in range(2))
    x.requires_grad_()
    out = grad_reverse(x, lam)
    (w * out).sum().backward()
    assert torch.equal(out, x) and x.grad[0, 0].item() == pytest.approx(first, abs=1e-14)
    torch.testing.assert_close(x.grad, -lam * w)


def test_what_lies_above_learns_at_full_rate():
    x, head = torch.randn(5, 3, requires_grad=True), torch.randn(3, requires_grad=True)
    plain = torch.autograd.grad((x @ head).square().sum(), [x, head])
    turned = torch.autograd.grad((grad_reverse(x, 0.3) @ head).square().sum(), [x, head])
    torch.testing.assert_close(turned[1], plain[1])
    torch.testing.assert_close(turned[0], -0.3 * plain[0])


def test_twice_reversed_is_not_reversed_and_the_second_derivative_keeps_its_sign():
    x = torch.randn(4, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(grad_reverse(grad_reverse(x)).pow(3).sum(), x, create_graph=True)
    torch.testing.assert_close(grad, 3 * x**2)
    (second,) = torch.autograd.grad(grad.sum(), x)
    torch.testing.assert_close(second, 6 * x)


def test_the_schedule_is_the_papers():
    for p, value in ((0.0, 0.0), (0.01, 0.049958374351263046), (0.1, 0.46211716532707214), (0.5, 0.9866142868995667),
                     (1.0, 0.9999092221260071)):
        assert grl_schedule(p) == pytest.approx(value, abs=1e-7)
        assert grl_schedule(p, 3.0) == pytest.approx(2 / (1 + np.exp(-3.0 * p)) - 1, abs=1e-12)
    assert grl_schedule(0) == 0.0 and grl_schedule(1.0, 1e6) == 1.0  # no overflow


@pytest.mark.parametrize("call, message", [
    (lambda: grad_reverse(torch.ones(1), -0.1), "lam must be finite and >= 0, got -0.1"),
    (lambda: grad_reverse(torch.ones(1), float("nan")), "lam must be finite"),
    (lambda: grl_schedule(-0.01), r"p must be in \[0, 1\], got -0.01"), (lambda: grl_schedule(1.01), "got 1.01"),
    (lambda: grl_schedule(0.5, 0.0), "gamma must be > 0, got 0.0")])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_next_layer_may_work_in_place():
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    torch.relu_(grad_reverse(x, 0.5)).sum().backward()
    assert x.grad.tolist() == [0.0, -0.5]
    with torch.no_grad():
        grad_reverse(x).zero_()
    assert x.tolist() == [-1.0, 2.0]
