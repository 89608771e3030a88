"""Labels of the source, and lambda times a distance of features: against the sum by hand, and what is refused."""
import pytest
import torch
from torch import nn

from tlutils import domain


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(1)
    return torch.randn(8, 4, generator=g), torch.arange(8) % 3, torch.randn(5, 4, generator=g) + 1, 0.7


@pytest.mark.parametrize("distance", [domain.coral, domain.mmd])
def test_the_distance_is_added_with_the_weight_lambda(model, batch, distance):
    x_s, y_s, x_t, _ = batch
    z_s, z_t = model[:-1](x_s), model[:-1](x_t)
    labels = -model[-1](z_s).log_softmax(1)[torch.arange(8), y_s].mean()
    for lam in (0.0, 3.0):
        expected = labels + lam * distance(z_s, z_t)
        torch.testing.assert_close(domain.distance_loss(model, (x_s, y_s, x_t, lam), distance), expected)


def test_the_head_learns_from_labels_alone_and_the_body_from_both(model, batch):
    def grads(lam):
        loss = domain.distance_loss(model, (*batch[:3], lam), domain.mmd)
        return torch.autograd.grad(loss, [model[-1].weight, model[0].weight])
    (head, body), (head_alone, body_alone) = grads(2.0), grads(0.0)
    assert torch.equal(head, head_alone) and not torch.allclose(body, body_alone)


def test_bad_batches_are_named(model, batch):
    x_s, y_s, x_t, lam = batch
    for bad, words in (((x_s, y_s.float(), x_t, lam), "y_s must be integers"),
                       ((x_s, y_s, x_t[:, :3], lam), "one shape"), ((x_s, y_s, x_t[:0], lam), "both"),
                       ((x_s, y_s + 1, x_t, lam), r"y_s must be in 0..2, got 1..3")):
        with pytest.raises(ValueError, match=words):
            domain.distance_loss(model, bad, domain.coral)
    with pytest.raises(ValueError, match="model must be an nn.Sequential, got Linear"):
        domain.distance_loss(nn.Linear(4, 3), batch, domain.coral)
