"""The shelf: complete, small, quick, undamaged; no checkpoint has seen a reserved character."""
import shutil
import time

import pytest
import torch

from tlutils import models, zoo
from tlutils.experiments import shelf_training as shelf


def test_the_shelf_is_complete_and_small():
    assert zoo.names() == list(shelf.RECIPES) and len(zoo.names()) >= 12
    cards = [zoo.card(name) for name in zoo.names()]
    assert {facts["architecture"] for facts in cards} == {"conv8", "tiny_vit"}
    assert {facts["task"] for facts in cards} == {"labels", "rotation", "none"}
    assert sum((zoo.FOLDER / f"{name}.safetensors").stat().st_size for name in zoo.names()) < 6_000_000
    assert {path.stem for path in zoo.FOLDER.glob("*.safetensors")} == set(zoo.names())
    for name, facts in zip(zoo.names(), cards, strict=True):
        assert facts["command"].endswith(name) and not facts["dirty"] and len(facts["sha256"]) == 64


@pytest.mark.parametrize("name", zoo.names())
def test_every_checkpoint_reaches_its_stored_accuracy(name):
    recipe, facts = shelf.RECIPES[name], zoo.card(name)
    images, labels = shelf.pictures(recipe, 1500, 10_000 + recipe.seed)
    x, y = shelf.data.to_tensor(images), torch.from_numpy(labels)
    if recipe.task == "rotation":
        x, y = shelf.rotation_batch(x)
    score = shelf.train.evaluate(zoo.load(name), x, y)
    assert score == pytest.approx(facts["accuracy"], abs=0.005)


def test_no_checkpoint_has_seen_a_reserved_character():
    kept = set(shelf.reserved("letters")) | set(shelf.reserved("symbols"))
    assert len(kept) == 80
    for name in zoo.names():
        assert not kept & set(zoo.card(name)["characters"]), name
    with pytest.raises(ValueError, match="group must be letters or symbols, got 'digits'"):
        shelf.reserved("digits")


def test_loading_takes_milliseconds_and_puts_on_a_head():
    zoo.load("letters60")
    best = min(_seconds(lambda: zoo.load("letters60")) for _ in range(5))
    assert best < 0.1
    model = zoo.load("letters60", n_classes=7)
    assert not model.training and model(torch.zeros(2, 1, 24, 24)).shape == (2, 7)


def _seconds(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def test_the_table_shows_itself_as_text_and_as_html():
    table = zoo.table()
    assert [row["name"] for row in table] == zoo.names() and list(table[0]) == list(zoo.COLUMNS)
    assert "letters60-vit" in repr(table) and table._repr_html_().count("<tr>") == len(table) + 1


def test_a_checkpoint_survives_the_shelf(tmp_path, monkeypatch):
    model = models.conv8(5).half().float().eval()
    facts = {"architecture": "conv8", "options": {}, "n_classes": 5, "source": "toy", "task": "labels", "accuracy": 0.2}
    zoo.store("toy", model, facts, tmp_path)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    monkeypatch.setattr(zoo, "_manifest", lambda folder=tmp_path, read=zoo._manifest: read(folder))
    x = torch.randn(3, 1, 24, 24)
    assert torch.equal(zoo.load("toy")(x), model(x)) and zoo.card("toy")["parameters"] > 90_000
    assert {path.name for path in tmp_path.iterdir()} == {"toy.safetensors", "manifest.json"}
    for wrong, message in (({"architecture": "resnet"}, "architecture must be one of"), ({"task": None}, None)):
        bad = {key: value for key, value in (facts | wrong).items() if value is not None}
        with pytest.raises(ValueError, match=message or "facts must hold task"):
            zoo.store("toy", model, bad, tmp_path)


def test_a_damaged_or_unknown_file_is_told(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="name must be one of letters60"):
        zoo.load("resnet50")
    shutil.copytree(zoo.FOLDER, tmp_path / "shelf")
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "shelf")
    path = tmp_path / "shelf" / "digits.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="the file of digits is damaged"):
        zoo.load("digits")
