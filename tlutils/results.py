"""Recorded runs with their provenance, published numbers with their source, and checked claims."""
import datetime
import hashlib
import json
import math
import os
import subprocess
import time
from pathlib import Path

import numpy as np

SCHEMA = 1
ROW_KEYS = ("method", "seed", "metric", "value", "unit")
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
    Errors: ValueError for no rows, a row without one of its five keys, or a value that is not a finite number.
    """
    from tlutils import env  # env reads RESULTS above

    check_rows(rows)
    record = {"schema": SCHEMA, "name": name, "question": question, "command": command, **(code or code_version()),
              "date_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "wall_s": round(time.time() - started, 1), "device": env.device_name(), "versions": env.versions(),
              "data": data, "config": config, "seeds": list(seeds), "rows": rows}
    return write_json((folder or RESULTS) / chapter / f"{name}.json", record)


def load(chapter: str, name: str, folder: Path | None = None) -> dict:
    """Return the recorded run RESULTS/chapter/name.json as `save` wrote it.

    Errors: FileNotFoundError that says how to make the run; ValueError if the file is damaged or of another schema.
    """
    path = (folder or RESULTS) / chapter / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"no recorded run {path}: make it with  make results CH={chapter[:2]}")
    record = _read_json(path)
    if record.get("schema") != SCHEMA:
        raise ValueError(f"{path} has schema {record.get('schema')}, this version of tlutils reads {SCHEMA}")
    check_rows(record.get("rows"))
    return record


def published(key: str, folder: Path | None = None) -> dict:
    """Return a published number (RESULTS/published/key.json): paper, table, values, and where they were read."""
    path = (folder or RESULTS) / "published" / f"{key}.json"
    if not path.exists():
        known = sorted(p.stem for p in path.parent.glob("*.json"))
        raise FileNotFoundError(f"no published record {path}; there are {known}")
    record = _read_json(path)
    if missing := {"paper", "table", "metric", "values", "read_from"} - set(record):
        raise ValueError(f"{path} lacks {sorted(missing)}")
    return record


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


def check_rows(rows: list[dict]) -> None:
    """Raise ValueError unless rows is a list of complete rows with finite values."""
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"rows must be a list with at least one row, got {rows!r:.80}")
    for row in rows:
        if missing := [key for key in ROW_KEYS if key not in row]:
            raise ValueError(f"row {row} lacks {missing}")
        value = row["value"]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"value must be a finite number in row {row}")


def write_json(path: Path, record: dict) -> Path:
    """Write record to path in one step: a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + f".part{os.getpid()}")
    try:
        part.write_text(_layout(record))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def sha256(*arrays: np.ndarray) -> str:
    """Return the SHA-256 of arrays (bytes, shapes and types), by which a record names its data."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _layout(record: dict) -> str:
    rows = ",\n  ".join(json.dumps(row) for row in record.get("rows", []))  # one row a line: a diff reads well
    head = json.dumps({key: value for key, value in record.items() if key != "rows"}, indent=1, ensure_ascii=False)
    return f'{head[:-2]},\n "rows": [\n  {rows}\n ]\n}}\n' if "rows" in record else head + "\n"


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); restore it with git, or make the run again") from None


def code_version() -> dict:
    """Return the commit of the code that is running, and whether the package has changes beside it."""
    def git(*words):
        return subprocess.run(["git", *words], cwd=_PACKAGE, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "dirty": True}
