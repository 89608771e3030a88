"""How a chapter begins: it tells device, scale, minutes and memory, and never stops for a damaged table of times."""
import json
import subprocess
import sys

import pytest
import torch

import tlutils
from tlutils import start


def test_calibrate_leaves_the_random_state_alone():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert start.calibrate() > 0 and torch.equal(torch.get_rng_state(), state)


def test_setup_prints_device_scale_minutes_and_memory(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(start, "RESULTS", tmp_path)
    monkeypatch.setattr(start, "calibrate", lambda: 0.2)
    monkeypatch.setenv("TLUTILS_DEVICE", "cpu")
    monkeypatch.setenv("TLUTILS_SCALE", "laptop")
    start.setup("02")
    assert "no recorded run" in capsys.readouterr().out
    run = {"minutes": 2.0, "calibration_s": 0.1, "memory_gb": 1.26, "device": "some CPU"}
    (tmp_path / "chapters.json").write_text(json.dumps({"02": {"laptop/cpu": run}}))
    start.setup("02")
    out = capsys.readouterr().out
    assert "about 4 min" in out and "about 1.3 GB" in out and "scale:  laptop" in out  # this machine is half as fast
    monkeypatch.setattr(start, "calibrate", lambda: 5.0)  # other work disturbs it: no number that nobody would believe
    start.setup("02")
    assert "more than 8 min here (this machine is slow" in capsys.readouterr().out
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    start.setup("02")
    assert "not yet measured at scale full; scale laptop took 2 min and 1.3 GB on some CPU" in capsys.readouterr().out
    (tmp_path / "chapters.json").write_text(json.dumps({"02": {"laptop/cpu": run, "full/cuda": run | {"minutes": 9}}}))
    start.setup("02")
    assert "on this kind of device (cpu); scale full took 9 min" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b'{"02": {"laptop/cpu"', b"[]", b'{"02": []}', b'{"02": {"laptop/cpu": {}}}',
                                     b'{"02": {"laptop/cpu": 3}}', b"\xff\xfe", b"<<<<<<< HEAD\n{}",
                                     b'{"02": {"laptop/cpu": {"minutes": 2, "memory_gb": 1, "calibration_s": 0}}}'])
def test_a_damaged_table_of_times_is_noted_and_does_not_stop(content, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(start, "RESULTS", tmp_path)
    monkeypatch.setenv("TLUTILS_DEVICE", "cpu")
    monkeypatch.setenv("TLUTILS_SCALE", "laptop")
    (tmp_path / "chapters.json").write_bytes(content)
    start.setup("02")
    out = capsys.readouterr().out
    assert f"note:   {tmp_path / 'chapters.json'} is damaged (" in out and out.endswith("time:   not known\n")


def test_the_table_of_times_is_read_as_utf_8(tmp_path):
    run = {"laptop/mps": {"minutes": 2, "memory_gb": 1, "device": "Prüfstand"}}
    (tmp_path / "chapters.json").write_text(json.dumps({"02": run}, ensure_ascii=False), encoding="utf-8")
    code = (f"import pathlib; from tlutils import start; start.RESULTS = pathlib.Path({str(tmp_path)!r}); "
            "start.setup('02')")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8",
             "TLUTILS_DEVICE": "cpu", "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, encoding="utf-8")
    assert "took 2 min and 1.0 GB on Prüfstand" in done.stdout, done.stderr


@pytest.mark.parametrize("since, told", [("0.0.9", False), (tlutils.__version__, False), ("0.10.0", True), ("2", True)])
def test_setup_tells_when_the_chapter_needs_a_newer_package(since, told, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(start, "RESULTS", tmp_path)
    start.setup("02", since=since)
    out = capsys.readouterr().out
    assert (f"needs tlutils {since}, and {tlutils.__version__} is loaded" in out) is told and "device:" in out


@pytest.mark.parametrize("chapter", [2, "2", "two"])
def test_setup_wants_two_digits(chapter):
    with pytest.raises(ValueError, match="two digits"):
        start.setup(chapter)
