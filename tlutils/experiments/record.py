"""Run an experiment over its seeds and keep the rows with their provenance: the command line of every experiment."""
import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tlutils import env, results


def main(module: str, chapter: str, presets: Mapping[str, tuple[str, object]], run: Callable,
         describe: Callable) -> None:
    """Read `python -m module NAME [--seeds ...]`, run preset NAME once a seed, save results/chapter/NAME.json.

    presets maps a name to (question, config); run(config, seed) returns rows; describe(config) names the data.
    Convention: what JSON cannot hold is refused before the first seed, and so are wrong words: a seed, TLUTILS_DEVICE,
        TLUTILS_SCALE, a folder that cannot be written. The rows of each seed are checked as they come and kept in
        NAME.DATE-PROCESS.partial beside the record, with all that a record holds; the record itself is written when
        every seed is done, and then the partial file goes. Runs side by side each have their own. Ctrl-C ends the run
        with status 130.
    Errors: ValueError that names the seed, the row and the partial file for rows that `results.check_rows` refuses.
    """
    from tqdm.auto import tqdm  # here, so that an experiment can be called where it is not installed

    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=f"recorded runs of chapter {chapter}")
    parser.add_argument("name", choices=presets, help="which run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    if len(set(args.seeds)) < len(args.seeds):
        parser.error(f"--seeds must be different numbers, got {' '.join(map(str, args.seeds))}")
    try:
        for seed in args.seeds:
            env.check_seed(seed, "--seeds")
        env.device(), env.scale()
    except ValueError as error:
        parser.error(str(error))
    folder = results.place(chapter, args.name).parent
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK):
        parser.error(f"{there} cannot be written: nothing was run")
    if hasattr(sys.stdout, "reconfigure"):  # a folder's name that the terminal's encoding lacks stops no run
        sys.stdout.reconfigure(errors="backslashreplace")
    question, config = presets[args.name]
    started, code, rows, done = time.time(), results.code_version(), [], []
    told = {"question": question, "command": f"python -m {module} {args.name} --seeds {' '.join(map(str, args.seeds))}",
            "config": results.plain(dataclasses.asdict(config), "config"),
            "data": results.plain(describe(config), "data"), "started": started, "code": code}
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(started))
    partial = results.place(chapter, args.name).with_name(f"{args.name}.{moment}-{os.getpid()}.partial")
    kept = 0

    def left():
        return f"{kept} of {len(args.seeds)} seeds are kept in {partial}" if kept else "no seed is kept"

    try:
        for seed in tqdm(args.seeds, desc=args.name):
            came = run(config, seed)
            try:
                rows += results.check_rows(came)
            except ValueError as error:
                raise ValueError(f"seed {seed}: {error}; {left()}") from None
            done.append(seed)
            if _keep(partial, results.made(args.name, rows, seeds=done, **told), args.seeds):
                kept = len(done)
        print(results.save(chapter, args.name, rows, seeds=args.seeds, **told))
    except BaseException as error:
        if left() not in str(error):
            print(f"{args.name} stopped: {left()}", file=sys.stderr)
        if isinstance(error, KeyboardInterrupt):
            raise SystemExit(130) from None
        raise
    partial.unlink(missing_ok=True)


def _keep(partial: Path, record: dict, seeds: list[int]) -> bool:
    """Write what is done so far; where that fails the run goes on, for the end may find room for the record."""
    try:
        results.write_json(partial, record | {"schema": f"{results.SCHEMA}, not yet whole", "seeds_wanted": seeds})
    except OSError as error:
        print(f"{error}; the run goes on", file=sys.stderr)
        return False
    return True
