"""Controls are the source alone: what they change is what they name, and they see no label of the target."""
import dataclasses

import pytest
import torch

from tlutils.experiments import reversal
from tlutils.experiments import reversal_controls as experiment

TINY = reversal.Config(n_source=200, n_target=150, n_held=50, n_test=60, steps=6, source_steps=4, batch_size=16,
                       variants=tuple(experiment.controls(reversal.LIVE)))


def test_rows_of_every_control_under_its_own_name():
    rows = experiment.run(TINY, 0)
    assert {row["method"] for row in rows} == set(TINY.variants)
    assert {row["metric"] for row in rows} == {"seconds", "target", "source", "proxy A"}
    assert {(row["seed"], row["pair"]) for row in rows} == {(0, "textured")}


def test_controls_train_on_the_source_alone_and_change_what_they_name():
    known = experiment.controls(TINY)
    assert known["source, long"] == {"source_steps": TINY.steps, "plain_lr": TINY.lr}
    here = dataclasses.replace(TINY, method="source", **known["source, naive"])
    both = reversal.domains(here, 0)
    blind = dataclasses.replace(both, x_t=torch.zeros_like(both.x_t), y_t=torch.full_like(both.y_t, -7))
    models = [reversal.trained(one, here, 0)[0] for one in (both, blind)]
    assert all(torch.equal(*pair) for pair in zip(*(model.parameters() for model in models), strict=True))
    kinds = {type(layer).__name__: layer for layer in models[0].modules()}
    assert "BatchNorm2d" in kinds and "InstanceNorm2d" not in kinds and kinds["Dropout"].p == 0


def test_an_unknown_control_is_named():
    with pytest.raises(ValueError, match="variants must be among source, batch norm.*got 'dann'"):
        experiment.run(dataclasses.replace(TINY, variants=("dann",)), 0)


@pytest.mark.parametrize("name", experiment.PRESETS)
def test_a_preset_is_the_recorded_experiment_but_for_its_variants(name):
    recorded = reversal.PRESETS[name.removesuffix("_controls")][1]
    config = experiment.PRESETS[name][1]
    assert dataclasses.replace(config, variants=()) == dataclasses.replace(recorded, variants=())
