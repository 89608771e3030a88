"""Controls are the source alone: what they change is what they name, and they see no label of the target."""
import dataclasses

import pytest
import torch

from tlutils.experiments import experiment, reversal, reversal_controls

TINY = reversal.Config(n_source=200, n_target=150, n_held=50, n_test=60, steps=6, source_steps=4, batch_size=16,
                       variants=tuple(reversal.CONTROLS))


def test_rows_of_every_control_under_its_own_name():
    rows = reversal.run(TINY, 0)
    assert {row["method"] for row in rows} == set(TINY.variants)
    assert {row["metric"] for row in rows} == {"seconds", "accuracy", "source_accuracy", "proxy_a_distance"}
    assert {(row["seed"], row["pair"]) for row in rows} == {(0, "textured")}


def test_controls_train_on_the_source_alone_and_change_what_they_name():
    long = dataclasses.replace(TINY, method="source", source_steps=TINY.steps, plain_lr=TINY.lr)
    assert reversal.changed(TINY, "source, long") == long
    assert reversal.changed(TINY, "source, batch norm") == dataclasses.replace(TINY, method="source", norm="batch")
    here = reversal.changed(TINY, "source, naive")
    both = reversal.domains(here, 0)
    blind = dataclasses.replace(both, x_t=torch.zeros_like(both.x_t), y_t=torch.full_like(both.y_t, -7))
    models = [reversal.trained(one, here, 0)[0] for one in (both, blind)]
    assert all(torch.equal(*pair) for pair in zip(*(model.parameters() for model in models), strict=True))
    kinds = {type(layer).__name__: layer for layer in models[0].modules()}
    assert "BatchNorm2d" in kinds and "InstanceNorm2d" not in kinds and kinds["Dropout"].p == 0


def test_an_unknown_control_is_named():
    with pytest.raises(ValueError, match="variants must be among source, dann, .*source, long, got 'source, short'"):
        reversal.run(dataclasses.replace(TINY, variants=("source, short",)), 0)


@pytest.mark.parametrize("name", reversal_controls.PRESETS)
def test_a_preset_is_the_recorded_experiment_but_for_its_variants(name):
    recorded = reversal.PRESETS[name.removesuffix("_controls")][1]
    config = reversal_controls.PRESETS[name][1]
    assert dataclasses.replace(config, variants=()) == dataclasses.replace(recorded, variants=())


def test_recorded_commands_still_find_the_controls(capsys):
    assert experiment.load("reversal_controls") is experiment.load("reversal") is reversal.EXPERIMENT
    assert sorted(reversal_controls.PRESETS) == ["handwriting_controls", "mnist_m_controls", "reviews_controls",
                                                 "textured_controls"]
    assert reversal.EXPERIMENT.command("reviews_controls", [0]) == (
        "python -m tlutils.experiments.reversal reviews_controls --seeds 0")
    reversal_controls.EXPERIMENT.main(["--list"])
    assert "reversal.reviews_controls" in capsys.readouterr().out
