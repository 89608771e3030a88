"""Ants and bees: a handful of photographs, networks trained on ImageNet, and what to do with them."""
import copy
import dataclasses
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tlutils import data, env, models, surgery, train
from tlutils.experiments import batchnorm, few_labels, record

CHAPTER = "03_fine_tune_or_freeze"
FOLDER = "hymenoptera_data"                    # under the data root: train/{ants,bees}, val/{ants,bees}
WEIGHTS = "hub/checkpoints"                    # files of weights under the data root; else torchvision's hub is asked
ZIP = "https://download.pytorch.org/tutorial/hymenoptera_data.zip"


@dataclass(frozen=True)
class Source:
    """A network to borrow from: torchvision's name of it, and a file of weights under the data root."""

    name: str
    network: str
    file: str | None = None                    # None: random weights
    on_hub: bool = False                       # without the file, torchvision's hub has ImageNet weights


@dataclass(frozen=True)
class Config:
    """The networks, the sizes, and one protocol for all of them."""

    sources: tuple[Source, ...] = (
        Source("ImageNet", "mobilenet_v2", "mobilenet_v2-imagenet_int8.pth", on_hub=True),
        Source("insects", "mobilenet_v2", "mobilenet_v2-inat_insect_uint8.pth"),
        Source("birds", "mobilenet_v2", "mobilenet_v2-inat_bird_uint8.pth"),
        Source("random", "mobilenet_v2"),
        Source("ImageNet, SqueezeNet", "squeezenet1_1", "squeezenet1_1-caffe_fp16.pth", on_hub=True),
        Source("random, SqueezeNet", "squeezenet1_1"))
    side: int = 224                            # pixels, for frozen features
    labels_per_class: tuple[int, ...] = (5, 20, 50, 120)
    C: float = 0.01                            # of the probe
    tuned: str = "ImageNet"                    # the source that is fine-tuned
    tuned_side: int = 128
    tuned_labels: tuple[int, ...] = (120,)
    tuned_steps: int = 40
    batch_size: int = 30
    lr: float = 2e-3
    body_lr: float = 1e-4
    seen: int = 1200                           # images seen when a head is trained on a frozen body
    batch_sizes: tuple[int, ...] = (4, 30)     # of that training


@lru_cache(maxsize=2)
def photographs(side: int) -> data.Dataset:
    """Return the photographs at one size; FileNotFoundError tells where they come from."""
    folder = data.data_root() / FOLDER
    if not folder.is_dir():
        raise FileNotFoundError(f"no photographs at {folder}: fetch {ZIP} and unpack it there")
    return data.image_folder(folder, side)


def network(source: Source, seed: int, n_classes: int | None = None) -> nn.Sequential:
    """Return the network of a source in named blocks, on the device of the book; seed fixes whatever is random in it.

    Errors: FileNotFoundError if its file is not under the data root and torchvision's hub has no such weights.
    """
    env.seed_everything(seed)
    weights = None if source.file is None else _file(source)
    return models.pretrained(source.network, weights, n_classes).to(env.device())


