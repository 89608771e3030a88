"""The experiment on photographs, run on a folder of made-up ones: same files, same weights, same rows."""
import dataclasses
import json

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from tlutils import data
from tlutils.experiments import photographs
from tlutils.experiments.photographs import Source

FILED = Source("filed", "squeezenet1_1", "small.pth")
SMALL = dataclasses.replace(
    photographs.LAPTOP, sources=(FILED, Source("random", "squeezenet1_1")), side=64, labels_per_class=(2, 4),
    tuned="filed", tuned_side=48, tuned_labels=(3,), tuned_steps=2, batch_size=4, seen=8, batch_sizes=(4,))


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data root with ten made-up photographs and the weights of one network."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 6), ("val", 2)):
        for name, colour in (("ants", (150, 60, 20)), ("bees", (220, 200, 40))):
            folder = tmp_path / photographs.FOLDER / split / name
            folder.mkdir(parents=True)
            for k in range(n):
                picture = np.clip(rng.normal(colour, 40, (80, 70, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(picture).save(folder / f"{k}.png")
    weights = tmp_path / photographs.WEIGHTS
    weights.mkdir(parents=True)
    torch.manual_seed(1)
    torch.save(torchvision.models.squeezenet1_1(weights=None, num_classes=3).state_dict(), weights / "small.pth")
    monkeypatch.setenv("TLUTILS_DATA", str(tmp_path))
    for cached in (photographs.photographs, photographs.stored_codes):
        cached.cache_clear()
    yield tmp_path
    for cached in (photographs.photographs, photographs.stored_codes):
        cached.cache_clear()


def test_one_small_run_has_every_row(root):
    rows = photographs.run(dataclasses.replace(SMALL, batch_sizes=()), seed=0)
    keys = [(row["method"], row["source"], row["side"], row["labels_per_class"], row["metric"]) for row in rows]
    assert len(keys) == len(set(keys)) == 2 * 2 + 3
    assert ("fine-tune", "filed", 48, 3, "train_accuracy") in keys
    assert all(0 <= row["value"] <= 1 for row in rows)


def test_a_file_of_weights_is_used_and_random_weights_follow_the_seed(root):
    first = photographs.network(FILED, seed=0), photographs.network(FILED, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first[0].parameters(), first[1].parameters(), strict=True))
    noise = [photographs.network(Source("random", "squeezenet1_1"), seed=seed).stem[1].weight for seed in (0, 0, 1)]
    assert torch.equal(noise[0], noise[1]) and not torch.equal(noise[0], noise[2])


def test_codes_do_not_depend_on_how_the_images_are_parted(root):
    model = photographs.network(FILED, seed=0)
    images = data.image_folder(root / photographs.FOLDER, 48).train_images
    many = photographs.codes(model, np.concatenate([images] * 5))  # 60 images: two parts
    np.testing.assert_allclose(many[:12], photographs.codes(model, images), rtol=1e-4, atol=1e-4)
    assert many.shape == (60, 512)


def test_fine_tuning_moves_weights_and_leaves_the_statistics(root):
    source = Source("mobile", "mobilenet_v2")
    x, y = torch.randn(6, 3, 48, 48), torch.arange(6) % 2
    before, after = photographs.network(source, 0, 2), photographs.fine_tune(source, x, y, SMALL, seed=0)
    moved = {name for (name, a), b in zip(before.state_dict().items(), after.state_dict().values(), strict=True)
             if not torch.equal(a, b)}
    assert any(name.endswith("weight") for name in moved)
    assert not any("running" in name or "tracked" in name for name in moved)


def test_the_record_names_the_weights_and_no_folder_of_this_machine(root):
    said = photographs.describe(SMALL)
    assert said["weights"]["filed"]["weights"] == "small.pth" and len(said["weights"]["filed"]["sha256"]) == 64
    assert said["weights"]["random"] == {"weights": "random"}
    assert (said["n_train"], said["n_test"]) == (12, 4)
    assert str(root) not in json.dumps(said)


def test_without_a_file_the_hub_is_asked_if_it_has_the_weights(root):
    config = dataclasses.replace(SMALL, sources=(Source("hub", "squeezenet1_1", "absent.pth", on_hub=True),))
    assert photographs.describe(config)["weights"]["hub"] == {"weights": "torchvision's hub, default"}
    with pytest.raises(FileNotFoundError, match="no weights of 'gone' at .*absent.pth"):
        photographs.network(Source("gone", "squeezenet1_1", "absent.pth"), seed=0)


def test_missing_photographs_say_where_they_come_from(root, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("TLUTILS_DATA", str(tmp_path_factory.mktemp("empty")))
    photographs.photographs.cache_clear()
    with pytest.raises(FileNotFoundError, match="hymenoptera_data: fetch https://download.pytorch.org"):
        photographs.photographs(32)
