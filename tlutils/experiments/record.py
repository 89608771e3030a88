"""Run an experiment over its seeds and keep the rows with their provenance: the command line of every experiment."""
import argparse
import dataclasses
import time
from collections.abc import Callable, Mapping

from tqdm.auto import tqdm

from tlutils import results


def main(module: str, chapter: str, presets: Mapping[str, tuple[str, object]], run: Callable,
         describe: Callable) -> None:
    """Read `python -m module NAME [--seeds ...]`, run preset NAME once a seed, save results/chapter/NAME.json.

    presets maps a name to (question, config); run(config, seed) returns rows; describe(config) names the data.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=f"recorded runs of chapter {chapter}")
    parser.add_argument("name", choices=presets, help="which run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    question, config = presets[args.name]
    started, code, rows = time.time(), results.code_version(), []
    for seed in tqdm(args.seeds, desc=args.name):
        rows += run(config, seed)
    command = f"python -m {module} {args.name} --seeds {' '.join(map(str, args.seeds))}"
    print(results.save(chapter, args.name, rows, question=question, command=command, seeds=args.seeds,
                       config=dataclasses.asdict(config), data=describe(config), started=started, code=code))
