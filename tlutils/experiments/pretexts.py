"""What a pretext task leaves in the features: filling in, a Siamese pair, rotation, read layer by layer."""
import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from tlutils import data as datasets
from tlutils import env, models, pretraining, probes, train, worlds
from tlutils.experiments.experiment import Experiment
from tlutils.results import row

CHAPTER = "06_filling_in_and_pretexts"
QUESTIONS = ("class", "ink", "turn")
METHODS = ("random", "supervised", "rotation", "rotation, colours kept", "pair", "imputation")
STRENGTHS = (0.001, 0.01, 0.1)                                    # among which a probe chooses its penalty


@dataclass(frozen=True)
class Config:
    """The pool, the encoder and its views; what is hidden, how large a piece is, how much a probe may read."""

    world: str = "glyphs"                                         # or "photographs": CIFAR-100
    n_pool: int = 8000                                            # images without labels, of all classes
    n_classes: int = 24                                           # of the target: Latin letters
    n_other: int = 36                                             # further classes of the pool: Greek and Cyrillic
    n_labelled: int = 100                                         # labelled images of each target class
    n_test: int = 2400
    side: int = 24
    widths: tuple[int, ...] = (16, 32, 64)
    n_features: int = 128
    steps: int = 400
    views_per_step: int = 128                                     # the same for all tasks
    lr: float = 2e-3
    area: tuple[float, float] = (0.5, 1.0)                        # of the crop; the rest as in selfsup.two_views
    rotate: float = 0.2
    flip: float = 0.0
    colour: float = 0.5
    mix: float = 0.56
    grey: float = 0.2
    ratio: float = 0.5                                            # share of hidden patches
    patch: int = 4                                                # side of a hidden patch, in pixels
    piece: int = 10                                               # side of a piece of the pair, at most half the image
    n_probe: int = 50                                             # labelled images of each class


def data(config: Config, seed: int) -> dict:
    """Return the pool, and what probes are asked about labelled and test images: {"pool": Pool, question: Task}."""
    images = worlds.pool(config.world, seed, n_pool=config.n_pool, n_classes=config.n_classes, n_other=config.n_other,
                         n_labelled=config.n_labelled, n_test=config.n_test, side=config.side)
    return {"pool": images} | questions(config, images, seed)


def questions(config: Config, images: worlds.Pool, seed: int) -> dict[str, worlds.Task]:
    """Return what probes are asked, always of the same images.

    class: which letter. ink: each of red, green and blue above or below a half, 8 answers (of photographs: their mean
    colour, above or below the median of the labelled ones). turn: by how many quarter turns this image was turned; for
    this question alone each image is turned at random.
    """
    keep = images.few(config.n_probe, seed).cpu()
    inks, asked = _inks(config, images, seed), {name: () for name in QUESTIONS}
    for part, (x, y, ink) in enumerate(((images.x_labelled[keep], images.y_labelled[keep], inks[0][keep]),
                                        (images.x_test, images.y_test, inks[1]))):
        quarter = torch.from_numpy(np.random.default_rng([seed, part]).integers(4, size=len(x)))
        turned = torch.stack([image.rot90(int(k), (1, 2)) for image, k in zip(x, quarter, strict=True)])
        for name, inputs, answers in (("class", x, y), ("ink", x, ink), ("turn", turned, quarter)):
            asked[name] += (inputs, answers)
    return {name: worlds.Task(*parts) for name, parts in asked.items()}


def _inks(config: Config, images: worlds.Pool, seed: int) -> list[Tensor]:
    if config.world != "glyphs":
        means = [x.mean((2, 3)).cpu() for x in (images.x_labelled, images.x_test)]
        return [((mean > means[0].median(0).values) * torch.tensor([4, 2, 1])).sum(1) for mean in means]
    letters = datasets.glyph_classes("latin")[: config.n_classes]  # as in worlds.pool, this time with attributes
    drawn = [datasets.colour_glyphs(letters, n, 10 * seed + part, side=config.side, return_attributes=True)[2]
             for part, n in ((1, config.n_labelled * config.n_classes), (2, config.n_test))]
    return [torch.from_numpy((attributes["ink"] > 0.5) @ [4, 2, 1]) for attributes in drawn]


def views(config: Config) -> dict:
    """Return the augmentation of all tasks, as keywords of `selfsup.two_views`."""
    return {name: getattr(config, name) for name in ("area", "rotate", "flip", "colour", "mix", "grey")} | {"blur": 0.0}


def encoder(config: Config, seed: int) -> nn.Sequential:
    """Return f with the random weights of this seed."""
    env.seed_everything(seed)
    return models.conv_encoder(widths=config.widths, n_features=config.n_features, side=config.side).to(env.device())


def pretrained(method: str, config: Config, images: worlds.Pool, seed: int):
    """Return (f, its losses, the whole network or None) after the pretext task named; test images are not read.

    Errors: ValueError for a method that is not in METHODS.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    f, (task, _, kept) = encoder(config, seed), method.partition(", ")
    if task == "random":
        return f.eval(), [], None
    model, losses = pretraining.pretext(
        task, f, images.x, images.other, n_features=config.n_features, widths=config.widths,
        views=views(config) | (pretraining.COLOURS_KEPT if kept else {}), steps=config.steps, lr=config.lr,
        views_per_step=config.views_per_step, seed=seed, ratio=config.ratio, patch=config.patch, piece=config.piece)
    return f, losses, model


def layers(f: nn.Sequential, x: Tensor) -> dict[str, np.ndarray]:
    """Return what a probe reads at each depth of f, maps averaged to 3x3 (and flat): {name of block: (n, d)}."""
    read, z = {}, x
    for name, block in f.named_children():
        z = train.predict(block, z)
        read[name] = (probes.thirds(z) if z.ndim == 4 else z).flatten(1).cpu().numpy()
    return read


def probed(f: nn.Sequential, asked: dict[str, worlds.Task], seed: int) -> dict[tuple[str, str], float]:
    """Return test accuracies {(question, layer): accuracy} of linear probes on frozen features."""
    found = {}
    for name, task in asked.items():
        z, z_test = layers(f, task.x), layers(f, task.x_test)
        for layer in z:
            with threadpool_limits(1):                             # many small fits: threads would wait for each other
                found[name, layer] = probes.linear_probe(z[layer], task.y, z_test[layer], task.y_test,
                                                         strengths=STRENGTHS, seed=seed)["accuracy"]
    return found


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: how each task went, and what probes read from each layer afterwards."""
    parts, rows = data(config, seed), []
    asked = {name: parts[name] for name in QUESTIONS}
    for method in METHODS:
        f, losses, _ = pretrained(method, config, parts["pool"], seed)
        if losses:
            unit = "squared error" if method == "imputation" else "nats"
            rows.append(row(method, seed, "loss", np.mean(losses[-20:]), unit))
        for (question, layer), value in probed(f, asked, seed).items():
            rows.append(row(method, seed, "accuracy", value, question=question, layer=layer))
    return rows


LAPTOP = Config()
FULL = dataclasses.replace(LAPTOP, **pretraining.FULL)
PRESETS = {"layers": ("What does each pretext task leave in the features, layer by layer?", LAPTOP)}
EXPERIMENT = Experiment(CHAPTER, PRESETS, run, data)

if __name__ == "__main__":
    EXPERIMENT.main()
