"""Rows of results and their vocabulary, recorded runs with their provenance, published numbers, checked claims."""
import contextlib
import dataclasses
import datetime
import hashlib
import html
import json
import math
import os
import re
import secrets
import subprocess
import time
from pathlib import Path

import numpy as np

SCHEMA = 2
ROW_KEYS = ("method", "seed", "metric", "value", "unit")
# what rows may say. A metric has its units; every other key of a row is a factor, which tells what was varied.
METRICS = {
    "accuracy": ("fraction",),                     # on test images of the target
    "train_accuracy": ("fraction",),               # on the images that were trained on
    "source_accuracy": ("fraction",),              # on new images of what the network was pretrained on
    "merged_accuracy": ("fraction",),              # accuracy after adapters were folded into the weights
    "outside_accuracy": ("fraction",),             # on test images of another manner than the labelled ones
    "reverse_accuracy": ("fraction",),             # of reverse validation: there and back, no label of the target
    "r2": ("fraction",),                           # 1 - squared error / variance, where the target is a number
    "loss": ("nats", "squared error"),             # of training, the mean of its last steps
    "domain_loss": ("nats",),                      # of a domain classifier on test images
    "score": ("as defined",),                      # of transferability, before any training
    "gabor_share": ("fraction",),                  # of a filter's energy, explained by its best Gabor function
    "drift": ("standard deviations",),             # of running means
    "feature_change": ("fraction",),               # |h_after - h_before| / |h_before|
    "proxy_a_distance": ("0 to 2",),
    "spread": ("1 on the whole sphere",),          # of normalised features; 0 for one and the same direction
    "temperature": ("1",),
    "start_difference": ("relative",), "merge_difference": ("relative",),   # of scores, to those they should equal
    "chosen_layer": ("layer",),                    # by cross-validation on the labelled images
    "trained": ("parameters",), "stored": ("bytes",),
    "seconds": ("s",), "cpu_seconds": ("s",)}
FACTORS = {
    "target": "what is learned or scored: a task, or a product of reviews", "pair": "two domains",
    "source": "what the network was pretrained on", "checkpoint": "a network of the zoo",
    "source_classes": "number of classes of the source", "source_images": "number of images of the source",
    "labels_per_class": "labelled images of each class", "labels": "labelled examples in all",
    "n_images": "number of images that a time is for", "split": "which test images: of pairs seen in training or not",
    "copied": "number of layers that were copied (n of AnB)", "layer": "the block whose output is read",
    "width": "number of features", "reader": "how features are read: probe, knn, fine-tune, ...",
    "question": "what is asked of an image", "variant": "a named change of the experiment's configuration",
    "budget": "training steps", "lr": "learning rate", "batch_size": "images a step", "side": "pixels of an image",
    "filter": "number of a filter", "pixels": "its picture, 8 bits a value, in hexadecimal"}
KEYS = {"name": str, "question": str, "command": str, "commit": str, "date_utc": str, "wall_s": int | float,
        "device": str, "versions": dict, "data": dict, "config": dict, "seeds": list}
MEND = "restore it with git, or make the run again"
_PACKAGE = Path(__file__).resolve().parent
# a checkout holds results/ beside the package; an installed package carries the same files inside
RESULTS = _PACKAGE / "recorded" if (_PACKAGE / "recorded").is_dir() else _PACKAGE.parent / "results"


def row(method: str, seed: int, metric: str, value: float, unit: str | None = None, *, digits: int | None = 5,
        **factors) -> dict:
    """Return one row of a result: one number, what it is, and under which factors it was measured.

    Units: those of METRICS; unit may be left out where a metric has one.
    Convention: value is rounded to so many digits, None: not at all. A factor that is None is left out.
    Errors: ValueError for a metric, a unit or a factor that the vocabulary lacks (METRICS, FACTORS), for a value that
        is no finite number, or a seed that is no whole number.

    >>> row("probe", 0, "accuracy", 2 / 3, target="symbols")
    {'method': 'probe', 'seed': 0, 'target': 'symbols', 'metric': 'accuracy', 'value': 0.66667, 'unit': 'fraction'}
    """
    if not isinstance(metric, str):
        raise ValueError(f"metric must be a word, got {metric!r:.80}")
    if unit is None and len(METRICS.get(metric, ())) > 1:
        raise ValueError(f"unit of {metric} must be one of {', '.join(METRICS[metric])}, got None")
    value = plain(value, "value")
    kept = {name: given for name, given in factors.items() if given is not None}
    made = {"method": method, "seed": seed, **kept, "metric": metric,
            "value": value if digits is None or not _finite(value) else round(float(value), digits),
            "unit": unit or METRICS.get(metric, ("",))[0]}
    (made,) = check_rows([made])
    in_vocabulary(made)
    return made


