"""Did a change of the code change a number?  python tools/golden.py 620d4c7 [experiment or preset ...]

Runs every preset of every experiment with tiny steps and seed 0, in the tree of another commit (a git worktree that
goes again) and in this one, on this machine, and compares the rows: they must be equal to the bit. Times are left out.
Presets that need real data run where TLUTILS_DATA (and TORCH_HOME, for weights) name a folder that has them.
"""
import argparse
import dataclasses
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import convert

ROOT = Path(__file__).resolve().parent.parent
STEPS = 3
FEW = 40  # runs of so many steps and fewer are not cut: budgets become 5, 10, 15 ... and so stay apart
# how many examples each part of a data set keeps; enough for every class and every number of labels
SIZES = {"n_train": 500, "n_test": 200, "n_source": 600, "n_target": 600, "n_held": 200, "n_source_test": 200,
         "n_pool": 2400, "labels_per_class": 10, "batch_size": 16}
WIDEST = 32  # channels of a network


def shrunk(config):
    """Return a configuration with few examples; steps are cut where training draws its batches."""
    changes = {}
    budgets = sorted({*getattr(config, "budgets", ()), *getattr(config, "longest", ())})
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = shrunk(value)
        elif field.name in SIZES and isinstance(value, int):
            changes[field.name] = min(value, SIZES[field.name])
        elif field.name == "widths":
            changes[field.name] = tuple(min(width, WIDEST) for width in value)
        elif field.name in ("budgets", "longest"):
            changes[field.name] = tuple(5 * (1 + budgets.index(budget)) for budget in value)
    return dataclasses.replace(config, **changes)


def presets():
    """Return {"chapter preset": (experiment, run, config)} of all experiments, in order of their files' names."""
    found = {}
    for path in sorted((ROOT_OF_TREE / "tlutils" / "experiments").glob("[!_]*.py")):
        module = importlib.import_module(f"tlutils.experiments.{path.stem}")
        whole = getattr(module, "EXPERIMENT", None)  # a tree of before it has PRESETS, and CHAPTER perhaps elsewhere
        run = whole.run if whole else getattr(module, "any_run", None) or getattr(module, "run", None)
        chapter = whole.chapter if whole else getattr(module, "CHAPTER", None) or "09"
        for name, (_, config) in (whole.presets if whole else getattr(module, "PRESETS", {})).items():
            found.setdefault(f"{chapter[:2]} {name}", (path.stem, run, config))
    return found


def cut_short(batches):
    """Return `train.batches` that ends after a few steps, whatever a preset or a variant of it asks for."""
    @functools.wraps(batches)
    def short(x, y, batch_size, steps, seed, *args, **kwargs):
        return batches(x, y, batch_size, steps if steps <= FEW else STEPS, seed, *args, **kwargs)
    return short


def rows_of(run, config):
    """Return the rows of one tiny run with seed 0, without times."""
    return [row for row in run(shrunk(config), 0) if row["unit"].split()[0] != "s"]


def write_rows(out, names):
    """Run the presets of the tree in the working folder and write a line a preset: name, seconds, rows or error."""
    from tlutils import train

    train.batches = cut_short(train.batches)
    with open(out, "w", encoding="utf-8") as file:
        for name, (experiment, run, config) in presets().items():
            if names and not set(names) & {name, experiment, *name.split()}:
                continue
            started = time.time()
            try:
                made = {"rows": rows_of(run, config)}
            except (FileNotFoundError, ConnectionError) as missing:
                made = {"skipped": str(missing)}
            except Exception:
                made = {"error": traceback.format_exc(limit=-4)}
            made |= {"name": name, "seconds": round(time.time() - started, 1)}
            print(f"  {name}: {next(iter(made))}, {made['seconds']} s", file=sys.stderr, flush=True)
            file.write(json.dumps(made) + "\n")


def run_tree(tree, names):
    """Return {preset: what `write_rows` wrote} of the code in the folder `tree`, its rows in today's words."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "rows.jsonl")
        environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-W", "ignore", __file__, "--write", str(out), "--tree", str(tree), *names],
                       cwd=tree, env=environment, check=True)
        found = {made["name"]: made for made in map(json.loads, out.read_text(encoding="utf-8").splitlines())}
    for made in found.values():  # renamed here: the other tree does not know the words of this one
        made |= {"rows": [convert.renamed(row) for row in made["rows"]]} if "rows" in made else {}
    return found


def differences(before, after):
    """Return one line for each preset whose rows differ, is in one tree only, or fails."""
    lines = []
    for name in sorted(set(before) | set(after)):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            lines.append(f"{name}: only {'here' if old is None else 'there'}")
        elif "error" in old or "error" in new:
            lines.append(f"{name}: fails\n{new.get('error') or old.get('error')}")
        elif ("rows" in old) != ("rows" in new):
            lines.append(f"{name}: skipped in one tree: {old.get('skipped') or new.get('skipped')}")
        elif old.get("rows") != new.get("rows"):
            lines.append(f"{name}: {first_difference(old['rows'], new['rows'])}")
    return lines


def first_difference(old, new):
    """Return in words where two lists of rows part."""
    if len(old) != len(new):
        return f"{len(old)} rows there, {len(new)} here"
    parted = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    return f"{len(parted)} of {len(old)} rows differ, the first: {parted[0][0]} there, {parted[0][1]} here"


def main(commit, names):
    """Compare this tree with another commit; return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        subprocess.run(["git", "worktree", "add", "--detach", "--quiet", str(tree), commit], cwd=ROOT, check=True)
        try:
            before = run_tree(tree, names)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
    after = run_tree(ROOT, names)
    if not before and not after:
        raise SystemExit(f"no experiment or preset is called {' or '.join(names)}")
    wrong = differences(before, after)
    compared = [name for name in after if "rows" in after[name] and "rows" in before.get(name, {})]
    skipped = sorted(name for name in after if "skipped" in after[name])
    print("\n".join(wrong) or f"The rows of {len(compared)} presets are equal to the bit.")
    if skipped:
        print(f"skipped, their data are not here (TLUTILS_DATA, TORCH_HOME): {', '.join(skipped)}")
    return int(bool(wrong))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", help="a commit to compare this tree with")
    parser.add_argument("names", nargs="*", help="experiments or presets; none: all")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--tree", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.write:
        ROOT_OF_TREE = Path(words.tree)
        sys.path.insert(0, str(ROOT_OF_TREE))
        write_rows(words.write, [words.commit, *words.names] if words.commit else [])
    elif words.commit:
        sys.exit(main(words.commit, words.names))
    else:
        parser.error("name a commit to compare with")
