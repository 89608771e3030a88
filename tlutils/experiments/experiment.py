"""The shape of an experiment: what it is, how it runs seed by seed and is recorded, and how all of them are found."""
import argparse
import dataclasses
import functools
import hashlib
import importlib
import json
import os
import pkgutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tlutils.experiments
from tlutils import env, results

PARTIAL = f"{results.SCHEMA}, not yet whole"  # the schema of what a stopped run leaves
SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Experiment:
    """One question a preset, and what answers it: `run(config, seed)` returns the rows of one seed.

    Convention: presets maps a name to (question, config), config a frozen dataclass. data(config, seed) returns the
        named parts that run learns from and is tested on (arrays, tensors, lists of words, files, or dataclasses and
        tuples of them): run takes them from there, so that the record names what was used. expected names a preset's
        expectations, fixed before its run: the record stores them with the commit that holds them.
    """

    chapter: str
    presets: Mapping[str, tuple[str, object]]
    run: Callable[[object, int], list[dict]]
    data: Callable[[object, int], dict]
    expected: Mapping[str, tuple[results.Expected, ...]] = dataclasses.field(default_factory=dict)

    @property
    def module(self) -> str:
        """The module that recorded commands name."""
        if self.run.__module__ == "__main__" and getattr(sys.modules["__main__"], "__spec__", None):
            return sys.modules["__main__"].__spec__.name
        return self.run.__module__

    @property
    def name(self) -> str:
        """The name of the experiment: that of its file."""
        return self.module.rsplit(".", 1)[-1]

    def command(self, preset: str, seeds: Iterable[int]) -> str:
        """Return the command by which a record is made again."""
        return f"python -m {self.module} {preset} --seeds {' '.join(map(str, seeds))}"

    def describe(self, config, seed: int = 0) -> dict:
        """Return what a record says of its data: the number of examples and the SHA-256 of each part, for one seed."""
        return {"seed": seed, "parts": {name: {"n": _length(part), "sha256": digest(part)}
                                        for name, part in self.data(config, seed).items()}}

    def record(self, preset: str, seeds: Iterable[int] = SEEDS, *, folder: Path | None = None,
               executor: Executor | None = None, progress: bool = False) -> Path:
        """Run a preset once a seed and save folder/chapter/preset.json; return its path.

        Convention: what JSON cannot hold is refused before the first seed. Rows are checked as each seed comes and
            kept in PRESET.DATE-PROCESS.partial beside the record until all are there. A run that was stopped goes on:
            seeds in a partial file of the same code, versions, device, configuration and data, whose process has
            ended, are not run again. executor runs the seeds side by side (run must be a function of a module).
        Errors: ValueError for an unknown preset, wrong seeds, a record there that holds further seeds, or rows that
            `results.row` would refuse (named: seed, row, partial file). OSError if the folder cannot be written.
        """
        seeds = checked_seeds(seeds)
        question, config = self.presets[known(preset, self.presets, "preset")]
        started, code = time.time(), results.code_version()
        place = writable(results.place(self.chapter, preset, folder))
        fuller(place, seeds)
        told = {"question": question, "command": self.command(preset, seeds),
                "config": results.plain(dataclasses.asdict(config), "config"),
                "data": results.plain(self.describe(config, seeds[0]), "data"), "code": code}
        if lines := self.expected.get(preset):
            told["thresholds"] = {"commit": code["commit"], "expected": [line.text for line in lines]}
        partial = Partial.begin(place, preset, told, seeds, started, lambda seed: self.describe(config, seed))
        missing = [seed for seed in seeds if seed not in partial.rows]
        if len(missing) < len(seeds):
            _say(f"{preset}: seeds {', '.join(map(str, partial.rows))} were kept and are not run again")
        came = _bar(self._seeds(config, missing, executor), preset, len(missing)) if progress else \
            self._seeds(config, missing, executor)
        try:
            for seed, rows in came:
                partial.add(seed, rows)
            path = results.write_json(place, partial.whole())
        except BaseException as error:
            if partial.left() not in str(error):
                _say(f"{preset} stopped: {partial.left()}")
            raise
        partial.path.unlink(missing_ok=True)
        return path

    def _seeds(self, config, seeds: list[int], executor: Executor | None) -> Iterator[tuple[int, list[dict]]]:
        """Yield (seed, rows), each as it comes."""
        if executor is None:
            yield from ((seed, self.run(config, seed)) for seed in seeds)
            return
        jobs = {executor.submit(self.run, config, seed): seed for seed in seeds}
        yield from ((jobs[job], job.result()) for job in as_completed(jobs))

    def main(self, arguments: list[str] | None = None) -> None:
        """Read `python -m MODULE PRESET [--seeds ...] [--out FOLDER]` or `--list` and record; Ctrl-C ends with 130."""
        parser = argparse.ArgumentParser(prog=f"python -m {self.module}",
                                         description=f"recorded runs of chapter {self.chapter}")
        parser.add_argument("name", choices=self.presets, nargs="?", help="which run")
        words = _words(parser, arguments)
        if words.list:
            print(listed([self]))
        elif words.name is None:
            parser.error(f"name one of {', '.join(self.presets)}")
        else:
            _record(parser, self, words.name, words)