def in_vocabulary(made: dict) -> None:
    """Do nothing for a row whose metric, unit and factors are those of METRICS and FACTORS; else ValueError."""
    if made["metric"] not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {made['metric']!r:.80}")
    if made["unit"] not in METRICS[made["metric"]]:
        raise ValueError(f"unit of {made['metric']} must be {' or '.join(METRICS[made['metric']])}, "
                         f"got {made['unit']!r:.80}")
    if made["metric"].endswith("accuracy") and not 0 <= made["value"] <= 1:
        raise ValueError(f"{made['metric']} must be a fraction in 0..1, got {made['value']!r:.80}")
    if made["seed"] < 0:
        raise ValueError(f"seed must be >= 0, got {made['seed']}")
    if unknown := sorted(set(made) - set(FACTORS) - set(ROW_KEYS)):
        raise ValueError(f"factors must be among {', '.join(FACTORS)}, got {', '.join(map(str, unknown)):.80}; a new "
                         "one is added in tlutils.results.FACTORS")


@dataclasses.dataclass(frozen=True)
class Expected:
    """What was expected of a run before it was made: one method ahead of another by more than so many points.

    Units: over in points (hundredths of a fraction), negative for "not behind by as much as that".
    Convention: one and other name a method, or hold all keys in which the two differ, as for `Run.gap`; where holds the
        other keys of the rows, such as target="symbols"; every: in each seed, else in the mean. The text is made of
        these, so that it cannot say anything else.
    """

    one: str | dict
    other: str | dict
    over: float
    where: dict
    every: bool = True

    @property
    def text(self) -> str:
        """The expectation in words."""
        told = {"metric": "accuracy"} | self.where
        place = self._words({key: value for key, value in told.items() if key != "metric"})
        outside = " outside" if told["metric"] == "outside_accuracy" else ""
        one, other = self._words(self.one), self._words(self.other)
        ahead = (f"is ahead of {other} by over {self.over:g} points" if self.over > 0 else
                 f"is ahead of {other}" if self.over == 0 else
                 f"is behind {other} by under {-self.over:g} points, if at all")
        return (f"{place}: " if place else "") + (
            f"{one} {ahead}{outside}, {'in every seed' if self.every else 'in the mean'}")

    @staticmethod
    def _words(keys: str | dict) -> str:
        units = {"labels_per_class": " labels", "budget": " steps"}
        return keys if isinstance(keys, str) else ", ".join(
            f"{value}{units.get(key, '')}" for key, value in keys.items())

    def holds(self, run: "Run") -> bool:
        """Return whether the rows of run bear it out."""
        gap = 100 * run.gap(self.one, self.other, **{"metric": "accuracy"} | self.where)
        return bool((gap.min() if self.every else gap.mean()) > self.over)


class Table(list):
    """Rows, one dictionary each, that show themselves as a table in a notebook and as text elsewhere."""

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{html.escape(str(key))}</th>" for key in (self[0] if self else ()))
        body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row.values()) + "</tr>"
                       for row in self)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        if not self:
            return "(an empty table)"
        cells = [list(map(str, self[0])), *([str(cell) for cell in row.values()] for row in self)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
                         for line in cells)


