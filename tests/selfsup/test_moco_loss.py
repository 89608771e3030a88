"""A step of MoCo: gradients flow past the queue, which is read before it is written, and the keys follow slowly."""
import pytest
import torch
from torch import nn

from tlutils import models, selfsup


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(models.conv_encoder(widths=(4, 8, 8), n_features=16), selfsup.projection_head(16, 8)).train()


def test_moco_reads_the_queue_before_it_writes_and_follows_slowly(model):
    loss = selfsup.MoCoLoss(model, dim=8, size=64, m=0.99, temperature=0.2, n_data=240)
    before = loss.queue.keys.clone()
    views = selfsup.two_views(torch.rand(16, 3, 24, 24), torch.Generator().manual_seed(0))
    value = loss(model, (views, None))
    value.backward()                                            # would raise if push had written into the graph
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert not torch.equal(loss.queue.keys[:32], before[:32]) and torch.equal(loss.queue.keys[32:], before[32:])
    assert not any(p.requires_grad for p in loss.slow.parameters())


def test_the_other_view_is_the_key_and_old_keys_are_the_negatives(model):
    model.eval()
    loss = selfsup.MoCoLoss(model, dim=8, size=20, temperature=0.3)
    loss.slow.eval()
    old, (v1, v2) = loss.queue.keys.clone(), torch.rand(2, 5, 3, 24, 24)
    expected = sum(selfsup.info_nce(model(one), model(other), old, 0.3) for one, other in ((v1, v2), (v2, v1))) / 2
    torch.testing.assert_close(loss(model, ((v1, v2), None)), expected)


def test_guards(model):
    with pytest.raises(ValueError, match="size must be at most the 30 images of the data, got 64"):
        selfsup.MoCoLoss(model, dim=8, size=64, n_data=30)
    with pytest.raises(ValueError, match="temperature must be > 0"):
        selfsup.MoCoLoss(model, dim=8, size=64, temperature=0)
    with pytest.raises(ValueError, match="n_features and dim must be >= 1, got 16 and 0"):
        selfsup.projection_head(16, 0)
