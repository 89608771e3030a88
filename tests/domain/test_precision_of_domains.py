"""Half precision, autocast, features far from the origin and in any unit: distances and the adversarial step hold."""
import copy

import numpy as np
import pytest
import torch

from tlutils import models
from tlutils.domain import DomainClassifier, coral, dann_loss, domain_loss, grad_reverse, mmd, proxy_a_distance

DIGITS = {torch.float16: 2e-3, torch.bfloat16: 1e-2, torch.float32: 1e-4, torch.float64: 1e-9}
LOSSES = {"coral": coral, "mmd": mmd, "large coral": lambda a, b: coral(300 * a, 300 * b) / 1e7,
          "large mmd": lambda a, b: mmd(50 * a, 50 * b),
          "domain_loss": lambda a, b: domain_loss(50 * a[:, 0], 50 * b.flatten())}


def clouds(dtype=torch.float64, n=30, d=6):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2))
    return a.to(dtype), (1.5 * b + 0.7).to(dtype)


def differ(found, expected):
    return float((found.detach().double() - expected.detach()).norm() / expected.detach().norm())


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_are_those_of_float64(name, dtype, autocast):
    given = [z.requires_grad_() for z in clouds(dtype)]
    exact = [z.detach().double().requires_grad_() for z in given]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = LOSSES[name](*given)
    expected = LOSSES[name](*exact)
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert differ(loss, expected) < 3 * DIGITS[dtype]
    loss.backward(), expected.backward()
    for z, of_double in zip(given, exact, strict=True):
        assert z.grad.dtype == dtype and differ(z.grad, of_double.grad) < 10 * DIGITS[dtype]


@pytest.mark.parametrize("offset", [20.0, 1e3, 1e4])
@pytest.mark.parametrize("distance", [coral, mmd])
def test_far_from_the_origin(distance, offset):
    near = [z.requires_grad_() for z in clouds()]
    far = [(z.detach() + offset).float().requires_grad_() for z in near]
    expected, found = distance(*near), distance(*far)
    assert differ(found, expected) < 0.02
    found.backward(), expected.backward()
    assert all(differ(a.grad, b.grad) < 0.05 for a, b in zip(far, near, strict=True))


def test_mmd_near_the_origin_is_not_moved():
    """To the bit what it has been, so that recorded runs stay what they are."""
    s, t = clouds(torch.float32)
    z = torch.cat([s, t])
    norms = z.square().sum(1)
    squared = (norms[:, None] + norms - 2 * z @ z.T).clamp(min=0)
    k = torch.stack([torch.exp(-squared / (c * squared.mean())) for c in (0.25, 0.5, 1, 2, 4)]).mean(0)
    assert mmd(s, t) == k[:30, :30].mean() + k[30:, 30:].mean() - 2 * k[:30, 30:].mean()


@pytest.mark.parametrize("unit", [1e-8, 1e-3, 1e4, 1e8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_unit_of_the_features_does_not_matter(unit, dtype):
    s, t = clouds(dtype)
    torch.testing.assert_close(mmd(unit * s, unit * t), mmd(s, t), rtol=1e-4, atol=0)
    assert proxy_a_distance(unit * s, unit * t, seed=0) == proxy_a_distance(s, t, seed=0)


def test_domain_loss_keeps_the_digits_of_float64_for_large_logits():
    logits = torch.tensor([21.0, 30.0], dtype=torch.float64)
    expected = np.log1p(np.exp(-logits.numpy())) + logits.numpy()
    assert domain_loss(-logits, logits).item() == pytest.approx(expected.mean(), rel=1e-15)


@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("lam", [0.5, np.float64(0.5), torch.tensor([0.5], dtype=torch.float64)])
def test_reversed_gradients_keep_their_type(dtype, lam):
    x = torch.ones(3, dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = grad_reverse(x, lam)
    out.sum().backward()
    assert out.dtype == x.grad.dtype == dtype and x.grad.tolist() == [-0.5] * 3


@pytest.fixture
def setting():
    torch.manual_seed(0)
    model, critic = models.conv8(3, widths=(4,) * 6, width_fc=8).eval(), DomainClassifier(8, 5)
    return model, critic, torch.randn(4, 1, 24, 24), torch.tensor([0, 1, 2, 0]), torch.randn(6, 1, 24, 24)


def test_the_adversarial_step_in_half_precision_and_under_autocast(setting):
    model, critic, x_s, y_s, x_t = setting
    expected = dann_loss(model, (x_s, y_s, x_t, 0.3), critic)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = dann_loss(model, (x_s, y_s, x_t, 0.3), critic)
    assert mixed.dtype == torch.float32 and differ(mixed, expected) < 0.02
    for dtype, digits in DIGITS.items():
        net, judge = copy.deepcopy(model).to(dtype), copy.deepcopy(critic).to(dtype)
        loss = dann_loss(net, (x_s.to(dtype), y_s, x_t.to(dtype), 0.3), judge)
        assert differ(loss, expected) < max(digits, 1e-6)
        loss.backward()
        assert all(p.grad.isfinite().all() and p.grad.dtype == dtype for p in net.parameters())


def test_labels_of_the_source_are_a_vector_of_integers(setting):
    model, critic, x_s, y_s, x_t = setting
    for bad in (y_s[:, None], torch.eye(3)[y_s], y_s.float()):
        with pytest.raises(ValueError, match=r"y_s must be integers \(4,\), got torch\."):
            dann_loss(model, (x_s, bad, x_t, 0.3), critic)


@pytest.mark.parametrize("kind", [
    lambda z: z.bfloat16(), lambda z: z.half(), lambda z: z.requires_grad_(), lambda z: z.float(), lambda z: z.numpy(),
    lambda z: z.tolist(), lambda z: list(z.bfloat16().requires_grad_())])
def test_the_a_distance_takes_every_type(kind):
    s, t = clouds(n=60)
    expected = proxy_a_distance(s.numpy(), t.numpy(), seed=np.int64(0))
    state = np.random.get_state()[1].copy(), torch.get_rng_state()
    assert proxy_a_distance(kind(s), kind(t), seed=0) == pytest.approx(expected, abs=0.1)
    assert (np.random.get_state()[1] == state[0]).all() and torch.equal(torch.get_rng_state(), state[1])


@pytest.mark.parametrize(("call", "message"), [
    (lambda z: coral(z[:, :0], z[:, :0]), r"source_features must be .* d > 0, got \(9, 0\)"),
    (lambda z: mmd(z, z[:, :0]), r"target_features must be .* d > 0, got \(9, 0\)"),
    (lambda z: mmd(z, z + 1j), "target_features must be a tensor of real numbers"),
    (lambda z: coral(z.numpy(), z), "source_features must be a tensor of real numbers, got ndarray"),
    (lambda z: domain_loss(z[:, :1], z[:, 0]), r"source_logits must be \(n,\)"),
    (lambda z: proxy_a_distance(z, z.numpy().astype(str), seed=0), "target_features must be a finite matrix"),
    (lambda z: proxy_a_distance(z[:, :0], z[:, :0], seed=0), "source_features must be a finite matrix"),
    (lambda z: proxy_a_distance(z, z[0], seed=0), r"target_features must be .* got float32 \(3,\)"),
    (lambda z: proxy_a_distance(z, z, seed=True), "seed must be in .* a whole number, got True"),
    (lambda z: proxy_a_distance(z, z, seed=None), "seed must be in .* got None")])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.ones(9, 3))
