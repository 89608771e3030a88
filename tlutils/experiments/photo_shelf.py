"""Model and layer selection with real networks: ImageNet and iNaturalist weights on CIFAR-100 and on ants and bees."""
import dataclasses
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import data, train, transferability
from tlutils.experiments import few_labels, photographs, record
from tlutils.experiments.photographs import Source

CHAPTER = "12_transrate"


@dataclass(frozen=True)
class Config:
    """The candidates, the targets, and one protocol for all of them."""

    choose: str = "model"                                         # or "layer", or "time"
    sources: tuple[Source, ...] = (
        *photographs.LAPTOP.sources, Source("ImageNet, pruned SqueezeNet", "squeezenet1_0",
                                            "squeezenet1_0-deepcompression.pth"))
    targets: tuple[str, ...] = ("cifar100", "ants and bees")
    n_classes: int = 10                                           # of CIFAR-100, drawn by the seed
    labels_per_class: int = 50                                    # of CIFAR-100; of ants and bees 120
    side: int = 96                                                # pixels, of every photograph
    steps: int = 40                                               # of fine-tuning
    batch_size: int = 30
    lr: float = 2e-3
    body_lr: float = 3e-4
    C: float = 0.01                                               # of the probe
    stages: tuple[int, ...] = (1, 3, 5, 8, 11, 14, 17, 19)        # candidates where a layer is chosen: blocks below


