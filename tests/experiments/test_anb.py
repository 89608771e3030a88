"""AnB: paired runs, frozen layers that are the source's, rows that name everything."""
import dataclasses

import pytest
import torch

from tlutils import env, surgery, train
from tlutils.experiments import anb

TINY = anb.Config(n_classes=4, n_train=120, n_test=60, steps=6, widths=(4, 4, 4, 4, 4, 4), layers=(1, 7),
                  targets=("B", "D"))


@pytest.fixture(scope="module")
def tasks():
    return anb.tasks(TINY, seed=0)


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_tasks_are_alike_in_size_and_share_no_class(tasks):
    assert list(tasks) == ["A", "B", "D"]
    assert all(t.x.shape == (120, 1, 24, 24) and t.n_classes == 4 and len(t.x_test) == 60 for t in tasks.values())
    again = anb.tasks(TINY, seed=0)
    assert torch.equal(tasks["A"].x, again["A"].x) and not torch.equal(tasks["A"].x, tasks["B"].x)


@pytest.mark.parametrize("n", [1, 4, 7])
def test_frozen_layers_are_the_sources_after_training(tasks, n):
    source = anb.base(tasks["A"], TINY, seed=0)
    model = anb.transfer(source, tasks["B"], n, TINY, seed=1, tune=False)
    assert all(equal(model[k], source[k]) for k in range(n))
    assert not any(equal(model[k], source[k]) for k in range(n, 8))
    tuned = anb.transfer(source, tasks["B"], n, TINY, seed=1, tune=True)
    assert not any(equal(tuned[k], source[k]) for k in range(8))


def test_two_sources_differ_in_nothing_but_the_copied_layers(tasks):
    sources = [anb.base(tasks[name], TINY, seed=0) for name in "AD"]
    first, second = (anb.transfer(s, tasks["B"], 0, TINY, seed=1, tune=False) for s in sources)
    assert equal(first, second), "with nothing copied the source must not matter"
    scratch = anb.base(tasks["B"], TINY, seed=1)
    assert equal(first, scratch), "and the result is the base"


def test_stored_features_give_what_training_through_the_frozen_layers_gives(tasks):
    source = anb.base(tasks["A"], TINY, seed=0)
    stored = anb.transfer(source, tasks["B"], 3, TINY, seed=1, tune=False)
    model = surgery.freeze(surgery.copy_layers(source, anb.network(tasks["B"], TINY, 1), 3), 3)
    anb.train_on(model, tasks["B"].x, tasks["B"].y, TINY, 1)
    torch.testing.assert_close(train.predict(model, tasks["B"].x_test), train.predict(stored, tasks["B"].x_test),
                               rtol=1e-3, atol=1e-3)


def test_run_gives_every_treatment_twice_the_same():
    rows = anb.run(TINY, seed=0)
    accuracy = [r for r in rows if r["metric"] == "accuracy"]
    assert {anb.treatment(r) for r in accuracy if r["target"] == "B"} == {
        "base", "random", "BnB", "BnB+", "AnB", "AnB+", "DnB", "DnB+"}
    assert {anb.treatment(r) for r in accuracy if r["target"] == "D"} == {
        "base", "random", "BnB", "BnB+", "DnB", "DnB+"}
    assert not any(anb.treatment(r).endswith("+") for r in anb.run(dataclasses.replace(TINY, tuned=()), seed=0))
    assert env.pick(anb.LIVE, anb.FULL) == anb.LIVE
    assert len(accuracy) == 3 + 2 * 2 * 7 and len({tuple(sorted(r.items())) for r in accuracy}) == len(accuracy)
    assert accuracy == [r for r in anb.run(TINY, seed=0) if r["metric"] == "accuracy"]
    assert len(rows) == 2 * len(accuracy) and {r["metric"] for r in rows} == {"accuracy", "seconds"}


def test_a_record_names_the_images_of_all_tasks(tasks):
    parts = anb.EXPERIMENT.describe(TINY)["parts"]
    assert {name: part["n"] for name, part in parts.items()} == {"A": 120, "B": 120, "D": 120}
    assert len({part["sha256"] for part in parts.values()}) == 3


def test_random_layers_have_statistics_of_the_target(tasks):
    model = anb.random_layers(tasks["B"], TINY, seed=0)
    z = model[0][0](tasks["B"].x)
    torch.testing.assert_close(model[0][1].running_mean, z.mean((0, 2, 3)), rtol=0.2, atol=0.1)


def test_n_is_checked(tasks):
    with pytest.raises(ValueError, match="n must be in 0..7, got 8"):
        anb.transfer(anb.network(tasks["A"], TINY, 0), tasks["B"], 8, TINY, 0, tune=False)


def test_the_larger_scale_is_the_same_experiment_on_photographs(monkeypatch, real_root):
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    config = dataclasses.replace(env.pick(anb.LIVE, anb.FULL), n_train=150, steps=2, widths=TINY.widths, layers=(7,))
    tasks = anb.tasks(config, seed=0)
    assert list(tasks) == ["A", "B", "D"] and all(t.n_classes == 15 for t in tasks.values())
    assert {anb.treatment(r) for r in anb.run(config, seed=0)} == {
        "base", "random", "BnB", "BnB+", "AnB", "AnB+", "DnB", "DnB+"}


def test_an_unknown_split_is_refused(real_root):
    with pytest.raises(ValueError, match="split must be"):
        anb.tasks(dataclasses.replace(anb.KINDS, split="thirds"), seed=0)


def test_cifar_tasks_are_balanced(real_root):
    config = dataclasses.replace(anb.KINDS, n_train=300)
    tasks = anb.tasks(config, seed=0)
    assert list(tasks) == ["N", "M"] and all((t.y.bincount() == 10).all() for t in tasks.values())
    assert all(t.x.shape == (300, 3, 32, 32) for t in tasks.values())
