"""The shelf: complete, small, quick, undamaged; no checkpoint has seen a reserved character."""
import multiprocessing
import pathlib
import shutil
import time

import pytest
import torch
from safetensors.torch import load_file

from tlutils import adapters, models, worlds, zoo
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
    kept = set(worlds.reserved("letters")) | set(worlds.reserved("symbols"))
    assert len(kept) == 80
    for name in zoo.names():
        assert not kept & set(zoo.card(name)["characters"]), name
    with pytest.raises(ValueError, match="group must be letters or symbols, got 'digits'"):
        worlds.reserved("digits")


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
    with pytest.raises(ValueError, match=r"the file of digits is damaged \(.*digits\.safetensors: SHA-256"):
        zoo.load("digits")
    path.unlink()
    with pytest.raises(ValueError, match="the file of digits is missing"):
        zoo.load("digits")


FACTS = {"architecture": "conv8", "options": {}, "n_classes": 5, "source": "toy", "task": "labels", "accuracy": 0.2}


@pytest.mark.parametrize("name", ["../toy", "a/b", "..", "", ".hidden", "a..b", "C:\\toy", "a b", "toy\n", None, 3])
def test_a_name_that_would_lead_elsewhere_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="name must be letters"):
        zoo.store(name, models.conv8(5), FACTS, tmp_path / "shelf")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="name must be one of"):
        zoo.load(name)


def test_a_full_disk_leaves_the_shelf_as_it_was(tmp_path, monkeypatch):
    zoo.store("toy", models.conv8(5), FACTS, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(self, content, write=pathlib.Path.write_bytes):
        write(self, content[:1000])
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        zoo.store("toy", models.conv8(5), FACTS, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def _store(k, folder):
    facts = FACTS | {"options": {"widths": (1,) * 6, "width_fc": 2}}
    for i in range(4):
        zoo.store(f"toy{k}-{i}", models.conv8(5, widths=(1,) * 6, width_fc=2), facts, folder)


def test_two_processes_lose_nothing_of_each_other(tmp_path):
    jobs = [multiprocessing.get_context("fork").Process(target=_store, args=(k, tmp_path)) for k in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert sorted(zoo._manifest(tmp_path)["checkpoints"]) == [f"toy{k}-{i}" for k in range(2) for i in range(4)]
    assert len(list(tmp_path.glob("*.safetensors"))) == 8 and len(list(tmp_path.iterdir())) == 9


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"checkpoints": []}', b"\xff"])
def test_a_damaged_manifest_is_named(content, tmp_path):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        zoo.store("toy", models.conv8(5), FACTS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_what_could_not_be_loaded_is_not_stored(tmp_path):
    large = models.conv8(5)
    large.conv1[1].running_var.fill_(1e6)
    series = adapters.insert(models.conv8(5), "series")
    for model, told in ((models.conv8(4), "differs in head"), (series, r"differs in conv1\.0"),
                        (large, r"float16 can store .*conv1\.1\.running_var")):
        with pytest.raises(ValueError, match=told):
            zoo.store("toy", model, FACTS, tmp_path / "shelf")
    assert not list(tmp_path.iterdir())
    drawn = torch.get_rng_state()
    for wrapped in (torch.compile(models.conv8(5), backend="eager"), torch.nn.DataParallel(models.conv8(5))):
        state = torch.get_rng_state()
        path = zoo.store("toy", wrapped, FACTS, tmp_path)
        assert torch.equal(torch.get_rng_state(), state) and not torch.equal(state, drawn)
        assert set(load_file(path)) == set(models.conv8(5).state_dict())
