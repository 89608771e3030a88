"""Surgery: what is frozen stays frozen, what is copied is independent, what is wrong is said."""
import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tlutils import models, surgery


@pytest.fixture
def net():
    torch.manual_seed(0)
    return models.conv8(5)


def one_step(model):
    """One training step on noise that is far from what BatchNorm has seen."""
    x, y = 3 + 2 * torch.randn(8, 1, 24, 24), torch.arange(8) % 5
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trainable, 0.1) if trainable else None
    loss = F.cross_entropy(model(x), y)
    if optimizer:
        loss.backward()
        optimizer.step()


def same(a, b):
    return [torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)]


def test_layers_are_in_order_and_the_head_is_last(net):
    assert list(surgery.layers(net)) == ["conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "fc7", "head"]


def test_layers_refuses_what_has_no_blocks():
    with pytest.raises(ValueError, match="nn.Sequential"):
        surgery.layers(nn.Linear(2, 2))


def test_copy_layers_copies_weights_and_statistics_and_stays_independent(net):
    source, target = copy.deepcopy(net), models.conv8(7)
    one_step(source)  # moves weights and running statistics
    before = copy.deepcopy(target)
    surgery.copy_layers(source, target, 3)
    assert all(all(same(source[k], target[k])) for k in range(3))
    assert all(all(same(before[k], target[k])) for k in range(3, 8))
    with torch.no_grad():
        target[0][0].weight.add_(1)
    assert not torch.equal(target[0][0].weight, source[0][0].weight)


def test_copy_layers_refuses_other_shapes_and_copies_nothing(net):
    target = models.conv8(5, widths=(16, 8, 32, 32, 48, 64))
    before = copy.deepcopy(target)
    with pytest.raises(ValueError, match="conv2 differs"):
        surgery.copy_layers(net, target, 3)
    assert all(same(before, target))


@pytest.mark.parametrize("n", [-1, 9])
def test_number_of_layers_is_checked(net, n):
    for act in (lambda: surgery.freeze(net, n), lambda: surgery.copy_layers(net, copy.deepcopy(net), n)):
        with pytest.raises(ValueError, match="n must be in 0..8"):
            act()


@pytest.mark.parametrize("n", [0, 1, 4, 7])
def test_freeze_keeps_weights_and_batchnorm_statistics_also_after_train(net, n):
    surgery.freeze(net, n)
    net.train()
    before = copy.deepcopy(net)
    for _ in range(3):
        one_step(net)
    assert all(all(same(net[k], before[k])) for k in range(n))
    assert all(not all(same(net[k], before[k])) for k in range(n, 8))


def test_requires_grad_alone_lets_the_statistics_drift(net):
    """The mistake that freeze prevents: if this ever passed without drift, the test above would show nothing."""
    net.requires_grad_(False).train()
    before = copy.deepcopy(net)
    one_step(net)
    assert not torch.equal(net[0][1].running_mean, before[0][1].running_mean)


def test_freeze_survives_train_of_inner_modules_and_deepcopy(net):
    twin = copy.deepcopy(surgery.freeze(net, 3))
    for module in twin.modules():
        module.train()
    assert not any(m.training for k in range(3) for m in twin[k].modules())
    surgery.unfreeze(twin).train()
    assert all(m.training for m in twin.modules())
    assert not net[0].train().training, "unfreezing the copy must leave the original frozen"


def test_freeze_turns_dropout_off():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 50), nn.Dropout(0.5)), nn.Linear(50, 2))
    surgery.freeze(model).train()
    x = torch.randn(3, 4)
    assert torch.equal(model[0](x), model[0](x))


def test_freeze_by_default_leaves_only_the_head(net):
    surgery.freeze(net)
    assert surgery.count_parameters(net, trainable_only=True) == surgery.count_parameters(net[-1]) == 64 * 5 + 5


def test_unfreeze_takes_everything_back(net):
    surgery.unfreeze(surgery.freeze(net)).train()
    before = copy.deepcopy(net)
    one_step(net)
    assert not any(all(same(net[k], before[k])) for k in range(8))


def test_replace_head_keeps_the_body(net):
    before = copy.deepcopy(net)
    surgery.replace_head(net, 3)
    assert net.eval()(torch.randn(2, 1, 24, 24)).shape == (2, 3)
    assert all(same(net[:-1], before[:-1])) and list(surgery.layers(net))[-1] == "head"


def test_replace_head_of_a_convolutional_head():
    model = surgery.replace_head(models.pretrained("squeezenet1_1", weights=None), 4)
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 4)


def test_replace_head_bad_input(net):
    with pytest.raises(ValueError, match="n_classes must be >= 1, got 0"):
        surgery.replace_head(net, 0)
    with pytest.raises(ValueError, match="no linear layer"):
        surgery.replace_head(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), 3)


def test_reinitialise_changes_only_the_named_blocks(net):
    before = copy.deepcopy(net)
    surgery.reinitialise(net, ["conv2", "head"])
    changed = [not all(same(net[k], before[k])) for k in range(8)]
    assert changed == [False, True, False, False, False, False, False, True]
    with pytest.raises(ValueError, match="no block"):
        surgery.reinitialise(net, ["conv9"])


