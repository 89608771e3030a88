"""Bring a record of schema 1 into the words of today:  python tools/convert.py FILE.json ...

Until schema 2 every experiment had its own names for metrics and factors. Values, units of values, seeds, command,
commit and date stay as they are; TABLE is all that is renamed. `tools/golden.py` reads rows of older commits by it.
"""
import argparse
import datetime
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import files  # noqa: E402

TABLE = {"wall_s": "seconds", "spread of z": "spread", "proxy A": "proxy_a_distance", "domain loss": "domain_loss",
         "target": "accuracy", "source": "source_accuracy", "reverse": "reverse_accuracy"}
FACTORS = {"classes": "source_classes", "images": "source_images"}


def renamed(row):
    """Return a row with the metric, unit and factors of today; one that has them already comes back as it is.

    Convention: a metric that named a question, a product or a place in the training set becomes "accuracy" of it.
    """
    from tlutils.results import METRICS

    row = {FACTORS.get(key, key): value for key, value in row.items()}
    metric, unit, method = row.get("metric"), row["unit"], row.get("method")
    if "n" in row:  # layers in chapter 2, images where times are told
        n = row.pop("n")
        row["n_images" if n > 1000 else "copied"] = n
    if unit == "s of CPU":
        row |= {"metric": "cpu_seconds", "unit": "s"}
    elif metric == "loss":
        squared = "squared" in unit if "or" not in unit.split() else method == "imputation"
        row["unit"] = "squared error" if squared else "nats"
    elif metric in TABLE:
        row["metric"] = TABLE[metric]
    elif metric and metric.startswith("accuracy, "):
        row |= {"metric": "accuracy", "target": metric.removeprefix("accuracy, ")}
    elif unit == "fraction" and metric not in METRICS:
        row |= {"metric": "accuracy", "question": metric}
    if row.get("reader") == "fit":
        row |= {"metric": "train_accuracy", "reader": "fine-tune"}
    if row.get("reader") == "":
        del row["reader"], row["labels_per_class"]
    return row


def converted(record):
    """Return a record of schema 1 as one of schema 2; what it said of its data stays, today's parts stand beside it.

    Errors: ValueError if the record is of another schema or damaged, or no preset of today makes it.
    """
    from tlutils import results
    from tlutils.experiments import experiment

    if record.get("schema") != 1:
        raise ValueError(f"schema must be 1, got {record.get('schema')!r}")
    if wrong := [key for key, kind in results.KEYS.items() if not isinstance(record.get(key), kind)]:
        raise ValueError(f"the record is damaged (it lacks {', '.join(wrong)})")
    command = re.search(r"python -m tlutils\.experiments\.(\w+) (\w+)", record["command"])
    if not command:
        raise ValueError(f"command must be that of an experiment, got {record['command']!r:.80}")
    made_by, preset = experiment.load(command.group(1)), command.group(2)
    _, config = made_by.presets[experiment.known(preset, made_by.presets, "preset")]
    rows = [renamed(row) for row in results.check_rows(record.get("rows"))]
    for row in rows:
        results.in_vocabulary(row)
    note = {"rows": "all, in names alone",
            "why": "schema 2: one vocabulary; seed and parts in data name what is read today, with digests of this "
                   "date; no value changed",
            "date_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}
    return record | {"schema": results.SCHEMA, "data": record["data"] | made_by.describe(config, record["seeds"][0]),
                     "rows": rows, "amended": [*record.get("amended", []), note]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    with files.one_line():
        from tlutils.results import write_json
        for path in parser.parse_args().files:
            try:
                write_json(path, converted(files.read_json(path)))
            except ValueError as error:
                raise SystemExit(f"{path}: {error}") from None
            print(path, flush=True)