def load(module: str) -> Experiment:
    """Return the experiment of tlutils/experiments/MODULE.py; ValueError if there is none."""
    names = [info.name for info in pkgutil.iter_modules(tlutils.experiments.__path__)]
    there = importlib.import_module(f"tlutils.experiments.{module}") if module in names else None
    if not hasattr(there, "EXPERIMENT"):
        raise ValueError(f"module must be one of {', '.join(registry())}, got {module!r}")
    return there.EXPERIMENT


def registry() -> dict[str, Experiment]:
    """Return all experiments by name: those of the modules in tlutils/experiments that hold an EXPERIMENT."""
    found = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(tlutils.experiments.__path__)):
        one = getattr(importlib.import_module(f"tlutils.experiments.{module}"), "EXPERIMENT", None)
        if one is not None:
            found[one.name] = one
    return found


def find(name: str, experiments: Mapping[str, Experiment] | None = None) -> tuple[Experiment, str]:
    """Return (experiment, preset) for "experiment.preset", or for either alone where it means one preset only.

    Errors: ValueError that lists what there is, or what a name may mean.
    """
    experiments = registry() if experiments is None else experiments
    every = [(experiment, preset) for experiment in experiments.values() for preset in experiment.presets]
    for meant in ([pair for pair in every if name == f"{pair[0].name}.{pair[1]}"],
                  [pair for pair in every if name == pair[1]], [pair for pair in every if name == pair[0].name]):
        if len(meant) == 1:
            return meant[0]
        if meant:
            raise ValueError(f"name must be one of {', '.join(f'{e.name}.{preset}' for e, preset in meant)}, "
                             f"got {name!r}")
    known(name, [f"{experiment.name}.{preset}" for experiment, preset in every], "name")
    raise AssertionError("a known name was found above")


def listed(experiments: Iterable[Experiment]) -> str:
    """Return experiments as text: a line a preset, its name and its question."""
    lines = [(f"{experiment.name}.{preset}", experiment.chapter[:2], question) for experiment in experiments
             for preset, (question, _) in experiment.presets.items()]
    width = max(len(name) for name, _, _ in lines)
    return "\n".join(f"{name:<{width}}  {chapter}  {question}" for name, chapter, question in lines)


def main(arguments: list[str] | None = None) -> None:
    """Read `python -m tlutils.experiments NAME [--seeds ...] [--out FOLDER]` or `--list` and record."""
    parser = argparse.ArgumentParser(prog="python -m tlutils.experiments", description="recorded runs of all chapters")
    parser.add_argument("name", nargs="?", help="an experiment and a preset of it, such as anb.anb_glyphs")
    words = _words(parser, arguments)
    if words.list or words.name is None:
        print(listed(registry().values()))
        return
    try:
        experiment, preset = find(words.name)
    except ValueError as error:
        parser.error(str(error))
    _record(parser, experiment, preset, words)


