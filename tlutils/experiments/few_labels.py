"""Probe, fine-tune or start afresh? Accuracy by labels per class and by the kind of target."""
import dataclasses
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from tlutils import data as datasets
from tlutils import env, models, probes, surgery, train, worlds
from tlutils.experiments.experiment import Experiment
from tlutils.results import row

CHAPTER = "03_fine_tune_or_freeze"
WAYS = ("scratch", "fine-tune", "slow body", "partial")


@dataclass(frozen=True)
class Config(worlds.Source):
    """The source network, the targets, and one protocol for all of them: that of the source."""

    targets: tuple[str, ...] = ("similar", "digits", "symbols", "texture")
    labels_per_class: tuple[int, ...] = (5, 20, 100, 500)
    steps: tuple[int, ...] = (150, 150, 300, 500)                 # training steps for each of these sizes
    probe_layers: tuple[int, ...] = (2, 4, 6, 7)
    body_lr: float = 3e-4                                         # of "fine-tune, slow body"
    partial: int = 4                                              # layers frozen in "partial"


def data(config: Config, seed: int) -> dict:
    """Return the source's images, labels and unseen classes, and each target with as many labels as it can give."""
    *images, unseen = worlds.source_images(config, seed)
    return {"source": (*images, unseen)} | {
        name: worlds.target(name, config, seed, unseen, most=max(config.labels_per_class)) for name in config.targets}


def trained(how: str, pretrained: nn.Sequential, x: Tensor, y: Tensor, *, steps: int, seed: int, lr: float = Config.lr,
            body_lr: float = Config.body_lr, partial: int = Config.partial,
            batch_size: int = Config.batch_size) -> nn.Sequential:
    """Return a network for the target trained in one of four ways from the same head: the source network is untouched.

    Convention: a conv8 of the widths of pretrained. "scratch" forgets the body; "fine-tune" trains all of it at lr;
        "slow body" trains it at body_lr; "partial" freezes its first `partial` blocks.
    Errors: ValueError for another word.
    """
    if how not in WAYS:
        raise ValueError(f"how must be one of {', '.join(WAYS)}, got {how!r}")
    env.seed_everything(seed)
    widths = [block[0].out_channels for block in pretrained[:6]]
    model = models.conv8(int(y.max()) + 1, x.shape[1], x.shape[2], widths).to(x.device)
    if how != "scratch":
        surgery.copy_layers(pretrained, model, len(model) - 1)
    if how == "partial":
        surgery.freeze(model, partial)
    groups = surgery.param_groups(model, lr, body_lr if how == "slow body" else lr)
    train.train(model, x, y, lr=lr, steps=steps, batch_size=batch_size, seed=seed, parameters=groups)
    return model


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: accuracy of every method by target and labels per class, with controls."""
    parts, rows = data(config, seed), []
    pretrained, _ = worlds.source_network(config, seed, images=parts["source"])
    env.seed_everything(seed + 1)
    here = worlds.world(config.world)
    noise = worlds.conv8_of(config)(2, here.channels, here.side).to(env.device()).eval()
    bodies = {f"probe {n}": (pretrained, n) for n in config.probe_layers}
    bodies |= {f"random {n}": (noise, n) for n in config.probe_layers} | {"pixels": (pretrained, 0)}
    protocol = {"seed": seed, "lr": config.lr, "body_lr": config.body_lr, "partial": config.partial,
                "batch_size": config.batch_size}
    for name in config.targets:
        target = parts[name]
        seen = {method: [probes.probe_features(body, images, n) for images in (target.x, target.x_test)]
                for method, (body, n) in bodies.items()}
        for size, steps in zip(config.labels_per_class, config.steps, strict=True):
            if size > np.bincount(target.labels).min():
                continue                                          # the digits are too few for the larger sizes
            keep = datasets.subset_per_class(target.labels, size, seed)
            x, y = target.x[keep], target.y[keep]

            def note(method, value, metric="accuracy", name=name, size=size):
                rows.append(row(method, seed, metric, value, target=name, labels_per_class=size))

            readings = [(method, method, "softmax") for method in seen]
            readings.append(("svm", f"probe {config.probe_layers[-1]}", "svm"))
            for method, body, kind in readings:
                z, z_test = seen[body]
                note(method, probes.linear_probe(z[keep], target.labels[keep], z_test, target.test_labels, C=0.1,
                                                 kind=kind)["accuracy"])
            for how in WAYS:
                model = trained(how, pretrained, x, y, steps=steps, **protocol)
                note(how, train.evaluate(model, target.x_test, target.y_test))
                note(how, train.evaluate(model, x, y), "train_accuracy")
    return rows


LAPTOP = Config()
LIVE = dataclasses.replace(LAPTOP, targets=("similar", "texture"), labels_per_class=(5, 100), steps=(150, 300))
FULL = dataclasses.replace(LAPTOP, **worlds.FULL)                 # on photographs, with a wider and longer network
PRESETS = {"labels_per_class": ("When does a probe suffice, and when does fine-tuning pay?", LAPTOP)}
EXPERIMENT = Experiment(CHAPTER, PRESETS, run, data)

if __name__ == "__main__":
    EXPERIMENT.main()