def test_param_groups_split_body_and_head_and_skip_what_is_frozen(net):
    body, head = surgery.param_groups(net, lr=1e-2, body_lr=1e-3)
    assert (body["lr"], head["lr"]) == (1e-3, 1e-2)
    count = sum(p.numel() for group in (body, head) for p in group["params"])
    assert count == surgery.count_parameters(net) and len(head["params"]) == 2
    surgery.freeze(net)
    assert [group["lr"] for group in surgery.param_groups(net, 1e-2, 1e-3)] == [1e-2]


def test_param_groups_bad_input(net):
    with pytest.raises(ValueError, match="must be > 0"):
        surgery.param_groups(net, 1e-2, 0)
    with pytest.raises(ValueError, match="nothing to train"):
        surgery.param_groups(surgery.freeze(net, 8), 1e-2, 1e-3)


def test_capture_sees_the_outputs_and_removes_its_hooks(net):
    net.eval()
    x = torch.randn(2, 1, 24, 24)
    with surgery.capture(net, ["conv1", "fc7"]) as seen:
        net(x)
    assert torch.equal(seen["conv1"], net[0](x)) and seen["fc7"].shape == (2, 64) and not seen["fc7"].requires_grad
    old = seen["conv1"]
    net(torch.zeros_like(x))
    assert seen["conv1"] is old, "the hook must be gone after the context"
    with pytest.raises(ValueError, match="no block"), surgery.capture(net, ["layer1"]):
        pass


def test_capture_removes_its_hooks_after_an_error(net):
    with pytest.raises(RuntimeError), surgery.capture(net, ["conv1"]):
        raise RuntimeError("stop")
    assert not net[0]._forward_hooks


def test_count_parameters_of_one_convolution():
    assert surgery.count_parameters(nn.Conv2d(3, 8, 3)) == 8 * (3 * 9 + 1)


@pytest.fixture
def batch():
    return torch.randn(30, 1, 24, 24, generator=torch.Generator().manual_seed(1)) + 0.7


def test_a_new_head_is_fixed_by_the_seed_and_the_network_stays(net):
    before = copy.deepcopy(net.state_dict())
    first, again, other = (surgery.new_head(net, 3, seed) for seed in (0, 0, 1))
    assert all(same(first, again)) and not torch.equal(first.head.weight, other.head.weight)
    assert first.head.out_features == 3 and all(same(first[:-1], net[:-1]))
    assert all(torch.equal(old, new) for old, new in zip(before.values(), net.state_dict().values(), strict=True))
    assert first.conv1[0].weight is not net.conv1[0].weight


def test_with_head_puts_one_head_on_another_body(net, batch):
    other = models.conv8(4).eval()
    joined = surgery.with_head(net, other)
    torch.testing.assert_close(joined(batch), other.head(net[:-1].eval()(batch)))
    assert list(surgery.layers(joined)) == list(surgery.layers(net)) and not joined.training
    deep, short = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)), nn.Sequential(*(
        nn.Linear(2, 2) for _ in range(2)))
    assert list(surgery.with_head(deep, short)) == [*deep[:-1], short[-1]]        # both call a block "1"


def test_adapted_statistics_are_those_of_the_images(net, batch):
    first = net.conv1[0](batch)
    norm = surgery.adapt_statistics(net, batch).conv1[1]
    torch.testing.assert_close(norm.running_mean, first.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, first.var((0, 2, 3)))
    assert norm.momentum == 0.1 and not norm.training


def test_adaptation_undoes_a_change_of_contrast(batch):
    torch.manual_seed(0)
    once, twice = models.conv8(5), models.conv8(5)
    twice.load_state_dict(once.state_dict())
    a = surgery.adapt_statistics(once, batch)(batch)
    b = surgery.adapt_statistics(twice, 3 * batch)(3 * batch)
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_adaptation_that_fails_leaves_momentum_and_mode_as_they_should_be(net):
    with pytest.raises(RuntimeError):
        surgery.adapt_statistics(net, torch.zeros(4, 3, 24, 24))                  # three channels, the network has one
    assert net.conv1[1].momentum == 0.1 and not net.training


def test_drift_counts_standard_deviations(net):
    moved = copy.deepcopy(net)
    assert surgery.drift(net, moved) == 0
    for module in moved.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean -= 2.5
    assert surgery.drift(net, moved) == pytest.approx(2.5, rel=1e-4)              # untrained: the variances are 1


def test_statistics_bad_input(net, batch):
    with pytest.raises(ValueError, match="at least two images .* got 1"):
        surgery.adapt_statistics(net, batch[:1])
    with pytest.raises(ValueError, match="must not be frozen .* 6 of 6"):
        surgery.adapt_statistics(surgery.freeze(copy.deepcopy(net)), batch)
    for bare in (models.conv8(2, batchnorm=False), nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), net)):
        with pytest.raises(ValueError, match="no BatchNorm2d"):
            surgery.drift(bare[:1], bare[:1])
    with pytest.raises(ValueError, match=r"same norms, got \[16, .*\] and \[4, "):
        surgery.drift(net, models.conv8(5, widths=(4,) * 6))