@dataclass
class Partial:
    """The seeds of a run that are done, and the file that keeps them until all are."""

    path: Path
    preset: str
    told: dict
    seeds: list[int]
    started: float
    rows: dict[int, list[dict]] = dataclasses.field(default_factory=dict)
    kept: int = 0

    @classmethod
    def begin(cls, place: Path, preset: str, told: dict, seeds: list[int], started: float,
              describe: Callable[[int], dict]) -> "Partial":
        """Return the partial file of a new run, with the seeds that stopped runs of the same kind have left."""
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(started))
        begun = cls(place.with_name(f"{preset}.{moment}-{os.getpid()}.partial"), preset, told, seeds, started)
        mine, absorbed = told | {"device": env.device_name(), "versions": env.versions(),
                                 "package": package_digest()}, []
        for old in sorted(place.parent.glob(f"{preset}.*.partial")):
            try:
                left = json.loads(old.read_text(encoding="utf-8"))
                rows = {seed: [row for row in results.check_rows(left["rows"]) if row["seed"] == seed]
                        for seed in left["seeds"]}
                wall = float(left["wall_s"])
                same = not _runs(old) and all(left[key] == mine[key] for key in
                                              ("config", "device", "versions", "package"))
                same = same and left["data"] == describe(left["data"]["seed"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # not ours to judge: it stays where it is
            if not same and not _runs(old):
                _say(f"{old} is not taken up: its code, versions, device, configuration or data are others")
            fresh = {seed: rows[seed] for seed in rows if same and seed in seeds and seed not in begun.rows}
            if fresh:
                begun.rows |= fresh
                begun.started -= wall
                absorbed += [old] if set(rows) <= set(begun.rows) else []
        if begun.rows:
            begun.keep()
            if begun.kept:
                for old in absorbed:
                    old.unlink(missing_ok=True)
        return begun

    def add(self, seed: int, rows: list[dict]) -> None:
        """Check the rows of a seed and write what is done so far."""
        try:
            self.rows[seed] = results.check_rows(rows)
            for row in rows:
                results.in_vocabulary(row)
        except ValueError as error:
            self.rows.pop(seed, None)
            raise ValueError(f"seed {seed}: {error}; {self.left()}") from None
        self.keep()

    def keep(self) -> None:
        """Write the seeds that are done beside the record; where that fails the run goes on."""
        try:
            results.write_json(self.path, self.whole() | {"schema": PARTIAL, "seeds_wanted": self.seeds,
                                                          "package": package_digest()})
            self.kept = len(self.rows)
        except OSError as error:  # the end may find room for the record
            _say(f"{error}; the run goes on")

    def whole(self) -> dict:
        """Return the record of the seeds that are done, in the order in which they were asked for."""
        done = [seed for seed in self.seeds if seed in self.rows]
        rows = [row for seed in done for row in self.rows[seed]]
        return results.made(self.preset, rows, seeds=done, started=self.started, **self.told)

    def left(self) -> str:
        """Return in words what a run that stops now leaves."""
        return f"{self.kept} of {len(self.seeds)} seeds are kept in {self.path}" if self.kept else "no seed is kept"


def digest(part) -> str:
    """Return the SHA-256 of a part of the data: an array, a tensor, words, a file, or a dataclass or tuple of them."""
    return results.sha256(*_arrays(part))


def checked_seeds(seeds: Iterable[int]) -> list[int]:
    """Return seeds as a list of different whole numbers; ValueError otherwise."""
    found = [env.check_seed(seed, "seeds") for seed in seeds]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"seeds must be different numbers, at least one, got {' '.join(map(str, found)) or 'none'}")
    return found


def known(name: str, names: Iterable[str], what: str) -> str:
    """Return name, or raise a ValueError that lists names."""
    if name not in names:
        raise ValueError(f"{what} must be one of {', '.join(names)}, got {name!r}")
    return name


def writable(place: Path) -> Path:
    """Return place; OSError if nothing can be written there: nothing is run whose end cannot be kept."""
    there = next(path for path in (place.parent, *place.parent.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK) or place.is_dir():
        raise PermissionError(f"{place if place.is_dir() else there} cannot be written: nothing was run")
    trial = place.with_name(f"{place.name}.{os.getpid()}.trial")
    try:  # a link that leads nowhere, a disk that is read only: only writing tells
        place.parent.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise PermissionError(f"{place.parent} cannot be written ({error.strerror}): nothing was run") from None
    return place


def fuller(place: Path, seeds: list[int]) -> None:
    """Raise a ValueError if a record at place holds seeds beside `seeds`: a trial must not take its place."""
    try:
        more = sorted(set(json.loads(place.read_text(encoding="utf-8"))["seeds"]) - set(seeds))
    except (OSError, ValueError, KeyError, TypeError):
        return
    if more:
        raise ValueError(f"{place} holds seeds {', '.join(map(str, more))}, too, and would be lost: name them, or "
                         "write elsewhere with --out")


def _arrays(part) -> Iterator[np.ndarray]:
    if dataclasses.is_dataclass(part):
        part = [getattr(part, field.name) for field in dataclasses.fields(part)]
    if isinstance(part, Path):
        yield np.frombuffer(hashlib.sha256(part.read_bytes()).digest(), np.uint8)
    elif isinstance(part, dict):
        for name in part:
            yield from _arrays(name)
            yield from _arrays(part[name])
    elif isinstance(part, list | tuple) and not all(isinstance(value, str) for value in part):
        for value in part:
            yield from _arrays(value)
    elif hasattr(part, "cpu"):
        yield part.detach().cpu().numpy()
    else:
        yield np.array(part)


def _length(part) -> int:
    if dataclasses.is_dataclass(part):  # the first of its parts that is no name: images before labels
        part = next(value for field in dataclasses.fields(part)
                    if not isinstance(value := getattr(part, field.name), str))
    while isinstance(part, tuple):
        part = part[0]
    return len(part) if hasattr(part, "__len__") and not isinstance(part, str) else 1


@functools.cache
def package_digest() -> str:
    """Return the SHA-256 of the package's code: what a commit cannot say of a changed or installed copy."""
    folder = Path(tlutils.__file__).parent
    return results.sha256(*(np.frombuffer(path.read_bytes(), np.uint8) for path in sorted(folder.rglob("*.py"))))


def _runs(partial: Path) -> bool:
    """Return whether the process that writes a partial file still runs, as far as this machine knows."""
    number = partial.name.split("-")[-1].split(".")[0]
    try:
        os.kill(int(number), 0)
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return int(number) != os.getpid()


def _words(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write to FOLDER instead of results/")
    parser.add_argument("--list", action="store_true", help="print the names and questions, and run nothing")
    return parser.parse_args(arguments)


def _record(parser: argparse.ArgumentParser, experiment: Experiment, preset: str, words: argparse.Namespace) -> None:
    """Refuse wrong words before anything runs, then record."""
    try:
        checked_seeds(words.seeds)
        env.device(), env.scale()
        fuller(writable(results.place(experiment.chapter, preset, words.out)), words.seeds)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if hasattr(sys.stdout, "reconfigure"):  # a folder's name that the terminal's encoding lacks stops no run
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(experiment.record(preset, words.seeds, folder=words.out, progress=True))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _bar(came, name: str, total: int):
    from tqdm.auto import tqdm  # here, so that an experiment can be called where it is not installed
    return tqdm(came, desc=name, total=total)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
