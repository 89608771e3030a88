"""Probe, fine-tune or start afresh? Accuracy by labels per class and by the kind of target."""
import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn
from torch.nn import functional as F

from tlutils import data, env, models, surgery, train
from tlutils.data.textures import gratings
from tlutils.experiments import record

CHAPTER = "03_fine_tune_or_freeze"


@dataclass(frozen=True)
class Config:
    """The source network, the targets, and one protocol for all of them."""

    world: str = "glyphs"                                         # or "photographs": CIFAR-100 and MNIST, 32 px, colour
    n_source_classes: int = 60                                    # letters, or classes of CIFAR-100
    n_source: int = 6000                                          # images
    source_steps: int = 900
    n_target_classes: int = 10
    n_test: int = 1500
    targets: tuple[str, ...] = ("similar", "digits", "symbols", "texture")
    labels_per_class: tuple[int, ...] = (5, 20, 100, 500)
    steps: tuple[int, ...] = (150, 150, 300, 500)                 # training steps for each of these sizes
    probe_layers: tuple[int, ...] = (2, 4, 6, 7)
    batch_size: int = 64
    lr: float = 3e-3
    body_lr: float = 3e-4                                         # of "fine-tune, slow body"
    partial: int = 4                                              # layers frozen in "partial"
    widths: tuple[int, ...] = (16, 24, 32, 32, 48, 64)            # of the six convolutions


def source(config: Config, seed: int) -> tuple[nn.Sequential, np.ndarray]:
    """Return a network trained on the source classes of this seed, and the classes it has never seen."""
    names = data.glyph_classes("letters") if config.world == "glyphs" else data.load("cifar100", download=True).classes
    names = np.random.default_rng(seed).permutation(names)
    seen, unseen = names[: config.n_source_classes], names[config.n_source_classes:]
    x, y = tensors(*pictures(config, seen, config.n_source, seed))
    env.seed_everything(seed)
    model = models.conv8(config.n_source_classes, x.shape[1], x.shape[2], config.widths).to(env.device())
    fit(model, x, y, config.source_steps, config, seed, list(model.parameters()))
    return model, unseen


