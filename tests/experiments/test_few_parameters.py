"""Few parameters: what a method says it trains is what it trains, and a task's file brings the task back."""
import dataclasses

import pytest
import torch
from torch import nn

from tlutils import adapters, env, surgery, train, worlds
from tlutils.experiments import few_parameters

TINY = worlds.Source(n_source_classes=4, n_source=80, source_steps=4, n_test=40, batch_size=16)
SMALL = {"labels_per_class": 2, "steps": 4, "head_steps": 6, "batch_size": 16, "world": TINY}
CNN = few_parameters.Config(targets=("symbols",), methods=("head", "series", "series 2"), **SMALL)
VIT = dataclasses.replace(few_parameters.VIT, targets=("digits",), methods=("bottleneck 2", "LoRA 1"), **SMALL)
ALL = [("conv8", method) for method in few_parameters.CNN.methods] + \
      [("tiny_vit", method) for method in few_parameters.VIT.methods]


@pytest.fixture(scope="module")
def sources():
    return {config.architecture: few_parameters.source(config, seed=0) for config in (CNN, VIT)}


@pytest.fixture(scope="module")
def digits(sources):
    task = few_parameters.target("digits", CNN, 0, sources["conv8"][1])
    return task.x, task.y, task.x_test, task.y_test


def config_of(architecture):
    return CNN if architecture == "conv8" else VIT


@pytest.mark.parametrize("architecture, method", ALL)
def test_only_what_is_trained_changes_and_a_file_brings_the_task_back(sources, digits, architecture, method):
    config, (net, _), (x, y, x_test, _) = config_of(architecture), sources[architecture], digits
    before = {name: value.clone() for name, value in net.state_dict().items()}
    model = few_parameters.trained(method, net, x, y, config, seed=0)
    start = few_parameters.prepared(method, net, x, 10, config, seed=0)
    state, was = adapters.task_state(model), start.state_dict()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, was[name])}
    assert moved and moved <= set(state)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    start.load_state_dict(state, strict=False)
    assert torch.equal(train.predict(start, x_test), train.predict(model, x_test))
    assert adapters.stored_bytes(model) > 4 * adapters.trainable_parameters(model)["total"]


@pytest.mark.parametrize("architecture, method", [(a, m) for a, m in ALL if m != "scratch"])
def test_every_method_starts_as_the_same_function(sources, digits, architecture, method):
    config, (net, _), x = config_of(architecture), sources[architecture], digits[2]
    head, model = (few_parameters.prepared(m, net, x, 10, config, seed=3) for m in ("head", method))
    torch.testing.assert_close(train.predict(model, x), train.predict(head, x), rtol=0, atol=1e-5)


def test_a_cached_head_is_the_head_of_a_frozen_body(sources, digits):
    net, (x, y, x_test, _) = sources["conv8"][0], digits
    cached = few_parameters.trained("head", net, x, y, CNN, seed=0)
    slow = few_parameters.prepared("head", net, x, 10, CNN, seed=0)
    optimizer, scheduler = train.adamw(slow.head.parameters(), CNN.rates["head"], CNN.head_steps)
    batches = train.batches(x, y, CNN.batch_size, CNN.head_steps, 0)
    train.fit(slow, batches, train.classify, optimizer, scheduler=scheduler)
    torch.testing.assert_close(train.predict(cached, x_test), train.predict(slow, x_test), rtol=1e-3, atol=1e-3)


def test_rank_bounds_what_an_adapter_adds(sources, digits):
    model = few_parameters.trained("series 2", sources["conv8"][0], *digits[:2], CNN, seed=0)
    found = [m for m in model.modules() if isinstance(m, adapters.SeriesAdapter)]
    assert len(found) == 6
    assert all(torch.linalg.matrix_rank(m.alpha.detach()) <= 2 for m in found)
    assert any(m.alpha.abs().max() > 0 for m in found)
    merged = adapters.merge(model)
    assert surgery.count_parameters(merged) == surgery.count_parameters(sources["conv8"][0]) + 6 * 65
    assert few_parameters.difference(model, merged, digits[2]) < 1e-5


def test_norms_trains_head_and_norms_alone(sources, digits):
    counts = adapters.trainable_parameters(few_parameters.prepared("norms", sources["conv8"][0], digits[0], 10, CNN, 0))
    assert counts["adapters"] == 0 and counts["norms"] == 2 * sum(TINY.widths) and counts["head"] == 650
    assert counts["total"] == counts["norms"] + counts["head"]


def test_scratch_owes_nothing_to_the_source(sources, digits):
    net = sources["tiny_vit"][0]
    other = few_parameters.build(VIT)(4, 1, 24)
    a, b = (few_parameters.prepared("scratch", body, digits[0], 10, VIT, 0) for body in (net, other))
    assert all(torch.equal(p, q) for p, q in zip(a[:-1].parameters(), b[:-1].parameters(), strict=True))


def test_test_labels_do_not_reach_training(monkeypatch):
    honest = few_parameters.run(CNN, seed=0)
    real = few_parameters.target

    def poisoned(*args):
        task = real(*args)
        return dataclasses.replace(task, y_test=(task.y_test + 1) % 10)

    monkeypatch.setattr(few_parameters, "target", poisoned)
    other = few_parameters.run(CNN, seed=0)
    for a, b in zip(honest, other, strict=True):
        assert a["metric"] in ("accuracy", "merged_accuracy") or a == b


@pytest.mark.parametrize("config", [CNN, VIT], ids=["conv8", "tiny_vit"])
def test_rows_are_complete_and_exact(config):
    rows = few_parameters.run(config, seed=0)
    found = {(row["method"], row["metric"]): row["value"] for row in rows}
    assert {method for method, _ in found} == set(config.methods)
    assert all(value <= 1e-6 for (_, metric), value in found.items() if metric == "start_difference")
    assert all(value < 1e-5 for (_, metric), value in found.items() if metric == "merge_difference")
    for method in config.methods:
        if (method, "merged_accuracy") in found:
            assert found[method, "merged_accuracy"] == pytest.approx(found[method, "accuracy"], abs=0.026)


@pytest.mark.parametrize("architecture, method", [
    ("conv8", "LoRA 4"), ("tiny_vit", "series"), ("conv8", "head 3"), ("tiny_vit", "LoRA"), ("conv8", "series x")])
def test_a_method_that_is_none(sources, digits, architecture, method):
    with pytest.raises(ValueError, match="got"):
        few_parameters.prepared(method, sources[architecture][0], digits[0], 10, config_of(architecture), 0)


def test_the_shelf_has_a_network_for_each_architecture(digits):
    for config in (CNN, VIT):
        net, unseen = few_parameters.ready_made(config)
        x = few_parameters.target("similar", config, 0, unseen).x
        assert net(x).shape == (20, 60) and not net.training


def test_an_unknown_architecture():
    with pytest.raises(ValueError, match="architecture"):
        few_parameters.source(dataclasses.replace(CNN, architecture="resnet"), 0)


def test_the_full_scale_takes_photographs(monkeypatch):
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    both = (few_parameters.CNN, few_parameters.CNN_FULL), (few_parameters.VIT, few_parameters.VIT_FULL)
    for config, larger in both:
        full = env.pick(config, larger)
        assert full.world.world == "photographs" and full.methods == config.methods
        net = few_parameters.build(full)(10, 3, 32).eval()
        assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
        assert isinstance(few_parameters.prepared("norms", net, torch.zeros(1, 3, 32, 32), 10, full, 0), nn.Sequential)
