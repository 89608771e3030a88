"""AnB and BnB (Yosinski et al. 2014): copy n layers of one network into another, freeze them, train the rest."""
import dataclasses
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tlutils import data as datasets
from tlutils import env, models, surgery, train
from tlutils.experiments.experiment import Experiment
from tlutils.results import row
from tlutils.worlds import Task, task

CHAPTER = "02_general_to_specific"
N_LAYERS = 7  # layers that can be copied; the eighth is the head


@dataclass(frozen=True)
class Config:
    """One protocol for every run: the same images, steps and rates for the base and for each treatment."""

    source: str = "glyphs"              # data set
    split: str = "halves"               # glyphs: A and B random halves of letters, D symbols
                                        # CIFAR-100: "halves" A, B; "kinds" N, M; "three" A, B man-made, D natural
    n_classes: int = 40                 # classes of one task
    n_train: int = 5000                 # training images of one task
    n_test: int = 3000
    steps: int = 600
    batch_size: int = 64
    lr: float = 3e-3
    widths: tuple[int, ...] = (12, 16, 24, 24, 32, 32)
    layers: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    targets: tuple[str, ...] = ("A", "B", "D")
    tuned: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)  # the layers at which AnB+ and BnB+ are run as well


def tasks(config: Config, seed: int) -> dict[str, Task]:
    """Return the tasks of one seed: A and B alike, D of another kind (for split "kinds": N natural, M man-made).

    Errors: ValueError for an unknown split; those of `data.load` for real data.
    """
    rng = np.random.default_rng(seed)
    if config.source == "glyphs":
        letters = rng.permutation(datasets.glyph_classes("letters"))[: 2 * config.n_classes]
        symbols = rng.permutation(datasets.glyph_classes("symbols"))[: config.n_classes]
        half = datasets.split_classes(letters, by="random", seed=seed)
        characters = {"A": letters[half[0]], "B": letters[half[1]], "D": symbols}
        return {name: task(datasets.glyphs(list(chars), config.n_train, seed=1000 * seed + k),
                           datasets.glyphs(list(chars), config.n_test, seed=1000 * seed + 500 + k))
                for k, (name, chars) in enumerate(characters.items())}
    full = datasets.load(config.source, download=True)
    natural, made = datasets.split_classes(full.classes, by="kind", seed=seed)
    if config.split == "halves":
        parts = dict(zip("AB", datasets.split_classes(full.classes, by="random", seed=seed), strict=True))
    elif config.split == "kinds":
        parts = {"N": natural, "M": made}
    elif config.split == "three":
        shuffled = rng.permutation(made)
        parts = {"A": shuffled[: len(made) // 2], "B": shuffled[len(made) // 2:], "D": natural}
    else:
        raise ValueError(f"split must be halves, kinds or three, got {config.split!r}")
    out = {}
    for name, classes in parts.items():
        classes = rng.permutation(classes)[: config.n_classes]
        images, labels = datasets.select_classes(full.train_images, full.train_labels, classes)
        keep = datasets.subset_per_class(labels, config.n_train // config.n_classes, seed)
        test = datasets.select_classes(full.test_images, full.test_labels, classes)
        out[name] = task((images[keep], labels[keep]), test)
    return out


data = tasks  # under the name that every experiment has


def network(task: Task, config: Config, seed: int) -> nn.Sequential:
    """Return a fresh eight-layer network for a task, its initial values fixed by seed."""
    env.seed_everything(seed)
    return models.conv8(task.n_classes, task.x.shape[1], task.x.shape[2], config.widths).to(task.x.device)


def train_on(model: nn.Sequential, x: Tensor, y: Tensor, config: Config, seed: int) -> nn.Sequential:
    """Train what is not frozen in model by the protocol of config and return it."""
    train.train(model, x, y, lr=config.lr, steps=config.steps, batch_size=config.batch_size, seed=seed)
    return model


def base(task: Task, config: Config, seed: int) -> nn.Sequential:
    """Return a network trained on a task from random initial values."""
    return train_on(network(task, config, seed), task.x, task.y, config, seed)


def transfer(source: nn.Sequential, task: Task, n: int, config: Config, seed: int, *, tune: bool) -> nn.Sequential:
    """Return a network for `task` whose first n layers are copied from source, the others trained on the task.

    Convention: tune=False freezes the copied layers, weights and BatchNorm statistics, and computes their output once
        (AnB, BnB); tune=True trains all layers (AnB+, BnB+). The layers above n start from the values that `seed`
        gives, so two sources can be compared with everything else equal. n = 0 is the base.
    Errors: ValueError if n is not in 0..7.
    """
    if not 0 <= n <= N_LAYERS:
        raise ValueError(f"n must be in 0..{N_LAYERS}, got {n}")
    model = surgery.copy_layers(source, network(task, config, seed), n)
    if tune:
        return train_on(model, task.x, task.y, config, seed)
    surgery.freeze(model, n)
    train_on(model[n:], train.features(model, task.x, n), task.y, config, seed)  # the slice shares its layers
    return model


def random_layers(task: Task, config: Config, seed: int) -> nn.Sequential:
    """Return an untrained network whose BatchNorm statistics fit the task's images: the control of frozen noise."""
    model = network(task, config, seed)
    with torch.no_grad():
        for _ in range(30):  # momentum 0.1: after 30 passes 4 % of the initial statistics are left
            model.train()(task.x[torch.randperm(len(task.x))[:500].to(task.x.device)])
    return model.eval()


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: accuracy and seconds of base and of every treatment, layer count and target."""
    parts, bases, rows = data(config, seed), {}, []

    def note(method, model, start, target, copied):
        accuracy = train.evaluate(model, parts[target].x_test, parts[target].y_test)
        rows.append(row(method, seed, "accuracy", accuracy, target=target, copied=copied))
        seconds = time.perf_counter() - start
        rows.append(row(method, seed, "seconds", seconds, digits=3, target=target, copied=copied))

    for k, (name, part) in enumerate(parts.items()):
        start = time.perf_counter()
        bases[name] = base(part, config, 100 * seed + k)
        note("base", bases[name], start, name, 0)
    for target in config.targets:
        donors = {"random": random_layers(parts[target], config, 100 * seed + 90)}
        donors |= {f"{source}n{target}": bases[source] for source in sources(target, parts)}
        for n in config.layers:
            upper = 100 * seed + 10 + n  # seeds the fresh upper layers and the batches: the same for all donors
            for method, donor in donors.items():
                for plus, tune in (("", False), ("+", True))[: 1 + (n in config.tuned and method != "random")]:
                    start = time.perf_counter()
                    note(method + plus, transfer(donor, parts[target], n, config, upper, tune=tune), start, target, n)
    return rows


def sources(target: str, names) -> list[str]:
    """Return the tasks that a target borrows layers from: itself, and every other one."""
    return [target, *(name for name in names if name != target)]


def treatment(row: dict) -> str:
    """Return the treatment of a row in the paper's words: BnB, AnB (alike) or DnB (another kind), with + if tuned."""
    method = row["method"]
    if method in ("base", "random"):
        return method
    source, target, plus = method[0], method[2], method[3:]
    kind = "B" if source == target else "A" if {source, target} == {"A", "B"} else "D"
    return f"{kind}nB{plus}"


GLYPHS = Config()
HALVES = Config("cifar100", "halves", n_classes=50, n_train=12_500, steps=800, widths=(16, 24, 32, 32, 48, 64),
                targets=("A", "B"), tuned=(1, 3, 5, 7))
KINDS = dataclasses.replace(HALVES, split="kinds", n_classes=30, n_train=7_500, targets=("N", "M"), tuned=())
LARGE = {"n_train": 25_000, "steps": 6000, "batch_size": 128, "widths": (64, 96, 128, 128, 192, 256),
         "tuned": Config.tuned}
# what chapter 2 runs live: letters and symbols; at scale "full" photographs, in a wide network for long
LIVE = dataclasses.replace(GLYPHS, layers=(1, 3, 5, 7), targets=("B",))
FULL = dataclasses.replace(LIVE, **LARGE | {"source": "cifar100", "split": "three", "n_classes": 15, "n_train": 7_500,
                                            "n_test": 1_500, "steps": 3000})
PRESETS = {
    "anb_glyphs": ("How far can layers be moved between letters, and from symbols to letters?", GLYPHS),
    "anb_cifar100_halves": ("The same on photographs: random halves of CIFAR-100", HALVES),
    "anb_cifar100_kinds": ("And between natural and man-made things?", KINDS),
    "anb_cifar100_halves_full": ("Random halves of CIFAR-100, larger network, all images",
                                 dataclasses.replace(HALVES, **LARGE)),
    "anb_cifar100_kinds_full": ("Natural and man-made things, larger network, all images",
                                dataclasses.replace(KINDS, **LARGE | {"n_train": 15_000})),
}
EXPERIMENT = Experiment(CHAPTER, PRESETS, run, data)

if __name__ == "__main__":
    EXPERIMENT.main()
