"""The experiment on photographs, run on a folder of made-up ones: same files, same weights, same rows."""
import dataclasses
import json

import pytest

from tlutils.experiments import photographs
from tlutils.worlds.photographs import Borrowed

SMALL = dataclasses.replace(
    photographs.LAPTOP, sources=(Borrowed("filed", "squeezenet1_1", "small.pth"), Borrowed("random", "squeezenet1_1")),
    side=64, labels_per_class=(2, 4), tuned="filed", tuned_side=48, tuned_labels=(3,), tuned_steps=2, batch_size=4,
    seen=8, batch_sizes=(4,))


def test_one_small_run_has_every_row(photo_root):
    rows = photographs.run(dataclasses.replace(SMALL, batch_sizes=()), seed=0)
    keys = [(row["method"], row["source"], row["side"], row["labels_per_class"], row["metric"]) for row in rows]
    assert len(keys) == len(set(keys)) == 2 * 2 + 3
    assert ("fine-tune", "filed", 48, 3, "train_accuracy") in keys
    assert all(0 <= row["value"] <= 1 for row in rows)


def test_the_record_names_the_weights_and_no_folder_of_this_machine(photo_root):
    said = photographs.EXPERIMENT.describe(SMALL)["parts"]
    assert set(said) == {"64 pixels", "48 pixels", "weights: filed", "weights: random"}
    assert said["64 pixels"]["n"] == 12 and len({part["sha256"] for part in said.values()}) == 4
    assert str(photo_root) not in json.dumps(said)
    file = next(photo_root.rglob("small.pth"))
    file.write_bytes(file.read_bytes() + b"x")
    again = photographs.EXPERIMENT.describe(SMALL)["parts"]
    assert [name for name in said if said[name] != again[name]] == ["weights: filed"]


def test_without_a_file_the_hub_is_asked_if_it_has_the_weights(photo_root):
    config = dataclasses.replace(SMALL, sources=(Borrowed("hub", "squeezenet1_1", "absent.pth", on_hub=True),))
    assert photographs.data(config, 0)["weights: hub"] == "hub"
    with pytest.raises(FileNotFoundError, match="no weights of 'gone' at .*absent.pth"):
        photographs.data(dataclasses.replace(SMALL, sources=(Borrowed("gone", "squeezenet1_1", "absent.pth"),)), 0)