class Run(dict):
    """A recorded run, or the rows of a live one: a dictionary with the keys of its file that can be asked.

    Convention: `Run.of(rows)` holds rows alone; `load` returns a run with its provenance.
    """

    @classmethod
    def of(cls, rows: list[dict], **told) -> "Run":
        """Return rows, checked, as a run without a file; told are further entries, such as question or seeds.

        Errors: ValueError as for `row`.
        """
        return cls({"seeds": sorted({made["seed"] for made in check_rows(rows)}), **told, "rows": check_rows(rows)})

    @property
    def rows(self) -> list[dict]:
        """The rows, one number each."""
        return self["rows"]

    def select(self, **wanted) -> np.ndarray:
        """Return the values of the rows whose keys equal `wanted`, in order of their seeds: (n,). See `select`."""
        return select(self.rows, **wanted)

    def gap(self, better: str | dict, worse: str | dict, **wanted) -> np.ndarray:
        """Return the difference of two methods, seed by seed, in order of their seeds: (n seeds,).

        Shapes: better and worse name a method, or hold all keys in which the two differ; wanted holds for both.
        Errors: ValueError if a side has no rows, more than one row a seed, or seeds or units of the two differ.

        >>> rows = [row(how, s, "accuracy", v) for how, v in (("probe", 0.5), ("scratch", 0.25)) for s in (0, 1)]
        >>> Run.of(rows).gap("probe", "scratch", metric="accuracy")
        array([0.25, 0.25])
        """
        sides, units = [], set()
        for side in (better, worse):
            keys = wanted | (side if isinstance(side, dict) else {"method": side})
            select(self.rows, **keys)
            rows = [made for made in self.rows if all(made.get(key) == value for key, value in keys.items())]
            units |= {made["unit"] for made in rows}
            found = sorted((made["seed"], made["value"]) for made in rows)
            seeds = [seed for seed, _ in found]
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"one row a seed must answer to {keys}, got {len(seeds)} for {len(set(seeds))} seeds")
            sides.append(dict(found))
        if len(units) > 1:
            raise ValueError(f"both must have one unit, got {', '.join(sorted(units))}: name a metric")
        if set(sides[0]) != set(sides[1]):
            raise ValueError(f"both must have the same seeds, got {sorted(sides[0])} and {sorted(sides[1])}")
        return np.array([sides[0][seed] - sides[1][seed] for seed in sides[0]])

    def leaders(self, methods: list[str], *, level: float = 0.95, **wanted) -> list[str]:
        """Return the methods that may be the best: that of the highest mean, and all that are not told apart from it.

        Equation: apart means that the t-interval of the paired difference over n seeds, mean -+ t s / sqrt(n), lies
            above 0; t with n - 1 degrees of freedom, level corrected for the len(methods) - 1 comparisons (Bonferroni).
        Convention: in order of the means, best first; unpaired seeds are an error, not a comparison. Without any
            difference 8 % of tables with five methods and five seeds shut one out (the best is chosen by its mean).
        Errors: ValueError as for `gap`, for fewer than two methods or seeds, or a level that is not in 0..1.
        """
        from scipy.special import stdtrit  # here: records are read where scipy is not installed

        if len(set(methods)) < 2 or not 0 < level < 1:
            raise ValueError(f"methods must be two or more and level in 0..1, got {methods} and {level}")
        means = {method: self.select(method=method, **wanted).mean() for method in methods}
        ordered = sorted(means, key=means.get, reverse=True)
        kept = ordered[:1]
        for method in ordered[1:]:
            gap = self.gap(ordered[0], method, **wanted)
            if len(gap) < 2:
                raise ValueError(f"seeds must be two or more to compare, got {len(gap)}")
            t = stdtrit(len(gap) - 1, 1 - (1 - level) / 2 / (len(means) - 1))
            if gap.mean() <= t * gap.std(ddof=1) / math.sqrt(len(gap)):
                kept.append(method)
        return kept

    def table(self, lines: str = "method", columns: str | None = None, *, each: bool = False, **wanted) -> Table:
        """Return means over seeds: a line for each value of the factor `lines`, a column for each of `columns`.

        Units: fractions in per cent; otherwise as stored, with three digits. Three dots where no row answers.
        Convention: "mean (lowest to highest)" over the seeds; each: every seed in their order instead, fractions in
            whole per cent. Lines and columns in the order of the rows.
        Errors: ValueError if no row answers, rows of several metrics or units do, no row has lines or columns, or a
            cell has more than one row a seed: it names the factors that differ.
        """
        found = [made for made in self.rows if all(made.get(key) == value for key, value in wanted.items())]
        select(self.rows, **wanted)
        if len(metrics := sorted({made["metric"] for made in found})) > 1:
            raise ValueError(f"metric must be named, the rows hold {', '.join(metrics)}")
        if len(units := sorted({made["unit"] for made in found})) > 1:
            raise ValueError(f"the rows must have one unit, got {', '.join(units)}: name a method")
        for factor in (lines, columns):
            if factor is not None and not any(factor in made for made in found):
                raise ValueError(f"lines and columns must be keys of the rows, got {factor!r}; there are "
                                 f"{', '.join(sorted({key for made in found for key in made}))}")
        cells: dict[tuple, list[float]] = {}
        for made in sorted(found, key=lambda made: made["seed"]) if each else found:
            cells.setdefault((made.get(lines), made.get(columns, "")), []).append(made["value"])
            place = [other["seed"] for other in found if (other.get(lines), other.get(columns, "")) ==
                     (made.get(lines), made.get(columns, ""))]
            if len(set(place)) < len(place):
                alike = [other for other in found if other.get(lines) == made.get(lines)]
                vary = sorted({key for other in alike for key in other} - {lines, columns, *wanted, *ROW_KEYS})
                vary = [key for key in vary if len({str(other.get(key)) for other in alike}) > 1]
                raise ValueError(f"a cell must have one row a seed, {lines} {made.get(lines)!r} has more: name "
                                 f"another factor ({', '.join(vary)})")
        order = dict.fromkeys((made.get(lines), made.get(columns, "")) for made in found)
        heads = dict.fromkeys(column for _, column in order)
        shown = {column: str(column) or found[0]["metric"] for column in heads}
        as_text = {key: (_each if each else _cell)(values, found[0]["unit"]) for key, values in cells.items()}
        return Table({lines: line, **{shown[column]: as_text.get((line, column), "...") for column in heads}}
                     for line in dict.fromkeys(line for line, _ in order))

    def __repr__(self) -> str:
        told = [f"{key}: {self[key]}" for key in ("question", "command", "device") if key in self]
        told += [f"date: {self['date_utc'][:10]}"] if "date_utc" in self else []
        seeds = ", ".join(map(str, self["seeds"])) or "none"
        return "\n".join([*told, f"seeds: {seeds}; {len(self.rows)} rows"])


