"""The command line of the recorded runs: rows are checked and kept seed by seed, and nothing done is lost."""
import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tlutils import results
from tlutils.experiments import record


@dataclasses.dataclass(frozen=True)
class Config:
    """The numbers of a made-up run."""

    lr: float = 0.1
    sizes: tuple = (np.int64(1), 2)


def rows(config, seed, value=0.5):
    """Return the rows of one seed of a made-up run."""
    row = {"method": "probe", "seed": np.int64(seed), "metric": "accuracy", "value": np.float32(value),
           "unit": "fraction"}
    return [row, row | {"metric": "gap"}]


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that calls main with a run of our own; results go to a folder of the test."""
    monkeypatch.setattr(results, "RESULTS", tmp_path)

    def call(run=rows, *, seeds="0 1 2 3 4", config=None, describe=lambda config: {"sha256": "0" * 64}):
        monkeypatch.setattr(sys, "argv", ["x", "one", "--seeds", *seeds.split()])
        record.main("tlutils.experiments.x", "99_made_up", {"one": ("Why?", config or Config())}, run, describe)

    return call


def files(folder):
    """Return the names of all files below a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def failing(at, how):
    """Return a run that calls `how` at the seed `at`."""
    return lambda config, seed: how(config, seed) if seed == at else rows(config, seed)


def raise_(error):
    """Raise an error, in an expression."""
    raise error


def test_a_whole_run_leaves_one_record_and_nothing_else(start, tmp_path, capsys):
    start()
    assert files(tmp_path) == ["one.json"]
    made = results.load("99_made_up", "one")
    assert made["seeds"] == [0, 1, 2, 3, 4] and len(made["rows"]) == 10 and made["config"]["sizes"] == [1, 2]
    assert made["command"] == "python -m tlutils.experiments.x one --seeds 0 1 2 3 4"
    assert capsys.readouterr().out.strip() == str(tmp_path / "99_made_up" / "one.json")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None, "0.5"])
def test_a_bad_value_at_the_last_seed_keeps_the_others_and_names_seed_metric_and_file(start, tmp_path, bad):
    start(seeds="7")
    before = (tmp_path / "99_made_up" / "one.json").read_bytes()

    def wrong(config, seed):
        return [*rows(config, seed)[:1], rows(config, seed)[1] | {"value": bad}]

    with pytest.raises(ValueError, match=r"seed 3: .*'gap'.*3 of 5 seeds are kept in \S+\.partial"):
        start(failing(3, wrong))
    assert (tmp_path / "99_made_up" / "one.json").read_bytes() == before, "the last good record stays"
    (partial,) = tmp_path.rglob("*.partial")
    left = json.loads(partial.read_text(encoding="utf-8"))
    assert left["seeds"] == [0, 1, 2] and left["seeds_wanted"] == [0, 1, 2, 3, 4] and len(left["rows"]) == 6
    whole = json.loads(before)
    assert set(whole) <= set(left) and left["config"] == whole["config"] and left["data"] == whole["data"]
    partial.rename(partial.with_name("copied.json"))
    with pytest.raises(ValueError, match="schema '1, not yet whole'"):
        results.load("99_made_up", "copied")


@pytest.mark.parametrize("came", [[], None, "rows", [3], [{"method": "probe"}]], ids=str)
def test_rows_of_another_shape_are_refused_at_their_seed(start, tmp_path, came):
    with pytest.raises(ValueError, match="seed 1: .* 1 of 5 seeds are kept"):
        start(failing(1, lambda config, seed: came))


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), RuntimeError("out of memory"), SystemExit(3)], ids=repr)
def test_a_run_that_stops_says_where_its_seeds_lie(start, tmp_path, capsys, stop):
    with pytest.raises(SystemExit if isinstance(stop, KeyboardInterrupt) else type(stop)) as ended:
        start(failing(2, lambda config, seed: raise_(stop)))
    assert not isinstance(stop, KeyboardInterrupt) or ended.value.code == 130
    (partial,) = tmp_path.rglob("*.partial")
    assert f"one stopped: 2 of 5 seeds are kept in {partial}" in capsys.readouterr().err


