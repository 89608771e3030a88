"""The adversarial step: values of the reference, the sign of every gradient, batches that do not fit."""
import functools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tlutils import models, train
from tlutils.domain import DomainClassifier, dann_loss, domain_loss, grad_reverse


def test_domain_loss_and_gradients_of_the_reference():
    rng = np.random.default_rng(402)
    source, target = torch.tensor(rng.standard_normal((6, 5))), torch.tensor(rng.standard_normal((6, 5)) + 0.5)
    w = torch.tensor(rng.standard_normal((5, 1)), requires_grad=True)
    source.requires_grad_()
    logits = [(grad_reverse(part) @ w)[:, 0] for part in (source, target)]
    loss = domain_loss(*logits)
    loss.backward()
    assert loss.item() == pytest.approx(2.4914305753925134, rel=1e-12)
    expected = [-0.08364032141017236, -0.012405981082079598, 0.024938661645746957, 0.12393566996832626]
    assert source.grad[0, :4].tolist() == pytest.approx(expected, rel=1e-10)
    assert w.grad[:2, 0].tolist() == pytest.approx([-0.13913918978670592, 0.6420061557684631], rel=1e-10)


def test_domain_loss_is_binary_cross_entropy_and_log_two_for_a_coin_toss():
    source, target = torch.randn(8), torch.randn(8)
    both = F.binary_cross_entropy_with_logits(torch.cat([source, target]), torch.tensor([1.0] * 8 + [0.0] * 8))
    torch.testing.assert_close(domain_loss(source, target), both)
    assert domain_loss(torch.zeros(3), torch.zeros(7)).item() == pytest.approx(math.log(2))
    assert domain_loss(torch.full((2,), 500.0), torch.full((2,), -500.0)).item() == 0.0
    with pytest.raises(ValueError, match=r"target_logits must be \(n,\) with n > 0, got \(0,\)"):
        domain_loss(torch.zeros(2), torch.zeros(0))


@pytest.fixture
def setting():
    torch.manual_seed(0)
    model, domain = models.conv8(3, widths=(4,) * 6, width_fc=8), DomainClassifier(8, 5)
    model.eval()  # so that two calls see the same statistics
    return model, domain, torch.randn(4, 1, 24, 24), torch.tensor([0, 1, 2, 0]), torch.randn(6, 1, 24, 24)


def test_the_body_climbs_and_the_domain_classifier_descends(setting):
    model, domain, x_s, y_s, x_t = setting
    def grads(lam):
        parameters = [model[0][0].weight, domain[0].weight, model[-1].weight]
        return torch.autograd.grad(dann_loss(model, (x_s, y_s, x_t, lam), domain), parameters)

    def plain():
        z = model[:-1](torch.cat([x_s, x_t]))
        logits = domain(z)
        parameters = [model[0][0].weight, domain[0].weight]
        return torch.autograd.grad(domain_loss(logits[:4], logits[4:]), parameters)

    (zero, half), (body, above) = (grads(0.0), grads(0.5)), plain()
    torch.testing.assert_close(half[0] - zero[0], -0.5 * body, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(half[1], above, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(half[2], zero[2])


def test_train_fit_takes_it(setting):
    model, domain, x_s, y_s, x_t = setting
    optimizer = torch.optim.SGD([*model.parameters(), *domain.parameters()], lr=0.01)
    before = [p.clone() for p in (*model.parameters(), *domain.parameters())]
    losses = train.fit(model, [(x_s, y_s, x_t, 0.1)] * 3, functools.partial(dann_loss, domain=domain), optimizer)
    assert len(losses) == 3
    assert all(not torch.equal(a, b) for a, b in zip(before, (*model.parameters(), *domain.parameters()), strict=True))


def test_bad_input(setting):
    model, domain, x_s, y_s, x_t = setting
    for batch in ((x_s, y_s, x_t[:, :, :20], 1.0), (x_s, y_s[:3], x_t, 1.0), (x_s, y_s, x_t[:0], 1.0)):
        with pytest.raises(ValueError, match="both domains need images of one shape"):
            dann_loss(model, batch, domain)
    with pytest.raises(ValueError, match="lam must be"):
        dann_loss(model, (x_s, y_s, x_t, -1.0), domain)
    with pytest.raises(ValueError, match="n_features and hidden must be positive, got 0 and 100"):
        DomainClassifier(0)
    assert isinstance(domain, nn.Module) and domain(torch.randn(7, 8)).shape == (7,)


def test_a_part_of_the_domain_classifier_is_a_network():
    critic, z = DomainClassifier(3, 4), torch.randn(5, 3)
    assert torch.equal(critic[:2](z), critic[1](critic[0](z))) and critic[-1](critic[:3](z)).shape == (5,)
