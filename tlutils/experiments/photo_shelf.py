"""Model and layer selection with real networks: ImageNet and iNaturalist weights on CIFAR-100 and on ants and bees."""
import dataclasses
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tlutils import data as datasets
from tlutils import probes, train, transferability
from tlutils.experiments.experiment import Experiment
from tlutils.results import row
from tlutils.worlds import Task, photographs, task, tensors

CHAPTER = "12_transrate"


@dataclass(frozen=True)
class Config:
    """The candidates, the targets, and one protocol for all of them."""

    choose: str = "model"                                         # or "layer", or "time"
    sources: tuple[photographs.Borrowed, ...] = (
        *photographs.BORROWED, photographs.Borrowed("ImageNet, pruned SqueezeNet", "squeezenet1_0",
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


def target(name: str, config: Config, seed: int) -> Task:
    """Return ten classes of CIFAR-100, or ants and bees, at config.side pixels.

    Errors: ValueError for another name; FileNotFoundError that tells where ants and bees come from.
    """
    if name == "cifar100":
        splits = photographs.cifar100_classes(config.n_classes, config.labels_per_class, seed)
    elif name == "ants and bees":
        photos = photographs.ants_and_bees(config.side)
        keep = datasets.subset_per_class(photos.train_labels, 120, seed)
        splits = [(photos.train_images[keep], photos.train_labels[keep]), (photos.test_images, photos.test_labels)]
    else:
        raise ValueError(f"target must be cifar100 or ants and bees, got {name!r}")
    found = task(*splits)
    return dataclasses.replace(found, x=photographs.resized(found.x, config.side),
                               x_test=photographs.resized(found.x_test, config.side))


def data(config: Config, seed: int) -> dict:
    """Return the targets (for "time" all of CIFAR-100), and the weights of each source (a file, or a word)."""
    if config.choose == "time":
        real = datasets.load("cifar100", download=True)
        parts = {"cifar100": (real.train_images, real.train_labels)}
    else:
        parts = {name: target(name, config, seed) for name in config.targets}
    return parts | {f"weights: {source.name}": photographs.weights_of(source) or "random" for source in config.sources}


def features(model: nn.Sequential, x: Tensor, n: int | None = None) -> np.ndarray:
    """Return the output of the first n blocks (default: all but the head), averaged over positions: (batch, d)."""
    parts = [train.features(model, part, n) for part in x.split(100)]
    return torch.cat([z.mean((2, 3)) if z.ndim == 4 else z for z in parts]).cpu().numpy()


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: scores, probe and fine-tuned accuracy by candidate, or scores by layer, or times."""
    parts, rows = data(config, seed), []
    if config.choose == "time":
        return times(config, *parts["cifar100"], seed)
    for name in config.targets:
        here = parts[name]
        for source in config.sources:
            model = photographs.network(source, 0)

            def note(method, value, metric="score", name=name, source=source, **more):
                rows.append(row(method, seed, metric, value, digits=6, target=name, source=source.name, **more))

            for stage in config.stages if config.choose == "layer" else (None,):
                z, z_test = features(model, here.x, stage), features(model, here.x_test, stage)
                probs = train.predict(model, here.x, 100).softmax(1).cpu().numpy() if stage is None else None
                found = transferability.scores(z, here.labels, source_probs=probs)
                found["transrate_scaled"] = transferability.transrate(z / np.linalg.norm(z, axis=1).mean(), here.labels)
                for measure, value in found.items():
                    note(measure, value, layer=stage, width=z.shape[1])
                probe = probes.linear_probe(z, here.labels, z_test, here.test_labels, C=config.C)
                note("probe", probe["accuracy"], "accuracy", layer=stage, width=z.shape[1])
            if config.choose == "model":
                start = time.perf_counter()
                tuned = fine_tuned(source, here.x, here.y, config, body_lr=config.body_lr, seed=seed)
                note("fine-tune", time.perf_counter() - start, "seconds")
                note("fine-tune", train.evaluate(tuned, here.x_test, here.y_test, 100), "accuracy")
    return rows


def fine_tuned(source: photographs.Borrowed, x: Tensor, y: Tensor, config: Config, *, body_lr: float,
               seed: int) -> nn.Sequential:
    """Return a candidate trained on (x, y) by the protocol of config."""
    return photographs.fine_tuned(source, x, y, steps=config.steps, batch_size=config.batch_size, lr=config.lr,
                                  body_lr=body_lr, seed=seed)


def times(config: Config, images: np.ndarray, labels: np.ndarray, seed: int) -> list[dict]:
    """Return rows of seconds: extraction, one epoch of fine-tuning and every measure, on all images."""
    source, seconds = config.sources[0], {}
    model = photographs.network(source, 0)
    x, y = tensors(images, labels)

    def timed(name, action):
        start = time.perf_counter()
        result = action()
        seconds[name] = time.perf_counter() - start
        return result

    both = timed("extract", lambda: [_both(model, photographs.resized(part, config.side)) for part in x.split(250)])
    z, probs = (np.concatenate([part[k] for part in both]) for k in (0, 1))
    few = config.steps * config.batch_size
    timed("fine-tune", lambda: fine_tuned(source, photographs.resized(x[:few], config.side), y[:few] % 100, config,
                                          body_lr=1e-4, seed=0))
    seconds["fine-tune epoch"] = seconds.pop("fine-tune") * len(x) / few
    timed("TransRate", lambda: transferability.transrate(z, labels))
    timed("H-Score", lambda: transferability.h_score(z, labels))
    timed("LogME", lambda: transferability.logme(z, labels))
    timed("LFC", lambda: transferability.lfc(z, labels))
    timed("LEEP", lambda: transferability.leep(probs, labels))
    timed("NCE", lambda: transferability.nce(probs.argmax(1), labels))
    timed("all but N-LEEP", lambda: transferability.scores(z, labels, source_probs=probs))
    return [row(name, seed, "seconds", value, digits=6, target="cifar100", source=source.name, n_images=len(x),
                width=z.shape[1]) for name, value in seconds.items()]


@torch.no_grad()
def _both(model, x):
    z = train.features(model, x)
    head = model[-1](z).softmax(1)
    return (z.mean((2, 3)) if z.ndim == 4 else z).cpu().numpy(), head.cpu().numpy()


MODELS = Config()
LAYERS = dataclasses.replace(MODELS, choose="layer", sources=(MODELS.sources[0], MODELS.sources[3]))
TIMES = dataclasses.replace(MODELS, choose="time", sources=(MODELS.sources[4],), side=64, steps=40)
PRESETS = {"photo_models": ("Which of seven real networks should be fine-tuned? Scores against the truth.", MODELS),
           "photo_layers": ("Which layer of MobileNetV2 should a probe read? Scores against the truth.", LAYERS),
           "times": ("How long do the scores take on 50,000 images, and how long does fine-tuning?", TIMES)}
EXPERIMENT = Experiment(CHAPTER, PRESETS, run, data)

if __name__ == "__main__":
    EXPERIMENT.main()
