"""Adapters in whole networks: exact at the start, the only thing that is trained, and gone after the merge."""
import copy

import pytest
import torch
from torch import nn

from tlutils import adapters, models, train
from tlutils.adapters.insert import ADAPTERS, Beside

PAIRS = [("series", "conv8"), ("parallel", "conv8"), ("series", "plain"), ("parallel", "plain"), ("lora", "conv8"),
         ("bottleneck", "vit"), ("lora", "vit"), ("series", "vit"), ("parallel", "mobile"), ("series", "mobile")]


def network(name):
    torch.manual_seed(0)
    model = {"conv8": lambda: models.conv8(7), "plain": lambda: models.conv8(7, batchnorm=False),
             "vit": lambda: models.tiny_vit(7),
             "mobile": lambda: models.pretrained("mobilenet_v2", None, n_classes=7)}[name]()
    for module in model.modules():  # statistics that are not those of a new network
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 2)
    x = torch.randn(5, 3, 32, 32) if name == "mobile" else torch.randn(5, 1, 24, 24)
    return model.eval(), x


def disturb(model):
    """Give every adapter values as after training."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, ADAPTERS):
            for p in module.parameters():
                nn.init.normal_(p, std=0.1)
    return model


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_exact_at_the_start(kind, name):
    model, x = network(name)
    before = copy.deepcopy(model.state_dict())
    adapted = adapters.insert(model, kind)
    assert torch.equal(adapted(x), model(x))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())
    assert not torch.allclose(disturb(adapted)(x), model(x), atol=1e-3, rtol=1e-3), "the adapters are not in the way"


@torch.no_grad()
@pytest.mark.parametrize(("kind", "name"), [pair for pair in PAIRS if pair[0] != "bottleneck"])
def test_merged_into_the_weights(kind, name):
    model, x = network(name)
    adapted = disturb(adapters.insert(model, kind))
    merged = adapters.merge(adapted)
    scale = adapted(x).abs().max()
    assert float((merged(x) - adapted(x)).abs().max() / scale) < 1e-5
    assert set(merged.state_dict()) == set(model.state_dict())
    fresh = copy.deepcopy(model)
    fresh.load_state_dict(merged.state_dict())
    assert float((fresh(x) - adapted(x)).abs().max() / scale) < 1e-5


def test_a_bottleneck_stays_where_it_is():
    with pytest.raises(ValueError, match="no series, parallel or LoRA adapter"):
        adapters.merge(adapters.insert(network("vit")[0], "bottleneck"))


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_training_moves_adapters_norms_and_head_alone(kind, name):
    model, x = network(name)
    adapted = adapters.insert(model, kind)
    start = {key: value.clone() for key, value in adapted.named_parameters()}
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.1)
    train.fit(adapted, train.batches(x, torch.arange(5), 5, 3, 0), train.classify, optimizer)
    moved = {key for key, value in adapted.named_parameters() if not torch.equal(value, start[key])}
    may = {key for key, value in adapted.named_parameters() if value.requires_grad}
    assert moved <= may and any("head" in key for key in moved)
    assert any(word in key for key in moved for word in ("alpha", "up.", ".B", "original1"))
    for key, value in adapted.named_parameters():
        backbone = key.rsplit(".", 1)[-1] in ("weight", "bias") and not any(
            word in key for word in ("head", "adapter", "down", "up."))
        if backbone and value.ndim > 1:
            assert not value.requires_grad, key


def test_counts_are_the_formulas():
    model, _ = network("conv8")
    widths = (16, 24, 32, 32, 48, 64)
    norms, head = 2 * sum(widths), 64 * 7 + 7
    series = adapters.trainable_parameters(adapters.insert(model, "series"))
    parallel = adapters.trainable_parameters(adapters.insert(model, "parallel"))
    assert series["adapters"] == sum(c * c for c in widths)
    assert parallel["adapters"] == sum(a * b for a, b in zip((1, *widths), widths, strict=False))
    for found in (series, parallel):
        assert found["norms"] == norms and found["head"] == head
        assert found["total"] == found["adapters"] + norms + head < found["all"]
    vit, (dim, depth, m) = network("vit")[0], (48, 3, 5)
    found = adapters.trainable_parameters(adapters.insert(vit, "bottleneck", bottleneck=m))
    assert found["adapters"] == depth * 2 * (2 * dim * m + dim + m)
    found = adapters.trainable_parameters(adapters.insert(vit, "lora", rank=3))
    assert found["adapters"] == depth * 3 * ((dim + 3 * dim) + 2 * (dim + 2 * dim))


def test_convolutions_that_cannot_be_folded_get_no_adapter():
    adapted = adapters.insert(network("mobile")[0], "parallel")
    inside = [m.conv for m in adapted.modules() if isinstance(m, Beside)]
    assert inside and all(conv.groups == 1 for conv in inside)
    odd = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten(), nn.LazyLinear(2))
    odd(torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match="no place for a parallel adapter"):
        adapters.insert(odd, "parallel")


def test_bad_input():
    with pytest.raises(ValueError, match="kind must be one of series, parallel, bottleneck, lora, got 'prefix'"):
        adapters.insert(network("conv8")[0], "prefix")
    with pytest.raises(ValueError, match="no place for a bottleneck adapter"):
        adapters.insert(network("conv8")[0], "bottleneck")
    with pytest.raises(ValueError, match="rank"):
        adapters.insert(network("vit")[0], "lora", rank=0)