def pictures(config: Config, names, n: int, seed: int, *, test: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return n images (all that there are, if fewer) and labels of the named characters, or classes of CIFAR-100.

    Errors: ValueError for another world than "glyphs" and "photographs", or a name that the world does not hold.
    """
    if config.world == "glyphs":
        return data.glyphs(list(names), n, seed=seed)
    if config.world != "photographs":
        raise ValueError(f"world must be glyphs or photographs, got {config.world!r}")
    real = data.load("cifar100", download=True)
    if unknown := sorted(set(names) - set(real.classes)):
        raise ValueError(f"CIFAR-100 has no class {unknown}")
    split = (real.test_images, real.test_labels) if test else (real.train_images, real.train_labels)
    images, labels = data.select_classes(*split, [int(np.flatnonzero(real.classes == name)[0]) for name in names])
    keep = data.subset_per_class(labels, min(n // len(names), np.bincount(labels).min()), seed)
    return images[keep], labels[keep]


def target(name: str, config: Config, seed: int, unseen: np.ndarray):
    """Return (x, y, x_test, y_test) of a target with as many labelled images as it can give.

    Convention: "similar" are ten classes that the source has not seen; "digits" is real handwriting; "symbols" are
        arrows and shapes; "texture" are gratings. Among photographs all are brought to 32 x 32 in colour.
    Errors: ValueError for another name.
    """
    n, photographs = max(config.labels_per_class) * config.n_target_classes, config.world == "photographs"
    rng, side = np.random.default_rng(seed + 77), 32 if photographs else 24
    if name == "digits":
        digits = data.load("mnist", download=True) if photographs else data.load("digits")
        splits = [(digits.train_images, digits.train_labels), (digits.test_images, digits.test_labels)]
    elif name == "texture":
        splits = [gratings(n, seed=1000 + seed, side=side), gratings(config.n_test, seed=2000 + seed, side=side)]
    elif name in ("similar", "symbols"):
        pool = unseen if name == "similar" else data.glyph_classes("symbols")
        chosen = rng.permutation(pool)[: config.n_target_classes]
        draw = dataclasses.replace(config, world="glyphs") if name == "symbols" else config
        splits = [pictures(draw, chosen, n, 1000 + seed), pictures(draw, chosen, config.n_test, 2000 + seed, test=True)]
    else:
        raise ValueError(f"target must be similar, digits, symbols or texture, got {name!r}")
    both = [tensors(*split) for split in splits]
    if photographs:
        both = [(F.interpolate(x.expand(-1, 3, -1, -1), side, mode="bilinear"), y) for x, y in both]
    return (*both[0], *both[1])


def probe_features(model: nn.Sequential, x: torch.Tensor, n: int) -> np.ndarray:
    """Return what a probe reads from the first n blocks: maps averaged to 3x3, flat, (batch, d); 0: pixels."""
    z = train.features(model, x, n)
    return (thirds(z) if z.ndim == 4 and n > 0 else z).flatten(1).cpu().numpy()


def thirds(z: torch.Tensor) -> torch.Tensor:
    """Return maps (n, c, h, w) averaged to 3x3; Apple's GPUs average over parts of unequal size on the CPU alone."""
    return F.adaptive_avg_pool2d(z.cpu() if z.device.type == "mps" else z, 3)


def linear_probe(z, y, z_test, y_test, *, C: float = 0.1, kind: str = "softmax") -> float:
    """Return the test accuracy of a linear classifier on standardised features (kind "softmax" or "svm").

    Convention: the mean and scale come from the labelled training features alone; C is fixed, nothing is selected.
    Errors: ValueError for another kind.
    """
    if kind not in ("softmax", "svm"):
        raise ValueError(f"kind must be 'softmax' or 'svm', got {kind!r}")
    linear = LogisticRegression(C=C, max_iter=2000) if kind == "softmax" else LinearSVC(C=C / 10, max_iter=20000)
    return float(make_pipeline(StandardScaler(), linear).fit(z, y).score(z_test, y_test))


def fit(model: nn.Sequential, x, y, steps: int, config: Config, seed: int, parameters) -> nn.Sequential:
    """Train model by the protocol of config on all of `parameters` (a list, or groups with their own rates)."""
    optimizer, scheduler = train.adamw(parameters, config.lr, steps)
    batches = train.batches(x, y, config.batch_size, steps, seed)
    train.fit(model, batches, train.classify, optimizer, scheduler=scheduler)
    return model


def trained(how: str, pretrained: nn.Sequential, x, y, steps: int, config: Config, seed: int) -> nn.Sequential:
    """Return a network for the target trained in one of four ways from the same head: the source network is untouched.

    Convention: "scratch" forgets the body; "fine-tune" trains all of it at lr; "slow body" trains it at body_lr;
        "partial" freezes its first config.partial blocks.
    Errors: ValueError for another word.
    """
    if how not in ("scratch", "fine-tune", "slow body", "partial"):
        raise ValueError(f"how must be scratch, fine-tune, slow body or partial, got {how!r}")
    env.seed_everything(seed)
    model = models.conv8(int(y.max()) + 1, x.shape[1], x.shape[2], config.widths).to(x.device)
    if how != "scratch":
        surgery.copy_layers(pretrained, model, len(model) - 1)
    if how == "partial":
        surgery.freeze(model, config.partial)
    groups = surgery.param_groups(model, config.lr, config.body_lr if how == "slow body" else config.lr)
    return fit(model, x, y, steps, config, seed, groups)


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: accuracy of every method by target and labels per class, with controls."""
    rows = []
    pretrained, unseen = source(config, seed)
    env.seed_everything(seed + 1)
    channels, side = (3, 32) if config.world == "photographs" else (1, 24)
    noise = models.conv8(2, channels, side, config.widths).to(env.device()).eval()
    for name in config.targets:
        x, y, x_test, y_test = target(name, config, seed, unseen)
        labels = y.cpu().numpy()
        bodies = {f"probe {n}": (pretrained, n) for n in config.probe_layers}
        bodies |= {f"random {n}": (noise, n) for n in config.probe_layers} | {"pixels": (pretrained, 0)}
        seen = {method: (probe_features(body, x, n), probe_features(body, x_test, n))
                for method, (body, n) in bodies.items()}
        for size, steps in zip(config.labels_per_class, config.steps, strict=True):
            if size > np.bincount(labels).min():
                continue
            keep = data.subset_per_class(labels, size, seed)
            keys = {"seed": seed, "target": name, "labels_per_class": size}
            for method, (z, z_test) in seen.items():
                score = linear_probe(z[keep], labels[keep], z_test, y_test.cpu().numpy())
                rows.append(_row(method, "accuracy", score, keys))
            z, z_test = seen[f"probe {config.probe_layers[-1]}"]
            score = linear_probe(z[keep], labels[keep], z_test, y_test.cpu().numpy(), kind="svm")
            rows.append(_row("svm", "accuracy", score, keys))
            for how in ("scratch", "fine-tune", "slow body", "partial"):
                model = trained(how, pretrained, x[keep], y[keep], steps, config, seed)
                rows.append(_row(how, "accuracy", train.evaluate(model, x_test, y_test), keys))
                rows.append(_row(how, "train_accuracy", train.evaluate(model, x[keep], y[keep]), keys))
    return rows


def describe(config: Config) -> dict:
    """Name the data of a run, with the SHA-256 of the first seed's source images."""
    from tlutils.results import sha256
    letters = np.random.default_rng(0).permutation(data.glyph_classes("letters"))[: config.n_source_classes]
    return {"name": "glyphs, digits, gratings", "n_source": config.n_source, "n_test": config.n_test,
            "sha256": sha256(*data.glyphs(list(letters), config.n_source, seed=0))}


def tensors(images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and labels as tensors on the device of the book."""
    where = env.device()
    return data.to_tensor(images, where), torch.as_tensor(labels, device=where)


def _row(method: str, metric: str, value: float, keys: dict) -> dict:
    return {"method": method, **keys, "metric": metric, "value": round(value, 5), "unit": "fraction"}


def at_scale(config: Config) -> Config:
    """Return config itself, or at scale "full" the same experiment on photographs with a wider and longer network."""
    return dataclasses.replace(config, **FULL) if env.scale() == "full" else config


FULL = {"world": "photographs", "n_source": 30_000, "source_steps": 8000, "widths": (64, 96, 128, 128, 192, 256)}
LAPTOP = Config()
LIVE = dataclasses.replace(LAPTOP, targets=("similar", "texture"), labels_per_class=(5, 100), steps=(150, 300))
PRESETS = {"labels_per_class": ("When does a probe suffice, and when does fine-tuning pay?", LAPTOP)}

if __name__ == "__main__":
    record.main("tlutils.experiments.few_labels", CHAPTER, PRESETS, run, describe)
