"""The comparison of two trees: presets are made small in every part, training ends early, differences are told."""
import dataclasses

import golden
import pytest
import torch

from tlutils import train
from tlutils.experiments import batchnorm, head_start


def test_examples_are_few_in_nested_parts_and_budgets_stay_apart():
    small = golden.shrunk(batchnorm.LAPTOP)
    assert small.letters.n_source == 600 and small.n_source_test == 200
    assert small.letters.lr == batchnorm.LAPTOP.letters.lr
    config = dataclasses.replace(head_start.PRESETS["letters"][1], budgets=(100, 800), longest=(800, 1600))
    small = golden.shrunk(config)
    assert small.budgets == (5, 10) and small.longest == (10, 15)


def test_training_ends_after_a_few_steps_with_the_batches_it_would_have_had():
    x, y = torch.arange(50.0), torch.arange(50)
    short = golden.cut_short(train.batches)
    whole = list(train.batches(x, y, 8, 400, 0))
    cut = list(short(x, y, 8, 400, 0))
    assert len(cut) == golden.STEPS and all(torch.equal(a[0], b[0]) for a, b in zip(cut, whole, strict=False))
    assert len(list(short(x, y, 8, 35, seed=0))) == 35


@pytest.mark.parametrize("before, after, told", [
    ({"rows": [{"value": 1.0}]}, {"rows": [{"value": 1.0}]}, None),
    ({"rows": [{"value": 1.0}]}, {"rows": [{"value": 1.0 + 2**-52}]}, "1 of 1 rows differ"),
    ({"rows": [1, 2]}, {"rows": [1]}, "2 rows there, 1 here"),
    ({"skipped": "no data"}, {"rows": [1]}, "skipped in one tree"),
    ({"rows": [1]}, {"error": "Traceback"}, "fails"),
    (None, {"rows": [1]}, "only here")])
def test_what_differs_is_told(before, after, told):
    lines = golden.differences({"p": before} if before else {}, {"p": after})
    assert (lines == []) if told is None else (len(lines) == 1 and told in lines[0])


def test_times_are_left_out_of_the_rows():
    @dataclasses.dataclass(frozen=True)
    class Config:
        n_test: int = 1000

    def run(config, seed):
        return [{"metric": "accuracy", "value": config.n_test, "unit": "fraction"}, {"unit": "s of CPU"}]

    assert [row["value"] for row in golden.rows_of(run, Config())] == [200]
