"""Each adapter against its equation, and as good as absent at the start."""
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tlutils import adapters


def test_series_is_its_equation():
    x, adapter = torch.randn(2, 5, 4, 4), adapters.SeriesAdapter(5)
    assert torch.equal(adapter(x), x)
    nn.init.normal_(adapter.alpha)
    torch.testing.assert_close(adapter(x), x + torch.einsum("oc,nchw->nohw", adapter.alpha, x))
    assert sum(p.numel() for p in adapter.parameters()) == 25


@pytest.mark.parametrize("stride", [1, 2, (2, 1)])
def test_parallel_is_its_equation(stride):
    x, adapter = torch.randn(2, 3, 7, 7), adapters.ParallelAdapter(3, 5, stride)
    beside = F.conv2d(x, torch.randn(5, 3, 3, 3), stride=stride, padding=1)
    assert adapter(x).shape == beside.shape and not adapter(x).any()
    nn.init.normal_(adapter.alpha)
    a, b = stride if isinstance(stride, tuple) else (stride, stride)
    torch.testing.assert_close(adapter(x), torch.einsum("oc,nchw->nohw", adapter.alpha, x[:, :, ::a, ::b]))


def test_bottleneck_is_its_equation_and_has_as_many_parameters_as_it_says():
    x, adapter = torch.randn(2, 7, 12), adapters.BottleneckAdapter(12, 3)
    assert torch.equal(adapter(x), x)
    nn.init.normal_(adapter.up.weight), nn.init.normal_(adapter.up.bias)
    hidden = F.gelu(x @ adapter.down.weight.T + adapter.down.bias)
    torch.testing.assert_close(adapter(x), x + hidden @ adapter.up.weight.T + adapter.up.bias)
    assert sum(p.numel() for p in adapter.parameters()) == 2 * 12 * 3 + 12 + 3


def test_lora_is_its_equation_and_trains_nothing_else():
    linear, x = nn.Linear(6, 4), torch.randn(3, 6)
    before = linear(x)
    lora = adapters.LoRALinear(linear, rank=2, scale=3.0)
    assert torch.equal(lora(x), before)
    nn.init.normal_(lora.change.B)
    torch.testing.assert_close(lora(x), before + 1.5 * x @ (lora.change.B @ lora.change.A).T)
    lora(x).sum().backward()
    assert linear.weight.grad is None and linear.bias.grad is None
    assert sum(p.numel() for p in lora.parameters() if p.requires_grad) == 2 * (6 + 4)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: adapters.SeriesAdapter(0), "channels"), (lambda: adapters.ParallelAdapter(3, 3, 0), "stride"),
    (lambda: adapters.ParallelAdapter(3, 0), "out_channels"), (lambda: adapters.BottleneckAdapter(8, 0), "bottleneck"),
    (lambda: adapters.LoRALinear(nn.Linear(4, 3), 0), "rank"),
    (lambda: adapters.LoRALinear(nn.Linear(4, 3), 4), "at most the smaller side 3, got 4"),
    (lambda: adapters.LoRALinear(nn.ReLU(), 1), "linear must be an nn.Linear, got ReLU")])
def test_bad_sizes(make, message):
    with pytest.raises(ValueError, match=message):
        make()