def _each(values: list[float], unit: str) -> str:
    return " ".join(format(100 * value, ".0f") if unit == "fraction" else format(value, ".3g") for value in values)


def _cell(values: list[float], unit: str) -> str:
    factor, digits = {"fraction": (100, ".1f"), "parameters": (1, ",.0f"), "bytes": (1, ",.0f")}.get(unit, (1, ".3g"))
    mean, low, high = (format(factor * value, digits) for value in (np.mean(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} to {high})"


def save(chapter: str, name: str, rows: list[dict], *, question: str, command: str, config: dict, seeds: list[int],
         data: dict, started: float, code: dict | None = None, folder: Path | None = None) -> Path:
    """Write rows with all that is needed to make them again; return the path of the file.

    Shapes: rows as `row` makes them.
    Units: started is `time.time()` at the start of the run; stored are wall seconds. code is `code_version()` taken
        at the start: a long run outlives the checkout's state.
    Convention: the file is RESULTS/chapter/name.json, written under a temporary name and then renamed, so a run
        that is killed leaves the last good file. No averages are stored: they are computed where they are drawn.
        Rows of one's own may have metrics and factors of their own; what the book records keeps to METRICS and FACTORS.
    Errors: ValueError for no rows, a row without one of its five keys, a value that is not a finite number, what
        JSON cannot hold, or a name that leads elsewhere.
    """
    record = made(name, rows, question=question, command=command, config=config, seeds=seeds, data=data,
                  started=started, code=code)
    return write_json(place(chapter, name, folder), record)


def made(name: str, rows: list[dict], *, question: str, command: str, config: dict, seeds: list[int], data: dict,
         started: float, code: dict | None = None, thresholds: dict | None = None) -> dict:
    """Return the record that `save` writes, as plain numbers, words, lists and dictionaries.

    Errors: ValueError as in `save`.
    """
    from tlutils import env  # here, for env needs torch, and records are read without it

    rows = check_rows(rows)
    told = {"question": question, "command": command, "data": data, "config": config, "seeds": list(seeds)}
    told = {key: plain(value, key) for key, value in told.items()}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"schema": SCHEMA, "name": name, "question": told["question"], "command": told["command"],
            **(code or code_version()), "date_utc": now, "wall_s": round(time.time() - started, 1),
            "device": env.device_name(), "versions": env.versions(), "data": told["data"], "config": told["config"],
            "seeds": told["seeds"], **({"thresholds": thresholds} if thresholds else {}), "rows": rows}


