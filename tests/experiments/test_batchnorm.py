"""A frozen body stays as it was, a tutorial's does not, and adaptation sets the statistics of the new images."""
import copy
import dataclasses

import pytest
import torch

from tlutils import models, train
from tlutils.experiments import batchnorm, few_labels

SMALL = dataclasses.replace(
    batchnorm.LAPTOP, targets=("digits", "texture"), labels_per_class=3, batch_sizes=(2, 8), steps=4, n_source_test=60,
    letters=few_labels.Config(n_source_classes=4, n_source=80, source_steps=8, n_test=40))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return models.conv8(5).eval()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(30, 1, 24, 24, generator=generator) + 0.7, torch.arange(30) % 3


def head_trained(net, batch, way, **changes):
    arguments = {"steps": 5, "batch_size": 8, "lr": 1e-2, "seed": 0} | changes
    return batchnorm.train_head(batchnorm.new_head(net, 3, seed=0), *batch, way, **arguments)


def changed(before, after):
    """Return the names of the tensors in the two bodies that differ."""
    pairs = zip(before[:-1].state_dict().items(), after[:-1].state_dict().values(), strict=True)
    return {name for (name, old), new in pairs if not torch.equal(old, new)}


def test_a_frozen_body_does_not_change_by_one_bit(net, batch):
    assert changed(net, head_trained(net, batch, "frozen")) == set()


def test_the_tutorial_moves_the_statistics_and_nothing_else(net, batch):
    names = changed(net, head_trained(net, batch, "tutorial"))
    assert {name.rsplit(".", 1)[1] for name in names} == {"running_mean", "running_var", "num_batches_tracked"}
    assert len(names) == 3 * 6


@pytest.mark.parametrize("way", batchnorm.WAYS)
def test_the_head_is_trained_in_every_way_and_the_source_network_left_alone(net, batch, way):
    before = copy.deepcopy(net.state_dict())
    model = head_trained(net, batch, way)
    assert not torch.equal(model.head.weight, batchnorm.new_head(net, 3, seed=0).head.weight)
    assert all(torch.equal(old, new) for old, new in zip(before.values(), net.state_dict().values(), strict=True))
    assert not any(module.training for module in model.modules())


def test_frozen_agrees_with_training_the_head_image_by_image_in_eval_mode(net, batch):
    model = head_trained(net, batch, "frozen")
    naive = batchnorm.new_head(net, 3, seed=0).eval()
    optimizer, scheduler = train.adamw(naive.head.parameters(), 1e-2, 5)
    for x, y in train.batches(*batch, 8, 5, 0):
        loss = train.classify(naive, (x, y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    torch.testing.assert_close(model.head.weight, naive.head.weight)


def test_adapted_statistics_are_those_of_the_images(net, batch):
    x, _ = batch
    first = net.conv1[0](x)
    norm = batchnorm.adapt_statistics(net, x).conv1[1]
    torch.testing.assert_close(norm.running_mean, first.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, first.var((0, 2, 3)))
    assert norm.momentum == 0.1 and not norm.training


def test_adaptation_undoes_a_change_of_contrast(batch):
    x, _ = batch
    torch.manual_seed(0)
    once, twice = models.conv8(5), models.conv8(5)
    twice.load_state_dict(once.state_dict())
    a = train.predict(batchnorm.adapt_statistics(once, x), x)
    b = train.predict(batchnorm.adapt_statistics(twice, 3 * x), 3 * x)
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_drift_counts_standard_deviations(net):
    moved = copy.deepcopy(net)
    assert batchnorm.drift(net, moved) == 0
    for module in moved.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean -= 2.5
    assert batchnorm.drift(net, moved) == pytest.approx(2.5, rel=1e-4)  # untrained: the variances are 1


def test_feature_change_is_relative_and_ignores_the_head(net, batch):
    doubled = copy.deepcopy(net)
    with torch.no_grad():
        doubled.fc7[1].weight *= 2
        doubled.fc7[1].bias *= 2
        doubled.head.weight.zero_()
    assert batchnorm.feature_change(net, net, batch[0]) == 0
    assert batchnorm.feature_change(net, doubled, batch[0]) == pytest.approx(1)


def test_with_head_puts_one_head_on_another_body(net, batch):
    x, _ = batch
    other = models.conv8(4).eval()
    expected = other.head(train.features(net, x))
    torch.testing.assert_close(train.predict(batchnorm.with_head(net, other), x), expected.detach())


def test_guards(net, batch):
    with pytest.raises(ValueError, match="way must be one of .* got 'half'"):
        head_trained(net, batch, "half")
    with pytest.raises(ValueError, match="at least two images .* got 1"):
        batchnorm.adapt_statistics(net, batch[0][:1])
    with pytest.raises(ValueError, match="no BatchNorm2d"):
        batchnorm.drift(models.conv8(2, batchnorm=False), models.conv8(2, batchnorm=False))


def test_one_small_run():
    rows = batchnorm.run(SMALL, seed=0)
    assert len(rows) == 1 + 2 * 2 * (3 * 4 + 1)
    before = rows[0]["value"]
    frozen = [row for row in rows if row["method"] == "frozen"]
    assert {row["value"] for row in frozen if row["metric"] == "source_accuracy"} == {before}
    assert {row["value"] for row in frozen if row["metric"] in ("drift", "feature_change")} == {0}
    assert all(row["value"] > 0 for row in rows if row["method"] == "tutorial" and row["metric"] == "drift")
    assert rows == batchnorm.run(SMALL, seed=0)
