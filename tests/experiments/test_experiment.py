"""The shape of an experiment: rows are checked and kept seed by seed, nothing done is lost, a stopped run goes on."""
import concurrent.futures
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
import torch

from tlutils import results
from tlutils.experiments import experiment
from tlutils.experiments.experiment import Experiment
from tlutils.worlds import Task


@dataclasses.dataclass(frozen=True)
class Config:
    """The numbers of a made-up run."""

    lr: float = 0.1
    sizes: tuple = (np.int64(1), 2)


def rows(config, seed, value=0.5):
    """Return the rows of one seed of a made-up run."""
    row = {"method": "probe", "seed": np.int64(seed), "metric": "accuracy", "value": np.float32(value),
           "unit": "fraction"}
    return [row, row | {"metric": "train_accuracy"}]


def parts(config, seed):
    """Return the data of a made-up run."""
    return {"images": np.arange(12).reshape(4, 3) + seed, "words": ["a", "b"]}


def made_up(run=rows, config=None, data=parts):
    """Return a made-up experiment."""
    return Experiment("99_made_up", {"one": ("Why?", config or Config())}, run, data)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that calls main with a run of our own; results go to a folder of the test."""
    monkeypatch.setattr(results, "RESULTS", tmp_path)

    def call(run=rows, *, seeds="0 1 2 3 4", config=None, data=parts):
        made_up(run, config, data).main(["one", "--seeds", *seeds.split()])

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
    assert made["command"] == f"python -m {rows.__module__} one --seeds 0 1 2 3 4"
    assert capsys.readouterr().out.strip() == str(tmp_path / "99_made_up" / "one.json")


def test_what_was_expected_is_stored_with_the_commit_that_holds_it(tmp_path):
    line = results.Expected("probe", "scratch", 2, {"target": "symbols"})
    whole = Experiment("99_made_up", {"one": ("Why?", Config()), "two": ("And?", Config())}, rows, parts,
                       {"one": (line,)})
    made, other = (json.loads(whole.record(name, [0, 1], folder=tmp_path).read_text()) for name in ("one", "two"))
    assert made["thresholds"] == {"commit": made["commit"], "expected": [line.text]}
    assert "thresholds" not in other and results.load("99_made_up", "one", folder=tmp_path)["thresholds"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None, "0.5"])
def test_a_bad_value_at_the_last_seed_keeps_the_others_and_names_seed_metric_and_file(start, tmp_path, bad):
    start()
    before = (tmp_path / "99_made_up" / "one.json").read_bytes()

    def wrong(config, seed):
        return [*rows(config, seed)[:1], rows(config, seed)[1] | {"value": bad}]

    with pytest.raises(ValueError, match=r"seed 3: .*'train_accuracy'.*3 of 5 seeds are kept in \S+\.partial"):
        start(failing(3, wrong))
    assert (tmp_path / "99_made_up" / "one.json").read_bytes() == before, "the last good record stays"
    (partial,) = tmp_path.rglob("*.partial")
    left = json.loads(partial.read_text(encoding="utf-8"))
    assert left["seeds"] == [0, 1, 2] and left["seeds_wanted"] == [0, 1, 2, 3, 4] and len(left["rows"]) == 6
    whole = json.loads(before)
    assert set(whole) <= set(left) and left["config"] == whole["config"] and left["data"] == whole["data"]
    partial.rename(partial.with_name("copied.json"))
    with pytest.raises(ValueError, match="schema '2, not yet whole'"):
        results.load("99_made_up", "copied")


@pytest.mark.parametrize("came", [[], None, "rows", [3], [{"method": "probe"}]], ids=str)
def test_rows_of_another_shape_are_refused_at_their_seed(start, tmp_path, came):
    with pytest.raises(ValueError, match="seed 1: .* 1 of 5 seeds are kept"):
        start(failing(1, lambda config, seed: came))


@pytest.mark.parametrize("change, says", [({"metric": "precision"}, "metric must be one of accuracy"),
                                          ({"unit": "%"}, "unit of accuracy must be fraction"),
                                          ({"colour": "red"}, "factors must be among target, .*got colour")])
def test_a_word_that_the_book_does_not_know_is_refused_at_its_seed(start, change, says):
    with pytest.raises(ValueError, match=f"seed 1: {says}.* 1 of 5 seeds are kept"):
        start(failing(1, lambda config, seed: [rows(config, seed)[0] | change]))


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
    with pytest.raises(FileNotFoundError, match="weights.pth"):
        start(never, data=lambda config, seed: {"weights": Path("weights.pth")})


def test_seeds_that_come_twice_are_refused(start, capsys):
    with pytest.raises(SystemExit):
        start(seeds="0 1 0")
    assert "seeds must be different" in capsys.readouterr().err


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
from tlutils.experiments.experiment import Experiment
out, wait = Path(sys.argv.pop()), sys.argv.pop()
@dataclasses.dataclass
class Config:
    lr: float = 0.1
def run(config, seed):
    print(seed, flush=True)
    if wait == "third" and seed == 2:
        time.sleep(600)
    row = {"method": "m", "seed": seed, "metric": "accuracy", "value": 0.5 + seed / 10, "unit": "fraction"}
    return [row] * 2000
Experiment("99_made_up", {"one": ("Why?", Config())}, run, lambda config, seed: {"x": [seed]}).main(
    ["one", "--out", str(out)])
"""