def load(chapter: str, name: str, folder: Path | None = None) -> Run:
    """Return the recorded run RESULTS/chapter/name.json as `save` wrote it; it can be asked, see `Run`.

    Errors: FileNotFoundError that says how to make the run; ValueError, naming the file, if it is damaged, of another
        schema or shape, or what a stopped run left; ValueError for a name that leads elsewhere.
    """
    path = place(chapter, name, folder)
    if not path.exists():
        raise FileNotFoundError(f"no recorded run {path}: make it with  make results CH={chapter[:2]}")
    record = _read_json(path)
    if record.get("schema") != SCHEMA:
        old = f"; bring it up to date with  python tools/convert.py {path}" if record.get("schema") == 1 else ""
        raise ValueError(f"{path} has schema {record.get('schema')!r:.80}, this version of tlutils reads {SCHEMA}{old}")
    if wrong := [key for key, kind in KEYS.items() if not isinstance(record.get(key), kind)]:
        raise ValueError(f"{path} is damaged (it lacks {', '.join(wrong)}); {MEND}")
    try:
        check_rows(record.get("rows"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {MEND}") from None
    return Run(record)


def published(key: str, folder: Path | None = None) -> dict:
    """Return a published number (RESULTS/published/key.json): paper, table, values, and where they were read."""
    path = place("published", key, folder)
    if not path.exists():
        known = sorted(p.stem for p in path.parent.glob("*.json"))
        raise FileNotFoundError(f"no published record {path}; there are {known}")
    record = _read_json(path)
    if missing := {"paper", "table", "metric", "values", "read_from"} - set(record):
        raise ValueError(f"{path} lacks {sorted(missing)}")
    return record


def place(chapter: str, name: str, folder: Path | None = None) -> Path:
    """Return the path of a record, RESULTS/chapter/name.json.

    Errors: ValueError unless both are plain names: letters, digits, _, - and single dots inside.
    """
    for key, word in (("chapter", chapter), ("name", name)):
        if not isinstance(word, str) or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", word):
            raise ValueError(f"{key} must be a plain name without / and .., got {word!r:.80}")
    return (folder or RESULTS) / chapter / f"{name}.json"


def select(rows: list[dict], **wanted) -> np.ndarray:
    """Return the values of the rows whose keys equal `wanted`, in order of their seeds, as float array (n,).

    Errors: ValueError if no row answers, so that a misspelt method is never an empty curve.

    >>> rows = [{"method": "probe", "seed": seed, "value": value} for seed, value in ((1, 0.9), (0, 0.8))]
    >>> select(rows, method="probe")
    array([0.8, 0.9])
    """
    found = [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]
    if not found:
        left = rows
        for key, value in wanted.items():  # the first key that leaves nothing is the one to look at
            known = sorted({str(row[key]) for row in left if key in row})
            left = [row for row in left if row.get(key) == value]
            if not left:
                break
        told = f"{key} is one of {', '.join(known)}" if known else f"none has {key!r}"
        raise ValueError(f"no row has {wanted}; {told:.500}")
    return np.array([row["value"] for row in sorted(found, key=lambda row: row["seed"])])


def claim(text: str, ok: bool) -> None:
    """Print whether a claim holds: coarse words that are the same on every machine, never a raw number.

    >>> claim("twice two is four", 2 * 2 == 4)
    holds: twice two is four
    """
    print(f"{'holds' if ok else 'DOES NOT HOLD'}: {text}")


def check_rows(rows: list[dict]) -> list[dict]:
    """Return rows as plain numbers and words; ValueError unless it is a list of complete rows with finite values."""
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"rows must be a list with at least one row, got {rows!r:.80}")
    checked = []
    for row in rows:
        if not isinstance(row, dict):
            raise ValueError(f"rows must be dictionaries, got {row!r:.80}")
        if missing := [key for key in ROW_KEYS if key not in row]:
            raise ValueError(f"row {row!r:.300} lacks {missing}")
        try:
            checked.append(plain(row, "row"))
        except ValueError as error:
            raise ValueError(f"{error}, in row {row!r:.300}") from None
        row = checked[-1]
        if not _finite(row["value"]):
            raise ValueError(f"value must be a finite number in row {row!r:.300}")
        if not isinstance(row["seed"], int) or isinstance(row["seed"], bool):
            raise ValueError(f"seed must be a whole number in row {row!r:.300}")
        if wrong := [key for key in ("method", "metric", "unit") if not isinstance(row[key], str)]:
            raise ValueError(f"{wrong[0]} must be a word in row {row!r:.300}")
    return checked


def plain(value, name: str):
    """Return value as JSON can hold it: numbers of NumPy and of PyTorch as Python's, tuples as lists.

    Errors: ValueError that names the place, such as config.rates[2], for a number that is not finite and for whatever
        else is no number, word, list or dictionary with words for keys.
    """
    if hasattr(value, "tolist") and not isinstance(value, type):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not value.isascii() and value != value.encode(errors="replace").decode():
            raise ValueError(f"{name} must be text that UTF-8 can hold, got {value!r:.80}")
        return str(value)
    if isinstance(value, int | float):
        if not _finite(value):
            raise ValueError(f"{name} must be finite, got {value!r:.80}")
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, list | tuple):
        return [plain(part, f"{name}[{k}]") for k, part in enumerate(value)]
    if isinstance(value, dict):
        keys = [plain(key, f"a key of {name}") for key in value]
        if any(isinstance(key, list | dict) for key in keys) or len(set(map(str, keys))) < len(keys):
            raise ValueError(f"{name} must have words for keys, each once, got {list(value)!r:.80}")
        return {key: plain(part, f"{name}.{key}") for key, part in zip(keys, value.values(), strict=True)}
    raise ValueError(f"{name} must be numbers, words, lists or dictionaries, got {type(value).__name__} {value!r:.80}")


