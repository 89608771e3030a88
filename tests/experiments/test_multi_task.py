"""Three tasks on the same pictures: the answers are those of the drawing, the heads lie side by side, each way runs."""
import dataclasses

import numpy as np
import pytest
import torch

from tlutils import data, results, train
from tlutils.experiments import multi_task

TINY = dataclasses.replace(multi_task.LAPTOP, n_classes=3, n_train=30, n_test=20, steps=4, batch_size=16,
                           trials=tuple((way, 1e-3) for way in multi_task.WAYS))


def test_the_answers_are_those_of_the_drawing():
    pictures = multi_task.data(TINY, 2)["pictures"]
    letters = np.random.default_rng(2).permutation(data.glyph_classes("letters"))[:3]
    _, labels, made = data.glyphs(list(letters), 30, 5002, return_attributes=True)
    assert pictures.y.shape == (30, 3)
    for t, wanted in enumerate((labels, made["polarity"] > 0, made["rotation"] > 0)):
        assert np.array_equal(pictures.labels[:, t], wanted)


def test_each_head_answers_its_own_question():
    pictures = multi_task.data(TINY, 2)["pictures"]
    model = multi_task.network(7, seed=0)
    with torch.no_grad():                                         # letter 2, light, turned right, whatever comes
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([0.0, 0, 1, 0, 1, 1, 0]))
    found = multi_task.answers(model, pictures, [0, 1, 2], [3, 2, 2])
    wanted = (pictures.y_test == torch.tensor([2, 1, 0], device=pictures.y.device)).double().mean(0).tolist()
    assert list(found.values()) == pytest.approx(wanted) and list(found) == list(multi_task.TASKS)


def test_a_network_takes_over_the_body_and_its_head_is_that_of_the_seed():
    body = multi_task.network(3, seed=5)
    model, fresh = multi_task.network(2, seed=1, body=body), multi_task.network(2, seed=1)
    assert torch.equal(model.conv4[0].weight, body.conv4[0].weight)
    assert torch.equal(model.head.weight, fresh.head.weight)


def test_a_small_run_gives_complete_rows_each_way_with_its_steps(monkeypatch):
    steps, usual = [], train.train

    def counted(*arguments, **options):
        steps.append(options["steps"])
        return usual(*arguments, **options)

    monkeypatch.setattr(train, "train", counted)
    rows = multi_task.run(TINY, seed=1)
    results.check_rows(rows)
    wanted = [(way, task) for way in ("alone", "together") for task in multi_task.TASKS]
    assert sorted((row["method"], row["target"]) for row in rows) == sorted(
        [*wanted, ("after", "polarity"), ("after", "turn")])
    assert steps == [4, 4, 4, 4, 2, 2, 2] and not any("lr" in row for row in rows)
    assert rows == multi_task.run(TINY, seed=1)


def test_the_recorded_rates_are_those_that_the_comparison_chose():
    compared = [results.load(multi_task.CHAPTER, name)
                for name in ("multi_task_rates", "multi_task_above")]
    assert multi_task.chosen(*compared) == multi_task.LAPTOP.trials


def test_the_best_mean_is_chosen():
    rows = [results.row(way, seed, "accuracy", value, target="turn", lr=lr) for way, seed, lr, value in (
        ("alone", 10, 1e-3, 0.5), ("alone", 11, 1e-3, 0.7), ("alone", 10, 3e-3, 0.9), ("alone", 11, 3e-3, 0.4),
        ("together", 10, 1e-3, 0.1))]
    compared = results.Run.of(rows)
    assert multi_task.chosen(compared) == (("alone", 3e-3), ("together", 1e-3))
    one = results.Run.of([results.row("together", 10, "accuracy", 0.2, target="turn")],
                         config={"trials": [["together", 3e-2]]})
    assert multi_task.chosen(compared, one) == (("alone", 3e-3), ("together", 3e-2))