def test_a_run_that_stops_at_its_first_seed_leaves_nothing(start, tmp_path, capsys):
    with pytest.raises(RuntimeError):
        start(failing(0, lambda config, seed: raise_(RuntimeError())))
    assert files(tmp_path) == [] and "no seed is kept" in capsys.readouterr().err


def test_what_cannot_be_saved_is_refused_before_the_first_seed(start):
    def never(config, seed):
        raise AssertionError("the run began")

    with pytest.raises(ValueError, match="config.lr must be finite"):
        start(never, config=Config(lr=float("nan")))
    with pytest.raises(ValueError, match="data.root must be"):
        start(never, describe=lambda config: {"root": Path("x")})


def test_seeds_that_come_twice_are_refused(start, capsys):
    with pytest.raises(SystemExit):
        start(seeds="0 1 0")
    assert "--seeds must be different" in capsys.readouterr().err


@pytest.mark.parametrize("variable, word, seeds", [("TLUTILS_DEVICE", "toaster", "0"), ("TLUTILS_SCALE", "huge", "0"),
                                                   ("X", "-1", "0 -1"), ("X", "4294967296", "4294967296")])
def test_wrong_words_are_told_in_one_line_before_the_first_seed(start, capsys, monkeypatch, variable, word, seeds):
    monkeypatch.setenv(variable, word)
    with pytest.raises(SystemExit) as ended:
        start(lambda config, seed: raise_(AssertionError("the run began")), seeds=seeds)
    assert ended.value.code == 2 and word in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_that_cannot_be_written_is_told_before_the_first_seed(start, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, how: False)  # whoever runs the tests may be root, who may all
    with pytest.raises(SystemExit) as ended:
        start(lambda config, seed: raise_(AssertionError("the run began")))
    assert ended.value.code == 2 and f"{tmp_path} cannot be written" in capsys.readouterr().err


def test_a_full_disk_does_not_stop_the_run_and_the_end_says_what_is_kept(start, tmp_path, capsys):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    seen = []

    def run(config, seed):
        seen.append(seed)
        if seed == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
        return rows(config, seed)

    try:
        with pytest.raises(OSError, match="one.json"):
            start(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capsys.readouterr().err
    assert seen == [0, 1, 2, 3, 4] and "the run goes on" in said and "2 of 5 seeds are kept" in said
    (name,) = files(tmp_path)
    assert name.endswith(".partial") and json.loads(next(tmp_path.rglob(name)).read_text())["seeds"] == [0, 1]


CHILD = """
import dataclasses, sys, time
from pathlib import Path
from tlutils import results
from tlutils.experiments import record
results.RESULTS = Path(sys.argv.pop())
wait = sys.argv.pop()
@dataclasses.dataclass
class Config:
    lr: float = 0.1
def run(config, seed):
    if wait == "third" and seed == 2:
        print("third seed", flush=True)
        time.sleep(600)
    return [{"method": "m", "seed": seed, "metric": "a", "value": 0.5, "unit": "1"}] * 2000
record.main("tlutils.experiments.x", "99_made_up", {"one": ("Why?", Config())}, run, lambda config: {})
"""


def child(folder, wait="no"):
    """Start a recorded run in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(Path(results.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", CHILD, "one", wait, str(folder)], text=True, env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
def test_a_run_killed_at_its_third_seed_leaves_two_on_disk(tmp_path, how):
    process = child(tmp_path, "third")
    assert process.stdout.readline() == "third seed\n"
    process.send_signal(how)
    process.communicate(timeout=60)
    (partial,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    left = json.loads(partial.read_text())
    assert left["seeds"] == [0, 1] and len(left["rows"]) == 4000 and left["commit"] and left["versions"]
    assert partial.suffix == ".partial" and not list(tmp_path.rglob("*.json"))


def test_two_runs_of_one_preset_at_once_leave_a_whole_record(tmp_path):
    started = time.time()
    both = [child(tmp_path), child(tmp_path)]
    assert [process.wait(120) for process in both] == [0, 0]
    for process in both:
        process.stdout.close()
    assert files(tmp_path) == ["one.json"]
    made = results.load("99_made_up", "one", folder=tmp_path)
    assert made["seeds"] == [0, 1, 2, 3, 4] and len(made["rows"]) == 10_000 and made["wall_s"] < time.time() - started