def child(folder, wait="no"):
    """Start a recorded run in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(Path(results.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", CHILD, wait, str(folder)], text=True, env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
def test_a_run_killed_at_its_third_seed_leaves_two_and_goes_on_there(tmp_path, how):
    process = child(tmp_path, "third")
    assert [process.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "2\n"]
    process.send_signal(how)
    process.communicate(timeout=60)
    (partial,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    left = json.loads(partial.read_text())
    assert left["seeds"] == [0, 1] and len(left["rows"]) == 4000 and left["commit"] and left["versions"]
    assert partial.suffix == ".partial" and not list(tmp_path.rglob("*.json"))
    again, unbroken = child(tmp_path), child(tmp_path / "unbroken")
    said, whole = again.communicate(timeout=120)[0].split(), unbroken.communicate(timeout=120)[0].split()
    assert said[:-1] == ["2", "3", "4"] and whole[:-1] == ["0", "1", "2", "3", "4"], "seeds that were run"
    resumed, straight = (results.load("99_made_up", "one", folder=one) for one in (tmp_path, tmp_path / "unbroken"))
    assert resumed["rows"] == straight["rows"] and resumed["seeds"] == straight["seeds"]
    assert resumed["wall_s"] >= left["wall_s"] and not list(tmp_path.rglob("*.partial"))


def stopped(tmp_path, **changes):
    """Leave the partial file of a run that stopped at its third seed, with other values under some keys."""
    with pytest.raises(RuntimeError):
        made_up(failing(2, lambda config, seed: raise_(RuntimeError()))).record("one", folder=tmp_path)
    (mine,) = tmp_path.rglob("*.partial")
    other = mine.with_name("one.20260101T000000-999999999.partial")  # of a process that is no more
    mine.replace(other)
    other.write_text(json.dumps(json.loads(other.read_text()) | changes))
    return other


def seeds_run(tmp_path, seeds=(0, 1, 2, 3, 4), **kind):
    """Record a made-up run and return the seeds that were run."""
    seen = []

    def run(config, seed):
        seen.append(seed)
        return rows(config, seed)

    made_up(run, **kind).record("one", seeds, folder=tmp_path)
    return seen


def test_seeds_of_a_stopped_run_are_taken_over(tmp_path, capsys):
    stopped(tmp_path)
    assert seeds_run(tmp_path, (4, 1, 0)) == [4] and files(tmp_path) == ["one.json"]
    made = results.load("99_made_up", "one", folder=tmp_path)
    assert [row["seed"] for row in made.rows] == [4, 4, 1, 1, 0, 0]
    assert "seeds 0, 1 were kept and are not run again" in capsys.readouterr().err


def test_seeds_that_are_not_asked_for_stay_where_they_are(tmp_path):
    left = stopped(tmp_path)
    assert seeds_run(tmp_path, (1, 7)) == [7] and left.exists()


@pytest.mark.parametrize("changes", [{"package": "0" * 64}, {"device": "another"}, {"versions": {}}, {"config": {}},
                                     {"data": {"parts": {}}}, {"data": 3}, {"rows": [3]}, {"rows": None}, {"seeds": 5},
                                     {"wall_s": "long"}], ids=str)
def test_a_stopped_run_of_another_kind_is_left_alone(tmp_path, changes):
    left = stopped(tmp_path, **changes)
    before = left.read_bytes()
    assert seeds_run(tmp_path) == [0, 1, 2, 3, 4] and left.read_bytes() == before


def test_a_stopped_run_that_is_not_taken_up_is_named(tmp_path, capsys):
    left = stopped(tmp_path, package="0" * 64)
    seeds_run(tmp_path)
    assert f"{left} is not taken up: its code, versions" in capsys.readouterr().err


def test_a_run_with_another_configuration_or_other_data_starts_anew(tmp_path):
    left = stopped(tmp_path)
    assert seeds_run(tmp_path, config=Config(lr=0.2)) == [0, 1, 2, 3, 4]
    assert seeds_run(tmp_path, data=lambda config, seed: {"images": np.zeros(3)}) == [0, 1, 2, 3, 4] and left.exists()


def test_a_run_that_still_goes_on_is_not_taken_over(tmp_path):
    left = stopped(tmp_path)
    alive = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        left.replace(left.with_name(f"one.20260101T000000-{alive.pid}.partial"))
        assert seeds_run(tmp_path) == [0, 1, 2, 3, 4] and len(files(tmp_path)) == 2
    finally:
        alive.kill()
        alive.wait()


def test_a_trial_does_not_take_the_place_of_a_record_with_more_seeds(tmp_path, start, capsys):
    made_up().record("one", (0, 1, 2), folder=tmp_path)
    before = (tmp_path / "99_made_up" / "one.json").read_bytes()
    with pytest.raises(ValueError, match="one.json holds seeds 1, 2, too, and would be lost"):
        made_up().record("one", (0,), folder=tmp_path)
    with pytest.raises(SystemExit):
        start(seeds="0")
    assert "name them, or write elsewhere with --out" in capsys.readouterr().err
    assert (tmp_path / "99_made_up" / "one.json").read_bytes() == before
    made_up().record("one", (2, 1, 0, 3), folder=tmp_path)


def test_a_place_that_cannot_be_written_is_told_before_the_run(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "x")
    (tmp_path / "99_made_up" / "one.json").mkdir(parents=True)
    for folder in (tmp_path / "link", tmp_path):
        with pytest.raises(PermissionError, match="cannot be written"):
            made_up(lambda config, seed: raise_(AssertionError("the run began"))).record("one", folder=folder)


def square(config, seed):
    """Return a row; a function of a module, which another process can call."""
    return [results.row("probe", seed, "accuracy", seed**2 / 100)]


def test_an_executor_runs_seeds_side_by_side_and_the_record_is_the_same(tmp_path):
    whole = made_up(square)
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        side_by_side = whole.record("one", folder=tmp_path / "a", executor=executor)
    assert json.loads(side_by_side.read_text())["rows"] == json.loads(
        whole.record("one", folder=tmp_path / "b").read_text())["rows"]


def test_the_data_are_named_part_by_part(tmp_path):
    said = made_up().describe(Config(), 1)
    assert said["seed"] == 1 and {name: part["n"] for name, part in said["parts"].items()} == {"images": 4, "words": 2}
    assert made_up().describe(Config(), 0)["parts"]["words"] == said["parts"]["words"]
    assert made_up().describe(Config(), 0)["parts"]["images"] != said["parts"]["images"]
    assert said["parts"]["images"]["sha256"] == results.sha256(np.arange(12).reshape(4, 3) + 1)


def test_a_digest_tells_apart_whatever_data_may_be(tmp_path):
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    x, y = torch.arange(6.0).reshape(3, 2), torch.arange(3)
    seen = [x, x.int(), x.T, (x, y), (y, x), Task(x, y, x, y), Task(x, y, x, y + 1), ["a", "b"], ["ab"], "ab", file,
            {"x": x}, {"y": x}, [np.arange(3), np.arange(2)]]
    assert len({experiment.digest(part) for part in seen}) == len(seen)
    assert experiment.digest(x) == experiment.digest(x.numpy()) == experiment.digest(x.clone().requires_grad_())


def test_the_registry_finds_every_experiment_and_a_name_may_be_short():
    every = experiment.registry()
    assert {"anb", "few_labels", "contrast", "shelf"} <= set(every)
    assert experiment.find("anb.anb_glyphs") == experiment.find("anb_glyphs") == (every["anb"], "anb_glyphs")
    assert experiment.find("batchnorm")[1] == "batchnorm"
    with pytest.raises(ValueError, match="name must be one of .*layers.*, got 'layers'"):
        experiment.find("layers")  # chapters 6 and 12 have one each
    with pytest.raises(ValueError, match="name must be one of anb.anb_glyphs, anb.anb_cifar100_halves.*, got 'anb'"):
        experiment.find("anb")
    with pytest.raises(ValueError, match="name must be one of .*, got 'nothing'"):
        experiment.find("nothing")
    with pytest.raises(ValueError, match="module must be one of .*anb"):
        experiment.load("nothing")


def test_the_list_names_every_preset_with_its_question(capsys):
    experiment.main(["--list"])
    shown = capsys.readouterr().out
    assert all(f"{one.name}.{preset}" in shown and question in shown for one in experiment.registry().values()
               for preset, (question, _) in one.presets.items())
    with pytest.raises(SystemExit):
        experiment.main(["no_such_run"])
    assert "name must be one of" in capsys.readouterr().err


def test_a_recorded_run_of_the_book_goes_to_another_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiment, "registry", lambda: {"x": made_up()})
    experiment.main(["one", "--seeds", "3", "--out", str(tmp_path / "mine")])
    assert files(tmp_path) == ["one.json"] and str(tmp_path / "mine") in capsys.readouterr().out


def test_two_runs_of_one_preset_at_once_leave_a_whole_record(tmp_path):
    started = time.time()
    both = [child(tmp_path), child(tmp_path)]
    assert [process.wait(120) for process in both] == [0, 0]
    for process in both:
        process.stdout.close()
    assert files(tmp_path) == ["one.json"]
    made = results.load("99_made_up", "one", folder=tmp_path)
    assert made["seeds"] == [0, 1, 2, 3, 4] and len(made.rows) == 10_000 and made["wall_s"] < time.time() - started
