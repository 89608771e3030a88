"""Begin an experiment from a template that runs:  python tools/new_experiment.py noise 02

(make new EXPERIMENT=noise CH=02)
Writes tlutils/experiments/NAME.py and its test. CONTRIBUTING.md tells the steps from there.
"""
import keyword
import re
import sys
from pathlib import Path

import chapter
import files

TEMPLATE = '''\
"""The question of this experiment in one sentence: does BatchNorm help a small network on few textures?"""
import dataclasses
from dataclasses import dataclass

from tlutils import data as datasets
from tlutils import env, models, train, worlds
from tlutils.experiments.experiment import Experiment
from tlutils.results import row

CHAPTER = "{chapter}"


@dataclass(frozen=True)
class Config:
    """What is compared, and one protocol for all of it."""

    methods: tuple[str, ...] = ("batchnorm", "plain")
    n_train: int = 500
    n_test: int = 1000
    steps: int = 100
    batch_size: int = 32
    lr: float = 3e-3


def data(config: Config, seed: int) -> dict:
    """Return the parts that `run` learns from and is tested on, by name: the record keeps their SHA-256."""
    return {{"texture": worlds.task(datasets.gratings(config.n_train, 1000 + seed),
                                   datasets.gratings(config.n_test, 2000 + seed))}}


def run(config: Config, seed: int) -> list[dict]:
    """Return the rows of one seed: the accuracy of every method."""
    task, rows = data(config, seed)["texture"], []
    for method in config.methods:
        env.seed_everything(seed)  # the same initial values whatever was run before
        model = models.conv8(task.n_classes, batchnorm=method == "batchnorm").to(task.x.device)
        train.train(model, task.x, task.y, lr=config.lr, steps=config.steps, batch_size=config.batch_size, seed=seed)
        rows.append(row(method, seed, "accuracy", train.evaluate(model, task.x_test, task.y_test), target="texture"))
    return rows


LAPTOP = Config()
FULL = dataclasses.replace(LAPTOP, n_train=20_000, steps=2000)  # env.pick(LAPTOP, FULL) is what a chapter runs
PRESETS = {{"{name}": ("Does BatchNorm help on few textures?", LAPTOP)}}
EXPERIMENT = Experiment(CHAPTER, PRESETS, run, data)

if __name__ == "__main__":
    EXPERIMENT.main()
'''
TEST = '''\
"""The experiment {name}: every method has its row, and the seed alone decides."""
import dataclasses

from tlutils.experiments import {name}

TINY = dataclasses.replace({name}.LAPTOP, n_train=40, n_test=30, steps=2)


def test_every_method_has_its_row_and_the_seed_decides():
    rows = {name}.run(TINY, seed=0)
    assert [row["method"] for row in rows] == list(TINY.methods)
    assert rows == {name}.run(TINY, seed=0) != {name}.run(TINY, seed=1)
'''


def main(name, number, root=chapter.ROOT):
    """Write the experiment and its test; return the paths."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name) or keyword.iskeyword(name):
        raise SystemExit(f"EXPERIMENT must be a name such as label_noise, of small letters, got {name[:80]!r}")
    made = [Path(root, "tlutils", "experiments", f"{name}.py"), Path(root, "tests", "experiments", f"test_{name}.py")]
    if there := [path for path in made if path.exists()]:
        raise SystemExit(f"there is already {there[0].relative_to(root)}")
    of = chapter.find(number).stem
    for path, text in zip(made, (TEMPLATE, TEST), strict=True):
        files.write(path, text.format(name=name, chapter=of).encode())
    return made


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[1]:
        raise SystemExit("usage: make new EXPERIMENT=name CH=02")
    with files.one_line(), files.locked(chapter.ROOT):
        experiment, test = main(*sys.argv[1:])
    print(f"{experiment.relative_to(chapter.ROOT)} and {test.relative_to(chapter.ROOT)}: change them, then\n"
          f"python -m tlutils.experiments.{sys.argv[1]} {sys.argv[1]} --seeds 0 --out _build/trial")
