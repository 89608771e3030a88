"""Recorded runs with their provenance, published numbers with their source, and checked claims."""
import contextlib
import datetime
import hashlib
import json
import math
import os
import re
import secrets
import subprocess
import time
from pathlib import Path

import numpy as np

SCHEMA = 1
ROW_KEYS = ("method", "seed", "metric", "value", "unit")
KEYS = {"name": str, "question": str, "command": str, "commit": str, "date_utc": str, "wall_s": int | float,
        "device": str, "versions": dict, "data": dict, "config": dict, "seeds": list}
MEND = "restore it with git, or make the run again"
_PACKAGE = Path(__file__).resolve().parent
# a checkout holds results/ beside the package; an installed package carries the same files inside
RESULTS = _PACKAGE / "recorded" if (_PACKAGE / "recorded").is_dir() else _PACKAGE.parent / "results"


def save(chapter: str, name: str, rows: list[dict], *, question: str, command: str, config: dict, seeds: list[int],
         data: dict, started: float, code: dict | None = None, folder: Path | None = None) -> Path:
    """Write rows with all that is needed to make them again; return the path of the file.

    Shapes: rows, one number each: method, seed, metric, value, unit, and any further keys (n, labels_per_class, ...).
    Units: started is `time.time()` at the start of the run; stored are wall seconds. code is `code_version()` taken
        at the start: a long run outlives the checkout's state.
    Convention: the file is RESULTS/chapter/name.json, written under a temporary name and then renamed, so a run
        that is killed leaves the last good file. No averages are stored: they are computed where they are drawn.
    Errors: ValueError for no rows, a row without one of its five keys, a value that is not a finite number, what
        JSON cannot hold, or a name that leads elsewhere.
    """
    record = made(name, rows, question=question, command=command, config=config, seeds=seeds, data=data,
                  started=started, code=code)
    return write_json(place(chapter, name, folder), record)


def made(name: str, rows: list[dict], *, question: str, command: str, config: dict, seeds: list[int], data: dict,
         started: float, code: dict | None = None) -> dict:
    """Return the record that `save` writes, as plain numbers, words, lists and dictionaries.

    Errors: ValueError as in `save`.
    """
    from tlutils import env  # env reads RESULTS above

    rows = check_rows(rows)
    told = {"question": question, "command": command, "data": data, "config": config, "seeds": list(seeds)}
    told = {key: plain(value, key) for key, value in told.items()}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"schema": SCHEMA, "name": name, "question": told["question"], "command": told["command"],
            **(code or code_version()), "date_utc": now, "wall_s": round(time.time() - started, 1),
            "device": env.device_name(), "versions": env.versions(), "data": told["data"], "config": told["config"],
            "seeds": told["seeds"], "rows": rows}


def load(chapter: str, name: str, folder: Path | None = None) -> dict:
    """Return the recorded run RESULTS/chapter/name.json as `save` wrote it.

    Errors: FileNotFoundError that says how to make the run; ValueError, naming the file, if it is damaged, of another
        schema or shape, or what a stopped run left; ValueError for a name that leads elsewhere.
    """
    path = place(chapter, name, folder)
    if not path.exists():
        raise FileNotFoundError(f"no recorded run {path}: make it with  make results CH={chapter[:2]}")
    record = _read_json(path)
    if record.get("schema") != SCHEMA:
        raise ValueError(f"{path} has schema {record.get('schema')!r:.80}, this version of tlutils reads {SCHEMA}")
    if wrong := [key for key, kind in KEYS.items() if not isinstance(record.get(key), kind)]:
        raise ValueError(f"{path} is damaged (it lacks {', '.join(wrong)}); {MEND}")
    try:
        check_rows(record.get("rows"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {MEND}") from None
    return record


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
        raise ValueError(f"no row has {wanted}; methods are {sorted({row['method'] for row in rows})}")
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
