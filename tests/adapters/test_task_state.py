"""What a task stores: the trained parameters and moved statistics, no more; and adapters of low rank."""
import copy

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from tlutils import adapters, models, surgery


@pytest.fixture
def net():
    torch.manual_seed(0)
    return models.conv8(5)


def test_a_task_keeps_what_is_trained_and_the_statistics_of_norms_that_are(net):
    state = adapters.task_state(adapters.insert(net, "series"))
    kinds = {name.rsplit(".", 1)[1] for name in state}
    assert kinds == {"alpha", "weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert len(state) == 6 + 6 * 5 + 2                                # alphas, norms with their statistics, head
    assert set(adapters.task_state(surgery.freeze(net))) == {"head.weight", "head.bias"}


def test_a_file_brings_a_task_back(net):
    x = torch.randn(6, 1, 24, 24)
    task, again = (adapters.insert(net, "series") for _ in range(2))
    with torch.no_grad():
        for p in task.parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn_like(p))
        task.train()(x)                                               # the statistics move
    file = save(adapters.task_state(task))
    assert len(file) == adapters.stored_bytes(task)
    assert not torch.equal(again.eval()(x), task.eval()(x))
    again.load_state_dict(load(file), strict=False)
    assert torch.equal(again(x), task(x))


def test_stored_bytes_count_four_for_each_number_and_a_little_for_names(net):
    surgery.freeze(net)
    numbers = sum(p.numel() for p in net.head.parameters())
    assert 4 * numbers < adapters.stored_bytes(net) < 4 * numbers + 500
    assert adapters.stored_bytes(copy.deepcopy(net).half()) < 2 * numbers + 500


def test_norms_are_those_of_every_kind(net):
    assert len(adapters.norms(net)) == 6
    assert {type(module) for module in adapters.norms(models.tiny_vit(5))} == {nn.BatchNorm2d, nn.LayerNorm}


@pytest.mark.parametrize("kind", ["series", "parallel"])
def test_rank_bounds_what_an_adapter_adds(net, kind):
    x = torch.randn(6, 1, 24, 24)
    model = adapters.low_rank(adapters.insert(net, kind), 2).eval()
    assert torch.equal(model(x), net.eval()(x))
    found = [module for module in model.modules()
             if isinstance(module, adapters.SeriesAdapter | adapters.ParallelAdapter)]
    with torch.no_grad():
        for module in found:
            module.parametrizations.alpha[0].B.normal_()
    assert len(found) == 6
    ranks = [int(torch.linalg.matrix_rank(module.alpha.detach())) for module in found]
    assert ranks == [min(2, *module.alpha.shape) for module in found] and max(ranks) == 2
    names = {name for name, p in model.named_parameters() if p.requires_grad and "alpha" in name}
    assert len(names) == 12 and all(name.endswith((".A", ".B")) for name in names)


def test_what_cannot_be_of_low_rank(net):
    with pytest.raises(ValueError, match="rank must be >= 1, got 0"):
        adapters.low_rank(adapters.insert(net, "series"), 0)
    for model in (net, adapters.low_rank(adapters.insert(net, "series"), 2)):
        with pytest.raises(ValueError, match="must have series or parallel adapters"):
            adapters.low_rank(model, 2)
