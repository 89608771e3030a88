"""What chapters 6 and 7 share: a pool without labels, an encoder, two kinds of pretraining, one way to judge all."""
import dataclasses
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import data, env, selfsup, surgery, train


@dataclass(frozen=True)
class Config:
    """One pool, one encoder and one protocol for every kind of pretraining."""

    world: str = "glyphs"                                  # or "photographs": CIFAR-100
    n_pool: int = 8000                                     # images without labels, of all classes
    n_classes: int = 24                                    # of the target: Latin letters
    n_other: int = 36                                      # further classes of the pool: Greek and Cyrillic
    n_labelled: int = 100                                  # labelled images of each target class
    n_test: int = 2400
    side: int = 24
    widths: tuple[int, ...] = (16, 32, 64)
    n_features: int = 128
    steps: int = 300
    views_per_step: int = 256                              # the same for all kinds of pretraining
    lr: float = 2e-3
    area: tuple[float, float] = (0.5, 1.0)                 # of the crop; the rest as in selfsup.two_views
    rotate: float = 0.2
    flip: float = 0.0
    colour: float = 0.5
    mix: float = 0.56
    grey: float = 0.2
    labels_per_class: tuple[int, ...] = (5, 20, 100)
    tune_steps: int = 200
    tune_lr: float = 1e-3
    tune_batch: int = 64
    tune_views: bool = False                               # fine-tune on a new view of each picture in each step


PHOTOGRAPHS = {"world": "photographs", "n_pool": 50_000, "n_classes": 40, "n_other": 60, "n_test": 4000, "side": 32,
               "widths": (64, 128, 256), "n_features": 512, "steps": 20_000, "views_per_step": 1024, "lr": 2e-3,
               "area": (0.2, 1.0), "rotate": 0.0, "flip": 0.5, "mix": 0.0, "grey": 0.2, "tune_steps": 1000}


@dataclass(frozen=True)
class Pool:
    """The images: x to learn from without labels, a few with labels, and a test set for the last look.

    `other` holds the class of those pool images that belong to no target class, and -1 for the rest: it is for
    supervised pretraining alone.
    """

    x: Tensor
    other: Tensor
    x_labelled: Tensor
    y_labelled: Tensor
    x_test: Tensor
    y_test: Tensor


def pool(config: Config, seed: int) -> Pool:
    """Return the images of one seed as network inputs on the device of the book.

    Convention: glyphs are drawn anew for pool, labelled and test images. Of CIFAR-100 the labelled images are a part of
        the pool, and the test images are those of its test set.
    Errors: ValueError for another world, or more classes than it holds.
    """
    if config.world == "glyphs":
        target = data.glyph_classes("latin")[: config.n_classes]
        others = (data.glyph_classes("greek") + data.glyph_classes("cyrillic"))[: config.n_other]
        _enough(config, len(target), len(others))
        x, y = data.colour_glyphs(target + others, config.n_pool, 10 * seed, side=config.side)
        n = config.n_labelled * config.n_classes
        few = data.colour_glyphs(target, n, 10 * seed + 1, side=config.side)
        test = data.colour_glyphs(target, config.n_test, 10 * seed + 2, side=config.side)
    elif config.world == "photographs":
        real = data.load("cifar100", download=True)
        order = np.random.default_rng(seed).permutation(100)[: config.n_classes + config.n_other]
        _enough(config, len(order[: config.n_classes]), len(order[config.n_classes:]))
        x, y = data.select_classes(real.train_images, real.train_labels, order)
        kept = np.random.default_rng(seed).permutation(len(x))[: config.n_pool]
        keep = data.subset_per_class(y[y < config.n_classes], config.n_labelled, seed)
        few = x[y < config.n_classes][keep], y[y < config.n_classes][keep]
        x, y = x[kept], y[kept]
        test = data.select_classes(real.test_images, real.test_labels, order[: config.n_classes])
        test = tuple(part[: config.n_test] for part in test)
    else:
        raise ValueError(f"world must be glyphs or photographs, got {config.world!r}")
    other = np.where(y < config.n_classes, -1, y - config.n_classes)
    return Pool(*_tensors(x, other), *_tensors(*few), *_tensors(*test))


