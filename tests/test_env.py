"""Env: seeds that hold, a scale that is checked, a greeting that tells the truth."""
import json
import random

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


def test_versions_name_what_a_number_depends_on():
    assert {"python", "torch", "numpy", "scikit-learn"} <= set(env.versions())


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
