"""Env: seeds that hold, a scale that is checked, a greeting that tells the truth."""
import importlib.metadata
import json
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

import tlutils
from tlutils import env


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_seed_everything_fixes_all_three_generators():
    env.seed_everything(3)
    first = draw()
    env.seed_everything(3)
    assert draw() == first
    env.seed_everything(4)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_is_checked(seed):
    with pytest.raises(ValueError, match="seed must be in"):
        env.seed_everything(seed)


def test_scale_argument_wins_over_environment_over_default(monkeypatch):
    monkeypatch.delenv("TLUTILS_SCALE", raising=False)
    assert env.scale() == "laptop"
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    assert env.scale() == "full" and env.scale("laptop") == "laptop"
    monkeypatch.setenv("TLUTILS_SCALE", "huge")
    with pytest.raises(ValueError, match="'huge'"):
        env.scale()


def test_device_is_asked_anew_and_can_be_chosen(monkeypatch):
    monkeypatch.setenv("TLUTILS_DEVICE", "meta")
    assert env.device().type == "meta"
    monkeypatch.delenv("TLUTILS_DEVICE")
    assert env.device().type == ("cuda" if torch.cuda.is_available() else env.device().type)


@pytest.mark.parametrize("wrong", ["gpu", "cuda:one", "0", "cpu cpu"])
def test_a_device_that_is_none_is_told(wrong, monkeypatch):
    monkeypatch.setenv("TLUTILS_DEVICE", wrong)
    with pytest.raises(ValueError, match=f'TLUTILS_DEVICE must be "cpu", "cuda", .* got {wrong!r}'):
        env.device()


def test_a_device_that_is_not_here_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for asked, kind in ((" CPU ", "cpu"), ("cuda", "cuda"), ("cuda:0", "cuda")):
        monkeypatch.setenv("TLUTILS_DEVICE", asked)
        assert env.device().type == kind
    for asked, words in (("cuda:1", "torch sees 1 of the kind cuda"), ("mps", "torch sees 0 of the kind mps")):
        monkeypatch.setenv("TLUTILS_DEVICE", asked)
        with pytest.raises(ValueError, match=f"TLUTILS_DEVICE .* that is here, got '{asked}'; {words}"):
            env.device()


def test_versions_name_what_a_number_depends_on():
    assert {"python", "torch", "numpy", "scikit-learn"} <= set(env.versions())


def test_versions_where_a_package_is_missing(monkeypatch):
    def version(name, known=importlib.metadata.version):
        if name == "torchvision":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert env.versions()["torchvision"] == "not installed" and env.versions()["numpy"] == np.__version__


def test_calibrate_leaves_the_random_state_alone():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert env.calibrate() > 0 and torch.equal(torch.get_rng_state(), state)


def test_setup_prints_device_scale_minutes_and_memory(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(env, "RESULTS", tmp_path)
    monkeypatch.setattr(env, "calibrate", lambda: 0.2)
    monkeypatch.setenv("TLUTILS_DEVICE", "cpu")
    monkeypatch.setenv("TLUTILS_SCALE", "laptop")
    env.setup("02")
    assert "no recorded run" in capsys.readouterr().out
    run = {"minutes": 2.0, "calibration_s": 0.1, "memory_gb": 1.26, "device": "some CPU"}
    (tmp_path / "chapters.json").write_text(json.dumps({"02": {"laptop/cpu": run}}))
    env.setup("02")
    out = capsys.readouterr().out
    assert "about 4 min" in out and "about 1.3 GB" in out and "scale:  laptop" in out  # this machine is half as fast
    monkeypatch.setattr(env, "calibrate", lambda: 5.0)  # other work disturbs it: no number that nobody would believe
    env.setup("02")
    assert "more than 8 min here (this machine is slow" in capsys.readouterr().out
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    env.setup("02")
    assert "not yet measured at scale full; scale laptop took 2 min and 1.3 GB on some CPU" in capsys.readouterr().out
    (tmp_path / "chapters.json").write_text(json.dumps({"02": {"laptop/cpu": run, "full/cuda": run | {"minutes": 9}}}))
    env.setup("02")
    assert "on this kind of device (cpu); scale full took 9 min" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b'{"02": {"laptop/cpu"', b"[]", b'{"02": []}', b'{"02": {"laptop/cpu": {}}}',
                                     b'{"02": {"laptop/cpu": 3}}', b"\xff\xfe", b"<<<<<<< HEAD\n{}",
                                     b'{"02": {"laptop/cpu": {"minutes": 2, "memory_gb": 1, "calibration_s": 0}}}'])
def test_a_damaged_table_of_times_is_noted_and_does_not_stop(content, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(env, "RESULTS", tmp_path)
    monkeypatch.setenv("TLUTILS_DEVICE", "cpu")
    monkeypatch.setenv("TLUTILS_SCALE", "laptop")
    (tmp_path / "chapters.json").write_bytes(content)
    env.setup("02")
    out = capsys.readouterr().out
    assert f"note:   {tmp_path / 'chapters.json'} is damaged (" in out and out.endswith("time:   not known\n")


def test_the_table_of_times_is_read_as_utf_8(tmp_path):
    run = {"laptop/mps": {"minutes": 2, "memory_gb": 1, "device": "Prüfstand"}}
    (tmp_path / "chapters.json").write_text(json.dumps({"02": run}, ensure_ascii=False), encoding="utf-8")
    code = f"import pathlib; from tlutils import env; env.RESULTS = pathlib.Path({str(tmp_path)!r}); env.setup('02')"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8",
             "TLUTILS_DEVICE": "cpu", "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, encoding="utf-8")
    assert "took 2 min and 1.0 GB on Prüfstand" in done.stdout, done.stderr


LIGHT = {"results": "load", "explore": "Explorer", "quiz": "Question"}


@pytest.mark.parametrize("blocked, code", [
    *((("torch", "torchvision", "safetensors"), f"import tlutils; from tlutils.{unit} import {name}")
      for unit, name in LIGHT.items()),
    (("torch",), "import tlutils; tlutils.results.load('01_what_is_transfer_learning', 'first_layer')"),
    (("torchvision", "safetensors"), "import tlutils, tlutils.plotting; tlutils.setup('04')"),
    (("torchvision", "safetensors"), "from tlutils import data, models, setup, surgery, train, zoo; "
                                     "models.conv8(3); data.glyphs('ab', 2, 0); zoo.table()"),
    (("torch",), "import tlutils\ntry: tlutils.nothing\nexcept AttributeError: pass\nelse: raise SystemExit(3)")])
def test_what_is_light_does_without_the_heavy_packages(blocked, code):
    block = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in blocked)
    done = subprocess.run([sys.executable, "-c", block + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = ("import sys, tlutils, tlutils.results, tlutils.quiz\nassert 'torch' not in sys.modules\n"
            "from tlutils import data, models, plotting, surgery, train, zoo\n"
            "assert not {'torchvision', 'safetensors', 'sklearn'} & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("since, told", [("0.0.9", False), (tlutils.__version__, False), ("0.10.0", True), ("2", True)])
def test_setup_tells_when_the_chapter_needs_a_newer_package(since, told, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(env, "RESULTS", tmp_path)
    env.setup("02", since=since)
    out = capsys.readouterr().out
    assert (f"needs tlutils {since}, and {tlutils.__version__} is loaded" in out) is told and "device:" in out


@pytest.mark.parametrize("chapter", [2, "2", "two"])
def test_setup_wants_two_digits(chapter):
    with pytest.raises(ValueError, match="two digits"):
        env.setup(chapter)
