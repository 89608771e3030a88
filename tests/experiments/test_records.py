"""The recorded runs belong to the code of today: each has its preset, its question, its configuration and its data."""
import dataclasses
import json
import re

import pytest

from tlutils.experiments import experiment
from tlutils.results import RESULTS

RECORDS = {f"{path.parent.name[:2]} {path.stem}": path for path in sorted(RESULTS.glob("[0-9][0-9]_*/*.json"))}
NAMES = {
    "01": "earlier_moment first_layer first_layer_imagenet first_layer_unlabelled multi_task multi_task_above "
          "multi_task_rates striped_paper",
    "02": "anb_cifar100_halves anb_cifar100_kinds anb_glyphs",
    "03": "ants_and_bees batchnorm five_heads five_lower five_outside five_ways five_ways_above five_ways_rates "
          "five_ways_top labels_per_class", "04": "cnn vit",
    "05": "changed changed_above changed_rates faster letters longer longer_smears rate_above rate_top rates smears "
          "sources symbols",
    "06": "cloze layers", "07": "controls kinds knobs pretexts views", "08": "counting half_held_out unseen_pairs",
    "09": "choice handwriting mnist_m reviews reviews_controls textured textured_controls",
    "12": "layers models photo_layers photo_models times"}
# Fields that came after some runs were recorded, with the value that those runs had without them.
LATER = {"world": "glyphs", "widths": [16, 24, 32, 32, 48, 64], "pool": None, "augment": False, "paint": "colour",
         "tune_views": False, "n_patches": 0}
# The same experiment told in other words today: a field, as it was recorded and as it stands.
RETOLD = {("02 anb_glyphs", "tuned"): (True, [1, 2, 3, 4, 5, 6, 7]),
          ("08 counting", "methods"): (["CLIP", "two heads", "seen pairs", "128 classes"],
                                       ["CLIP", "two heads", "joint softmax", "128 classes"]),
          ("05 longer_smears", "pool"): (None, 1000),             # no field then, and the images of a pool of 1,000
          ("06 layers", "labels_per_class"): ([5, 20, 100], None),  # four fields that this run never read
          ("06 layers", "tune_steps"): (200, None), ("06 layers", "tune_lr"): (1e-3, None),
          ("06 layers", "tune_batch"): (64, None),
          ("05 rates", "longest"): ([400, 800, 1600], [400, 400, 400])}  # its budgets end at 400 either way


# Fields of a nested source that were recorded because it was another experiment's configuration; no such run read them.
UNREAD = {"targets", "labels_per_class", "steps", "probe_layers", "body_lr", "partial"}


def parts(name):
    """Return a record, and the experiment and the name of the preset that its command calls."""
    made = json.loads(RECORDS[name].read_text(encoding="utf-8"))
    module, preset = re.search(r"python -m tlutils\.experiments\.(\w+) (\w+)", made["command"]).groups()
    return made, experiment.load(module), preset


def changed(name, old, new, place=""):
    """Return the fields in which a recorded configuration differs from today's, those that are known left out."""
    found = []
    for key in sorted(set(old) | set(new)):
        if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
            found += changed(name, old[key], new[key], f"{place}{key}.")
        elif (name, key) in RETOLD:
            found += [] if (old.get(key), new.get(key)) == RETOLD[name, key] else [f"{place}{key}"]
        elif key not in old and key in LATER:
            found += [] if new[key] == LATER[key] else [f"{place}{key}"]
        elif place and key not in new and key in UNREAD:
            continue
        elif key not in old or key not in new or old[key] != new[key]:
            found.append(f"{place}{key}")
    return found


def test_no_record_is_lost_and_a_new_one_is_named_here():
    assert sorted(RECORDS) == sorted(f"{number} {name}" for number, names in NAMES.items() for name in names.split())


@pytest.mark.parametrize("name", RECORDS)
def test_the_preset_of_a_record_asks_its_question_with_its_configuration(name):
    made, whole, preset = parts(name)
    question, config = whole.presets[preset]
    assert question == made["question"]
    assert changed(name, made["config"], json.loads(json.dumps(dataclasses.asdict(config)))) == []


def test_a_changed_field_is_seen():
    assert changed("x", {"lr": 0.1, "world": {"n": 1}}, {"lr": 0.2, "world": {"n": 2}}) == ["lr", "world.n"]
    assert changed("x", {}, {"augment": False}) == [] and changed("x", {}, {"augment": True}) == ["augment"]
    assert changed("x", {"letters": {"steps": 1, "lr": 1}}, {"letters": {}}) == ["letters.lr"]
    assert changed("x", {"lr": 1}, {}) == ["lr"] and changed("x", {}, {"lr": 1}) == ["lr"]


@pytest.mark.parametrize("name", RECORDS)
def test_the_data_of_a_record_are_made_again_to_the_bit(name, request, monkeypatch):
    made, whole, preset = parts(name)
    config = whole.presets[preset][1]
    if needs_real_data(config):
        monkeypatch.setenv("TORCH_HOME", str(request.getfixturevalue("real_root")))
    said = json.loads(json.dumps(whole.describe(config, made["seeds"][0])))
    assert said["parts"] and said == {key: made["data"][key] for key in said}


def needs_real_data(config):
    """Return whether a preset reads data or weights that do not come with the package."""
    text = repr(config)
    return any(word in text for word in ("cifar100", "mnist_m", "network=", "squeezenet"))