def _enough(config: Config, n_classes: int, n_other: int) -> None:
    if (n_classes, n_other) != (config.n_classes, config.n_other):
        raise ValueError(f"n_classes and n_other must be at most what the world holds, got {config.n_classes} and "
                         f"{config.n_other}")


def _tensors(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    where = env.device()
    return data.to_tensor(images, where), torch.as_tensor(labels, device=where)


def encoder(config: Config) -> nn.Sequential:
    """Return f: convolutions of stride 2 with BatchNorm, then n_features with BatchNorm and ReLU; random weights.

    Shapes: (n, 3, side, side) -> (n, n_features).
    """
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    size = config.side
    for i, (c_in, c_out) in enumerate(zip((3, *config.widths), config.widths, strict=False), start=1):
        kernel = 5 if i == 1 else 3
        conv = nn.Conv2d(c_in, c_out, kernel, 2, kernel // 2, bias=False)
        blocks[f"conv{i}"] = nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU())
        size = -(-size // 2)
    dense = nn.Linear(config.widths[-1] * size**2, config.n_features, bias=False)
    blocks["fc"] = nn.Sequential(nn.Flatten(), dense, nn.BatchNorm1d(config.n_features), nn.ReLU())
    return nn.Sequential(blocks).to(env.device(), memory_format=torch.channels_last)


def two_views(x: Tensor, generator: torch.Generator, config: Config) -> tuple[Tensor, Tensor]:
    """Return two random views of every image, as config says: the augmentation of all kinds of pretraining."""
    return selfsup.two_views(x, generator, area=config.area, rotate=config.rotate, flip=config.flip,
                             colour=config.colour, mix=config.mix, grey=config.grey, blur=0.0)


def pretrain(model: nn.Module, loss: Callable, config: Config, x: Tensor, y: Tensor | None, seed: int, *,
             images_per_step: int | None = None) -> list[float]:
    """Train model in place on two views of batches of x; return the loss of every step.

    Shapes: loss(model, ((v1, v2), y)) is given two views of a batch and its labels; y = None gives places in x.
    Convention: config.views_per_step views a step, of half as many images, unless images_per_step says otherwise.
    """
    y = torch.arange(len(x), device=x.device) if y is None else y
    size = config.views_per_step // 2 if images_per_step is None else images_per_step
    batches = train.batches(x, y, size, config.steps, seed, functools.partial(two_views, config=config))
    optimizer, schedule = train.adamw((p for p in model.parameters() if p.requires_grad), config.lr, config.steps)
    return train.fit(model, batches, loss, optimizer, scheduler=schedule)


def rotation_loss(model: nn.Module, batch) -> Tensor:
    """Return the loss of telling which way the views of a batch were turned: every view four times."""
    return train.classify(model, selfsup.rotation_batch(torch.cat(batch[0])))


def supervised_loss(model: nn.Module, batch) -> Tensor:
    """Return the loss of telling the class of both views of a batch."""
    views, y = batch
    return F.cross_entropy(model(torch.cat(views)), torch.cat([y, y]))


def pretrain_rotation(config: Config, images: Pool, seed: int) -> tuple[nn.Sequential, list[float]]:
    """Return an encoder that learned to tell four rotations of the pool's images apart, and its losses."""
    env.seed_everything(seed)
    f = encoder(config)
    model = nn.Sequential(f, nn.Linear(config.n_features, 4).to(images.x.device))
    return f, pretrain(model, rotation_loss, config, images.x, None, seed, images_per_step=config.views_per_step // 8)


def pretrain_supervised(config: Config, images: Pool, seed: int) -> tuple[nn.Sequential, list[float]]:
    """Return an encoder trained on the labels of the pool's other classes, without an image of the target classes."""
    env.seed_everything(seed)
    f, known = encoder(config), images.other >= 0
    model = nn.Sequential(f, nn.Linear(config.n_features, config.n_other).to(images.x.device))
    return f, pretrain(model, supervised_loss, config, images.x[known], images.other[known], seed)


def random_encoder(config: Config, seed: int) -> nn.Sequential:
    """Return an encoder that has learned nothing."""
    env.seed_everything(seed)
    return encoder(config).eval()


def probes(f: nn.Module, config: Config, images: Pool, seed: int) -> dict[tuple[str, int], float]:
    """Return test accuracies of frozen features: ("probe", n) with n labels per class, ("knn", n) with all labels.

    Convention: C and k are chosen on labelled images; the same labelled images for every encoder of a seed.
    """
    z, z_test = train.predict(f, images.x_labelled), train.predict(f, images.x_test)
    found = {}
    for n in config.labels_per_class:
        keep = few(config, images, n, seed)
        found["probe", n] = selfsup.linear_probe(z[keep], images.y_labelled[keep], z_test, images.y_test)["accuracy"]
    found["knn", config.n_labelled] = selfsup.knn_probe(z, images.y_labelled, z_test, images.y_test)["accuracy"]
    return found


def few(config: Config, images: Pool, n: int, seed: int) -> Tensor:
    """Return the places of n labelled images of each class."""
    return torch.as_tensor(data.subset_per_class(images.y_labelled.cpu().numpy(), n, seed), device=images.x.device)


def fine_tuned(f: nn.Sequential, config: Config, images: Pool, n: int, seed: int) -> nn.Sequential:
    """Return a network that starts from a copy of f and is trained on n labels per class for tune_steps; f stays.

    Convention: from a random encoder this is training from scratch. BatchNorm in training mode; no augmentation, unless
        config.tune_views asks for one view of each picture, as in pretraining and anew in each step.
    """
    env.seed_everything(seed)
    model = nn.Sequential(OrderedDict([*encoder(config).named_children(),
                                       ("head", nn.Linear(config.n_features, config.n_classes))])).to(images.x.device)
    surgery.copy_layers(nn.Sequential(OrderedDict([*f.named_children(), ("head", model[-1])])), model, len(f))
    keep = few(config, images, n, seed)
    x, y = images.x_labelled[keep], images.y_labelled[keep]
    view = (lambda x, generator: two_views(x, generator, config)[0]) if config.tune_views else None
    batches = train.batches(x, y, config.tune_batch, config.tune_steps, seed, view)
    optimizer, schedule = train.adamw(model.parameters(), config.tune_lr, config.tune_steps)
    train.fit(model, batches, train.classify, optimizer, scheduler=schedule)
    return model


def rows(method: str, seed: int, found: dict[tuple[str, int], float], **keys) -> list[dict]:
    """Return accuracies {(reader, labels per class): value} as rows of a result."""
    return [{"method": method, "seed": seed, "reader": reader, "labels_per_class": n, "metric": "accuracy",
             "value": round(float(value), 5), "unit": "fraction", **keys} for (reader, n), value in found.items()]


def describe(config: Config) -> dict:
    """Name the data of a run, with the SHA-256 of the first seed's images."""
    from tlutils.results import sha256
    images = pool(config, 0)
    return {"name": config.world, "n_pool": len(images.x), "n_labelled": len(images.x_labelled),
            "n_test": len(images.x_test), "sha256": sha256(images.x.cpu().numpy(), images.x_test.cpu().numpy())}


def at_scale(config: Config) -> Config:
    """Return config itself, or at scale "full" the same experiment on photographs with a wider and longer network."""
    return dataclasses.replace(config, **PHOTOGRAPHS) if env.scale() == "full" else config


def mean_of(values: Iterable[float], last: int = 20) -> float:
    """Return the mean of the last values: what a loss ended at."""
    return float(np.mean(list(values)[-last:]))
