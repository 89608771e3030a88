"""Pretrained and scratch on one clock: the two starts share all but the body."""
import dataclasses

import pytest
import torch

from tlutils import env, models, results, train, worlds
from tlutils.experiments import head_start

TINY = head_start.Config(
    letters=worlds.Source(n_source_classes=4, n_source=80, source_steps=4, n_test=30, widths=(4,) * 6),
    labels_per_class=(2,), budgets=(5, 10), longest=(10,), batch_size=8)


@pytest.fixture(scope="module")
def source():
    return worlds.source_network(TINY.letters, seed=0)


@pytest.fixture(scope="module")
def smears(source):
    return head_start.target("smears", TINY, 0, source[1])


def weights(model, blocks=slice(None)):
    return torch.cat([value.flatten().float() for value in model[blocks].state_dict().values()])


def test_the_two_starts_share_the_head_and_scratch_owes_nothing_to_the_source(source):
    scratch, tuned = (head_start.start(how, source[0], 6, TINY, seed=3) for how in head_start.STARTS)
    assert torch.equal(weights(scratch, slice(7, 8)), weights(tuned, slice(7, 8)))
    assert torch.equal(weights(tuned, slice(0, 7)), weights(source[0], slice(0, 7)))
    other = head_start.start("scratch", models.conv8(4), 6, TINY, seed=3)
    assert torch.equal(weights(scratch), weights(other))


@pytest.mark.parametrize("name, k", [("letters", 10), ("symbols", 10), ("smears", 6)])
def test_targets_are_balanced_and_fit_the_network(source, name, k):
    task = head_start.target(name, TINY, 0, source[1])
    assert task.x.shape[1:] == task.x_test.shape[1:] == (1, 24, 24)
    assert torch.bincount(task.y).tolist() == [2] * k


@pytest.mark.parametrize("name", ["letters", "symbols", "smears"])
def test_runs_with_one_pool_train_on_the_same_images(source, name):
    many = dataclasses.replace(TINY, labels_per_class=(2, 6), longest=(10, 10))
    few = dataclasses.replace(TINY, pool=6)
    one, other = (head_start.target(name, config, 0, source[1]) for config in (many, few))
    assert torch.equal(one.x, other.x) and torch.equal(one.y, other.y)


def test_changed_images_differ_at_every_step(smears):
    first, second = (batch for batch, _ in train.batches(smears.x, smears.y, 12, 2, 0, worlds.changed))
    assert first.shape == (12, 1, 24, 24) and not torch.equal(first.sort(0).values, second.sort(0).values)


def test_a_run_with_augment_trains_on_changed_images(source, smears):
    scores = [head_start.accuracies("fine-tune", source[0], smears, 2, [30], 3e-2, config, 0)
              for config in (TINY, dataclasses.replace(TINY, augment=True))]
    assert scores[0] != scores[1]


def test_test_labels_do_not_reach_training(source, smears):
    poisoned = dataclasses.replace(smears, y_test=5 - smears.y_test)
    scores = [head_start.accuracies("fine-tune", source[0], task, 2, [10], 3e-3, TINY, 0)[10]
              for task in (smears, poisoned)]
    assert scores[0][1] == scores[1][1]                     # training accuracy


def test_a_run_has_a_row_for_every_cell_and_stops_at_the_longest_budget():
    config = dataclasses.replace(TINY, targets=("smears",), labels_per_class=(2, 4), longest=(5, 10))
    rows = head_start.run(config, seed=1)
    cells = {(row["method"], row["labels_per_class"], row["budget"]) for row in rows}
    assert cells == {(how, *cell) for how in head_start.STARTS for cell in ((2, 5), (4, 5), (4, 10))}
    assert len(rows) == 2 * len(cells) and all(0 <= row["value"] <= 1 for row in rows)


def test_rates_are_chosen_by_start_target_and_size():
    config = dataclasses.replace(TINY, targets=("smears",), rates=(1e-3, 1e-2), try_rates=True)
    rows = head_start.run(config, seed=1)
    assert {row["lr"] for row in rows} == {1e-3, 1e-2}
    for row in rows:
        row["value"] = float((row["method"] == "scratch") == (row["lr"] == 1e-2))
    chosen = dataclasses.replace(config, chosen=head_start.choose_rates(rows))
    assert head_start.chosen_rate(chosen, "scratch", "smears", 2) == 1e-2
    assert head_start.chosen_rate(chosen, "fine-tune", "smears", 2) == 1e-3
    assert head_start.chosen_rate(TINY, "scratch", "smears", 2) == 3e-3


@pytest.mark.parametrize("name, config", [("rates", head_start.LAPTOP), ("changed_rates", head_start.CHANGED)])
def test_the_rates_of_the_recorded_runs_are_those_that_the_trial_chose(name, config):
    assert set(config.chosen) == set(head_start.choose_rates(results.load(head_start.CHAPTER, name)["rows"]))


def test_sources_share_their_targets():
    base = dataclasses.replace(TINY, targets=("letters",), budgets=(5,), longest=(5,))
    config = head_start.SourceConfig(base, sources=((2, 40), (4, 40), (4, 80)))
    rows = head_start.run(config, seed=0)
    trained = [(how, *source) for source in ((2, 40), (4, 40), (4, 80)) for how in ("fine-tune", "probe")]
    found = [(row["method"], row["source_classes"], row["source_images"]) for row in rows]
    assert found == [*trained, ("scratch", 0, 0)]
    parts = head_start.data(config, seed=0)
    assert list(parts) == ["source of 2 classes, 40 images", "source of 4 classes, 40 images",
                           "source of 4 classes, 80 images", "letters"]


def test_the_larger_scale_is_longer_and_photographic(monkeypatch):
    assert env.pick(head_start.LIVE, head_start.FULL) is head_start.LIVE
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    config, live = env.pick(head_start.LIVE, head_start.FULL), head_start.LIVE
    assert config.letters.world == "photographs" and config.targets == live.targets and config.chosen == live.chosen
    assert config.budgets == tuple(8 * budget for budget in live.budgets)
    assert config.longest == tuple(8 * budget for budget in live.longest)
    few = dataclasses.replace(config, labels_per_class=(2,), letters=dataclasses.replace(config.letters, n_test=30))
    assert head_start.target("smears", few, 0, None).x.shape[1:] == (3, 32, 32)


def test_guards(source):
    with pytest.raises(ValueError, match="target must be .* got 'faces'"):
        head_start.target("faces", TINY, 0, source[1])
    with pytest.raises(ValueError, match="how must be .* got 'gently'"):
        head_start.start("gently", source[0], 6, TINY, 0)