def codes(model: nn.Sequential, images: np.ndarray) -> np.ndarray:
    """Return the features of photographs, (n, d): the body's output, averaged over positions, 50 images at a time.

    Shapes: images uint8 (n, side, side, 3).
    """
    parts = [train.features(model, data.to_tensor(part, env.device()))
             for part in np.array_split(images, -(-len(images) // 50))]
    z = torch.cat([part.mean((2, 3)) if part.ndim == 4 else part for part in parts])
    return z.cpu().numpy()


@lru_cache(maxsize=16)
def stored_codes(source: Source, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of training and test photographs, computed once for a source and a size."""
    model, photos = network(source, seed), photographs(side)
    return codes(model, photos.train_images), codes(model, photos.test_images)


def fixed_statistics(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Cross-entropy with every BatchNorm in eval mode: weights are fine-tuned, running statistics stay."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return train.classify(model, batch)


def fine_tune(source: Source, x: Tensor, y: Tensor, config: Config, seed: int) -> nn.Sequential:
    """Return the source network trained on (x, y): body at body_lr, new head at lr, mirrored at random."""
    model = network(source, seed, n_classes=int(y.max()) + 1)
    groups = surgery.param_groups(model, config.lr, config.body_lr)
    optimizer, scheduler = train.adamw(groups, config.lr, config.tuned_steps)
    mirrored = train.batches(x, y, config.batch_size, config.tuned_steps, seed,
                             transform=lambda batch, generator: data.augment(batch, generator, flip=True))
    train.fit(model, mirrored, fixed_statistics, optimizer, scheduler=scheduler)
    return model


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: probes by source and labels, fine-tuning, and a head on a body frozen two ways."""
    rows = []
    photos = photographs(config.side)
    labels, test_labels = photos.train_labels, photos.test_labels
    keep = {size: data.subset_per_class(labels, size, seed)
            for size in sorted({*config.labels_per_class, *config.tuned_labels})}
    for source in config.sources:
        z, z_test = stored_codes(source, config.side, 0)  # one network a source; the seed draws the photographs
        for size in config.labels_per_class:
            score = few_labels.linear_probe(z[keep[size]], labels[keep[size]], z_test, test_labels, C=config.C)
            rows.append(_row("probe", score, seed, source, config.side, size))
    source = next(s for s in config.sources if s.name == config.tuned)
    small = photographs(config.tuned_side)
    x, y = few_labels.tensors(small.train_images, labels)
    x_test, y_test = few_labels.tensors(small.test_images, test_labels)
    z, z_test = stored_codes(source, config.tuned_side, 0)
    for size in config.tuned_labels:
        few = keep[size]
        score = few_labels.linear_probe(z[few], labels[few], z_test, test_labels, C=config.C)
        rows.append(_row("probe", score, seed, source, config.tuned_side, size))
        model = fine_tune(source, x[few], y[few], config, seed)
        for metric, images, truth in (("accuracy", x_test, y_test), ("train_accuracy", x[few], y[few])):
            score = train.evaluate(model, images, truth, batch_size=50)
            rows.append(_row("fine-tune", score, seed, source, config.tuned_side, size, metric=metric))
    pretrained, few = network(source, 0), keep[max(config.tuned_labels)]
    for batch_size in config.batch_sizes:
        for way in ("frozen", "tutorial"):
            env.seed_everything(seed)
            model = surgery.replace_head(copy.deepcopy(pretrained), 2)
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0                        # so that the two ways differ in the statistics alone
            batchnorm.train_head(model, x[few], y[few], way, config.seen // batch_size, batch_size, config.lr, seed)
            score = train.evaluate(model, x_test, y_test, batch_size=50)
            rows.append(_row(way, score, seed, source, config.tuned_side, max(config.tuned_labels),
                             batch_size=batch_size))
    return rows


def describe(config: Config) -> dict:
    """Name the photographs and, for each source, the weights that it was given."""
    from tlutils.results import sha256
    photos = photographs(config.side)
    weights = {}
    for source in config.sources:
        where = None if source.file is None else _file(source)
        digest = hashlib.sha256(where.read_bytes()).hexdigest() if isinstance(where, Path) else None
        weights[source.name] = ({"weights": "random"} if where is None else {"weights": "torchvision's hub, default"}
                                if digest is None else {"weights": where.name, "sha256": digest})
    return {"name": FOLDER, "n_train": len(photos.train_images), "n_test": len(photos.test_images),
            "sha256": sha256(photos.train_images, photos.train_labels), "weights": weights,
            "note": "files of weights are conversions of public networks to torchvision's format, in part from 8 bits"}


def _file(source: Source) -> Path | str:
    path = data.data_root() / WEIGHTS / source.file
    if path.exists():
        return path
    if not source.on_hub:
        raise FileNotFoundError(f"no weights of {source.name!r} at {path}, and torchvision's hub has none")
    return "hub"


def _row(method: str, value: float, seed: int, source: Source, side: int, size: int, *, metric: str = "accuracy",
         **keys) -> dict:
    return {"method": method, "seed": seed, "source": source.name, "side": side, "labels_per_class": size, **keys,
            "metric": metric, "value": round(value, 5), "unit": "fraction"}


LAPTOP = Config()
LIVE = dataclasses.replace(LAPTOP, sources=LAPTOP.sources[:1])
PRESETS = {"ants_and_bees": ("A few photographs: frozen features, fine-tuning, and which source?", LAPTOP)}

if __name__ == "__main__":
    record.main("tlutils.experiments.photographs", CHAPTER, PRESETS, run, describe)
