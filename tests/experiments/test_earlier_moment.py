"""Earlier moments of the source: each is a run of so many steps with its own cool-down, and the last is the longest."""
import dataclasses

import torch

from tlutils import env, results, train, worlds
from tlutils.experiments import earlier_moment

TINY = dataclasses.replace(earlier_moment.LAPTOP, n_source_classes=4, n_source=80, n_test=40, batch_size=16,
                           budgets=(5, 10), targets=("symbols",), labels_per_class=(2, 3), tune_labels=2, tune_steps=2)


def test_a_small_run_gives_complete_rows_and_repeats_itself():
    rows = earlier_moment.run(TINY, seed=1)
    results.check_rows(rows)
    told = {(r["method"], r["metric"], r["budget"], r.get("labels_per_class")) for r in rows}
    assert told == {("source", "source_accuracy", moment, None) for moment in (5, 10)} | {
        (f"probe {n}", "accuracy", moment, size) for n in (2, 4, 7) for moment in (5, 10) for size in (2, 3)} | {
        ("LP-FT", "accuracy", moment, 2) for moment in (5, 10)}
    assert len(told) == len(rows) and rows == earlier_moment.run(TINY, seed=1)


def test_a_moment_is_a_run_that_was_planned_for_so_many_steps_alone():
    parts = earlier_moment.data(TINY, 1)
    x, y, _ = parts["source"]
    env.seed_everything(1)
    model = worlds.conv8_of(TINY)(4, 1, 24).to(env.device())
    alone = train.decayed_branches(model, x, y, budgets=(5,), lr=TINY.lr, batch_size=16, seed=1)[5]
    (told,) = [r["value"] for r in earlier_moment.run(TINY, 1) if r["method"] == "source" and r["budget"] == 5]
    assert told == round(train.evaluate(alone, *parts["source test"]), 5)
    assert isinstance(alone, torch.nn.Sequential)


def test_the_parts_of_the_data_are_named():
    parts = earlier_moment.EXPERIMENT.describe(TINY)["parts"]
    assert {name: part["n"] for name, part in parts.items()} == {"source": 80, "source test": 40, "symbols": 30}