def write_json(path: Path, record: dict) -> Path:
    """Write record to path in one step: a reader sees the old file or the new one, never half of one.

    Convention: UTF-8 whatever the machine's language; every writer has a temporary name of its own.
    Errors: OSError that names the file, which then is as it was.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    content = _layout(record).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; not written", str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return path


def sha256(*arrays: np.ndarray) -> str:
    """Return the SHA-256 of arrays (bytes, shapes and types), by which a record names its data."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def code_version() -> dict:
    """Return the commit of the code that is running, and whether the package has changes beside it.

    Convention: "unknown" where the package is no part of the book's repository: installed inside somebody else's,
        unpacked there from a ZIP, or where git is missing or refuses.
    """
    surroundings = {key: value for key, value in os.environ.items()  # a hook of git names its own repository in these
                    if not key.startswith("GIT_") or key.startswith("GIT_CONFIG")}

    def git(*words):
        done = subprocess.run(["git", *words], cwd=_PACKAGE, env=surroundings, capture_output=True, check=True,
                              encoding="utf-8", errors="replace", timeout=60)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name, "../_toc.yml")
        if git("rev-parse", "--show-prefix") == f"{_PACKAGE.name}/":
            return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.SubprocessError):
        pass
    return {"commit": "unknown", "dirty": True}


def _finite(value):
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _layout(record: dict) -> str:
    rows = ",\n  ".join(json.dumps(row) for row in record.get("rows", []))  # one row a line: a diff reads well
    head = json.dumps({key: value for key, value in record.items() if key != "rows"}, indent=1, ensure_ascii=False)
    return f'{head[:-2]},\n "rows": [\n  {rows}\n ]\n}}\n' if "rows" in record else head + "\n"


def _read_json(path: Path) -> dict:
    def refuse(word):
        raise ValueError(f"{word} is no number of JSON")

    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); {MEND}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path} is damaged (it holds {record!r:.40}); {MEND}")
    return record
