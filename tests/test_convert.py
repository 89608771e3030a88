"""Records of schema 1 in the words of today: each name is mapped once, no value changes, damage is named."""
import json

import convert
import pytest

from tlutils import results

ROW = {"method": "probe", "seed": 0, "metric": "accuracy", "value": 0.5, "unit": "fraction"}


@pytest.mark.parametrize("old, new", [
    ({"metric": "wall_s", "unit": "s"}, {"metric": "seconds", "unit": "s"}),
    ({"metric": "seconds", "unit": "s of CPU"}, {"metric": "cpu_seconds", "unit": "s"}),
    ({"n": 7}, {"copied": 7}), ({"n": 50_000}, {"n_images": 50_000}),
    ({"classes": 5, "images": 600}, {"source_classes": 5, "source_images": 600}),
    ({"metric": "loss", "unit": "nats, mean of the last 20 steps"}, {"metric": "loss", "unit": "nats"}),
    ({"metric": "loss", "unit": "squared error, mean of the last 20 steps"},
     {"metric": "loss", "unit": "squared error"}),
    ({"metric": "loss", "unit": "nats or squared error"}, {"metric": "loss", "unit": "nats"}),
    ({"metric": "loss", "unit": "nats or squared error", "method": "imputation"},
     {"metric": "loss", "unit": "squared error", "method": "imputation"}),
    ({"metric": "accuracy, books"}, {"metric": "accuracy", "target": "books"}),
    ({"metric": "letter, bare"}, {"metric": "accuracy", "question": "letter, bare"}),
    ({"metric": "target"}, {"metric": "accuracy"}), ({"metric": "source"}, {"metric": "source_accuracy"}),
    ({"metric": "reverse"}, {"metric": "reverse_accuracy"}),
    ({"metric": "proxy A", "unit": "0 to 2"}, {"metric": "proxy_a_distance", "unit": "0 to 2"}),
    ({"reader": "fit", "labels_per_class": 5},
     {"metric": "train_accuracy", "reader": "fine-tune", "labels_per_class": 5}),
    ({"reader": "", "labels_per_class": 0, "metric": "spread of z", "unit": "1 on the whole sphere"},
     {"metric": "spread", "unit": "1 on the whole sphere"}), ({}, {})])
def test_a_row_is_renamed_once_and_keeps_its_value(old, new):
    row = convert.renamed(ROW | old)
    assert row == ROW | new and convert.renamed(row) == row
    results.in_vocabulary(row)


def record(tmp_path, **changes):
    """Return a small record of schema 1, as chapter 2 had them, with other values under some keys."""
    path = results.save("02_general_to_specific", "anb_glyphs", [ROW | {"metric": "wall_s", "unit": "s", "n": 3}],
                        question="?", command="python -m tlutils.experiments.cloze cloze --seeds 0", config={},
                        seeds=[0], data={"name": "reviews", "sha256": "1" * 64}, started=0.0, folder=tmp_path)
    made = json.loads(path.read_text()) | {"schema": 1} | changes
    return {key: value for key, value in made.items() if value is not None}


def test_a_record_keeps_all_that_its_run_said_and_tells_what_came_later(tmp_path):
    old = record(tmp_path)
    new = convert.converted(old)
    assert new["rows"] == [ROW | {"metric": "seconds", "unit": "s", "copied": 3}] and new["schema"] == results.SCHEMA
    assert new["data"].items() >= old["data"].items() and set(new["data"]) - set(old["data"]) == {"seed", "parts"}
    assert {key: new[key] for key in old if key not in ("schema", "rows", "data")} == {
        key: old[key] for key in old if key not in ("schema", "rows", "data")}
    assert "no value changed" in new["amended"][0]["why"]
    with pytest.raises(ValueError, match="schema must be 1, got 2"):
        convert.converted(new)


@pytest.mark.parametrize("changes, says", [
    ({"command": None}, "lacks command"), ({"command": "make"}, "command must be that of an experiment"),
    ({"command": "python -m tlutils.experiments.nothing x"}, "module must be one of"),
    ({"command": "python -m tlutils.experiments.anb x"}, "preset must be one of"), ({"data": 3}, "lacks data"),
    ({"rows": [{"method": "a"}]}, "lacks"), ({"rows": None}, "rows must be a list")])
def test_a_damaged_record_is_named_by_what_it_lacks(tmp_path, changes, says):
    with pytest.raises(ValueError, match=says):
        convert.converted(record(tmp_path, **changes))
