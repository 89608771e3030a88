"""A body that is frozen reads its old task as before, a tutorial's does not."""
import dataclasses

from tlutils import worlds
from tlutils.experiments import batchnorm

SMALL = dataclasses.replace(
    batchnorm.LAPTOP, targets=("digits", "texture"), labels_per_class=3, batch_sizes=(2, 8), steps=4, n_source_test=60,
    letters=worlds.Source(n_source_classes=4, n_source=80, source_steps=8, n_test=40))


def test_one_small_run():
    rows = batchnorm.run(SMALL, seed=0)
    assert len(rows) == 1 + 2 * 2 * (3 * 4 + 1)
    before = rows[0]["value"]
    frozen = [row for row in rows if row["method"] == "frozen"]
    assert {row["value"] for row in frozen if row["metric"] == "source_accuracy"} == {before}
    assert {row["value"] for row in frozen if row["metric"] in ("drift", "feature_change")} == {0}
    assert all(row["value"] > 0 for row in rows if row["method"] == "tutorial" and row["metric"] == "drift")
    assert rows == batchnorm.run(SMALL, seed=0)


def test_the_data_are_what_is_trained_on():
    parts = batchnorm.data(SMALL, seed=0)
    assert list(parts) == ["source", "source test", "digits", "texture"]
    assert [len(parts[name].y) for name in SMALL.targets] == [30, 30] and len(parts["source test"][1]) == 60