def target(name: str, config: Config, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return (x, y, x_test, y_test): ten classes of CIFAR-100, or ants and bees, at config.side pixels.

    Errors: ValueError for another name; FileNotFoundError that tells where ants and bees come from.
    """
    if name == "cifar100":
        splits = cifar100_classes(config.n_classes, config.labels_per_class, seed)
    elif name == "ants and bees":
        photos = photographs.photographs(config.side)
        keep = data.subset_per_class(photos.train_labels, 120, seed)
        splits = [(photos.train_images[keep], photos.train_labels[keep]), (photos.test_images, photos.test_labels)]
    else:
        raise ValueError(f"target must be cifar100 or ants and bees, got {name!r}")
    (x, y), (x_test, y_test) = (few_labels.tensors(*split) for split in splits)
    return resized(x, config.side), y, resized(x_test, config.side), y_test


def cifar100_classes(n_classes: int, labels_per_class: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return classes of CIFAR-100 drawn by the seed: labels_per_class training images of each, and all test images."""
    real = data.load("cifar100", download=True)
    chosen = np.random.default_rng(seed).permutation(100)[:n_classes]
    images, labels = data.select_classes(real.train_images, real.train_labels, chosen)
    keep = data.subset_per_class(labels, labels_per_class, seed)
    return [(images[keep], labels[keep]), data.select_classes(real.test_images, real.test_labels, chosen)]


def resized(x: Tensor, side: int) -> Tensor:
    """Return images (n, 3, h, w) at side x side pixels, by bilinear interpolation where the size differs."""
    return x if x.shape[-1] == side else F.interpolate(x, side, mode="bilinear", align_corners=False)


def features(model: nn.Sequential, x: Tensor, n: int | None = None) -> np.ndarray:
    """Return the output of the first n blocks (default: all but the head), averaged over positions: (batch, d)."""
    parts = [train.features(model, part, n) for part in x.split(100)]
    return torch.cat([z.mean((2, 3)) if z.ndim == 4 else z for z in parts]).cpu().numpy()


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: scores, probe and fine-tuned accuracy by candidate, or scores by layer, or times."""
    if config.choose == "time":
        return _time_rows(config, seed)
    rows = []
    for name in config.targets:
        x, y, x_test, y_test = target(name, config, seed)
        labels, test_labels = y.cpu().numpy(), y_test.cpu().numpy()
        for source in config.sources:
            model = photographs.network(source, 0)
            keys = {"seed": seed, "target": name, "source": source.name}
            for stage in config.stages if config.choose == "layer" else (None,):
                where = keys if stage is None else keys | {"layer": stage}
                z, z_test = features(model, x, stage), features(model, x_test, stage)
                probs = train.predict(model, x, 100).softmax(1).cpu().numpy() if stage is None else None
                found = transferability.scores(z, labels, source_probs=probs)
                found["transrate_scaled"] = transferability.transrate(z / np.linalg.norm(z, axis=1).mean(), labels)
                rows += [_row(measure, value, where, width=z.shape[1]) for measure, value in found.items()]
                probe = few_labels.linear_probe(z, labels, z_test, test_labels, C=config.C)
                rows.append(_row("probe", probe, where, "accuracy", width=z.shape[1]))
            if config.choose == "model":
                protocol = dataclasses.replace(photographs.LAPTOP, tuned_steps=config.steps, lr=config.lr,
                                               body_lr=config.body_lr, batch_size=config.batch_size)
                start = time.perf_counter()
                tuned = photographs.fine_tune(source, x, y, protocol, seed)
                rows.append(_row("fine-tune", time.perf_counter() - start, keys, "seconds"))
                rows.append(_row("fine-tune", train.evaluate(tuned, x_test, y_test, 100), keys, "accuracy"))
    return rows


def _time_rows(config, seed):
    """Seconds of extraction, of one epoch of fine-tuning and of every measure, on all 50,000 images of CIFAR-100."""
    source, real = config.sources[0], data.load("cifar100", download=True)
    labels, keys = real.train_labels, {"seed": seed, "target": "cifar100", "source": source.name}
    model, seconds = photographs.network(source, 0), {}
    x, y = few_labels.tensors(real.train_images, labels)

    def timed(name, action):
        start = time.perf_counter()
        result = action()
        seconds[name] = time.perf_counter() - start
        return result

    both = timed("extract", lambda: [_both(model, resized(part, config.side)) for part in x.split(250)])
    z, probs = (np.concatenate([part[k] for part in both]) for k in (0, 1))
    protocol = dataclasses.replace(photographs.LAPTOP, tuned_steps=config.steps, batch_size=config.batch_size)
    few = config.steps * config.batch_size
    timed("fine-tune", lambda: photographs.fine_tune(source, resized(x[:few], config.side), y[:few] % 100, protocol, 0))
    seconds["fine-tune epoch"] = seconds.pop("fine-tune") * len(x) / few
    timed("TransRate", lambda: transferability.transrate(z, labels))
    timed("H-Score", lambda: transferability.h_score(z, labels))
    timed("LogME", lambda: transferability.logme(z, labels))
    timed("LFC", lambda: transferability.lfc(z, labels))
    timed("LEEP", lambda: transferability.leep(probs, labels))
    timed("NCE", lambda: transferability.nce(probs.argmax(1), labels))
    timed("all but N-LEEP", lambda: transferability.scores(z, labels, source_probs=probs))
    return [_row(name, value, keys, "seconds", n=len(x), width=z.shape[1]) for name, value in seconds.items()]


@torch.no_grad()
def _both(model, x):
    z = train.features(model, x)
    head = model[-1](z).softmax(1)
    return (z.mean((2, 3)) if z.ndim == 4 else z).cpu().numpy(), head.cpu().numpy()


def _row(method: str, value: float, keys: dict, metric: str = "score", **more) -> dict:
    unit = {"score": "as defined", "seconds": "s"}.get(metric, "fraction")
    return {"method": method, **keys, **more, "metric": metric, "value": round(float(value), 6), "unit": unit}


def describe(config: Config) -> dict:
    """Name the photographs and the weights, with the SHA-256 of the first seed's images of CIFAR-100."""
    from tlutils.results import sha256
    x, y, *_ = target("cifar100", dataclasses.replace(config, side=32), 0)
    weights = photographs.describe(dataclasses.replace(photographs.LAPTOP, sources=config.sources))["weights"]
    return {"name": "CIFAR-100 subsets, ants and bees", "n_train": len(x),
            "sha256": sha256(x.cpu().numpy(), y.cpu().numpy()),
            "weights": weights, "note": "files of weights are conversions of public networks to torchvision's format"}


MODELS = Config()
LAYERS = dataclasses.replace(MODELS, choose="layer", sources=(MODELS.sources[0], MODELS.sources[3]))
TIMES = dataclasses.replace(MODELS, choose="time", sources=(MODELS.sources[4],), side=64, steps=40)
PRESETS = {"photo_models": ("Which of seven real networks should be fine-tuned? Scores against the truth.", MODELS),
           "photo_layers": ("Which layer of MobileNetV2 should a probe read? Scores against the truth.", LAYERS),
           "times": ("How long do the scores take on 50,000 images, and how long does fine-tuning?", TIMES)}

if __name__ == "__main__":
    record.main("tlutils.experiments.photo_shelf", CHAPTER, PRESETS, run, describe)
