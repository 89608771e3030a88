"""Which model, which layer? Scores computed before training, against the accuracy after it, on the shelf of the zoo."""
import time
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import data, env, surgery, train, transferability, zoo
from tlutils.data.textures import gratings
from tlutils.experiments import few_labels, photo_shelf, record
from tlutils.experiments.shelf_training import reserved

CHAPTER = "12_transrate"


@dataclass(frozen=True)
class Config:
    """The candidates, the targets, and one protocol for all of them."""

    choose: str = "model"                                         # or "layer"
    checkpoints: tuple[str, ...] = ()                             # of the zoo; none named: all
    targets: tuple[str, ...] = ("letters", "symbols", "angle")
    n_classes: int = 20                                           # of letters and symbols
    labels_per_class: int = 50
    n_test: int = 2000
    steps: int = 150                                              # of fine-tuning
    batch_size: int = 64
    lr: float = 3e-3                                              # of the new head
    body_lr: float = 1e-3
    layers: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)               # candidates where a layer is chosen


def target(name: str, config: Config, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return (x, y, x_test, y_test) of a target that no checkpoint has seen.

    Convention: "letters" and "symbols" are classes drawn from the reserved characters; "angle" is how far ten reserved
        letters are turned, in units of 0.3 rad, a number and no class; "gratings" are ten kinds of stripes; "cifar100"
        are classes of CIFAR-100, drawn by the seed, in grey and at 24 pixels.
    Errors: ValueError for another name.
    """
    if name not in ("letters", "symbols", "angle", "gratings", "cifar100"):
        raise ValueError(f"target must be letters, symbols, angle, gratings or cifar100, got {name!r}")
    if name == "gratings":
        splits = [gratings(10 * config.labels_per_class, seed=1000 + seed), gratings(config.n_test, seed=2000 + seed)]
        return (*few_labels.tensors(*splits[0]), *few_labels.tensors(*splits[1]))
    if name == "cifar100":
        train_split, test_split = photo_shelf.cifar100_classes(config.n_classes, config.labels_per_class, seed)
        (x, y), (x_test, y_test) = few_labels.tensors(*train_split), few_labels.tensors(*test_split)
        return in_grey(x), y, in_grey(x_test)[: config.n_test], y_test[: config.n_test]
    pool = reserved("symbols" if name == "symbols" else "letters")
    n_classes = 10 if name == "angle" else config.n_classes
    chosen = [str(c) for c in np.random.default_rng(seed).permutation(pool)[:n_classes]]
    parts: list[Tensor] = []
    for n, draw in ((config.n_classes * config.labels_per_class, 1000 + seed), (config.n_test, 2000 + seed)):
        images, labels, drawn = data.glyphs(chosen, n, seed=draw, return_attributes=True)
        values = (drawn["rotation"] / 0.3).astype(np.float32) if name == "angle" else labels
        parts += few_labels.tensors(images, values)
    return tuple(parts)


def in_grey(x: Tensor) -> Tensor:
    """Return colour images (n, 3, h, w) as what the shelf can read: the mean of the colours, 24 x 24 pixels."""
    return F.interpolate(x.mean(1, keepdim=True), 24, mode="bilinear", align_corners=False)


def fine_tune(model: nn.Sequential, x: Tensor, y: Tensor, config: Config, seed: int) -> nn.Sequential:
    """Return model trained on (x, y) with a new head for classes, or for one number if y is not an integer."""
    regression = y.is_floating_point()
    env.seed_everything(seed)
    surgery.replace_head(model, 1 if regression else int(y.max()) + 1)
    model.to(x.device)
    groups = surgery.param_groups(model, config.lr, config.body_lr)
    optimizer, scheduler = train.adamw(groups, config.lr, config.steps)
    batches = train.batches(x, y, config.batch_size, config.steps, seed)
    train.fit(model, batches, squared_error if regression else train.classify, optimizer, scheduler=scheduler)
    return model


def squared_error(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the mean squared error of the one number that model puts out."""
    x, y = batch
    return F.mse_loss(model(x)[:, 0], y)


def quality(model: nn.Sequential, x: Tensor, y: Tensor) -> float:
    """Return the accuracy for classes, and for numbers R^2 = 1 - (squared error) / (variance)."""
    if not y.is_floating_point():
        return train.evaluate(model, x, y)
    rest = train.predict(model, x)[:, 0] - y
    return 1 - float(rest.square().mean() / y.var(unbiased=False))


def scores(model: nn.Sequential, x: Tensor, y: Tensor) -> tuple[dict[str, float], dict[str, float]]:
    """Return the scores of a checkpoint for (x, y), and the seconds that each took on features that are there.

    Convention: features are the last block's input; "transrate_scaled" divides them by their mean length first. A
        target that is a number has LogME alone.
    """
    z = train.features(model, x).cpu().numpy()
    labels = y.cpu().numpy()
    if y.is_floating_point():
        measures = {"logme": lambda: transferability.logme(z, labels, task="regression")}
    else:
        probs = train.predict(model, x).softmax(1).cpu().numpy()
        length = np.linalg.norm(z, axis=1).mean() or 1.0
        measures = {
            "transrate": lambda: transferability.transrate(z, labels),
            "transrate_scaled": lambda: transferability.transrate(z / length, labels),
            "transrate_rank": lambda: transferability.transrate(z, labels, normalize="rank"),
            "h_score": lambda: transferability.h_score(z, labels),
            "h_score_shrinkage": lambda: transferability.h_score(z, labels, shrinkage=True),
            "logme": lambda: transferability.logme(z, labels),
            "lfc": lambda: transferability.lfc(z, labels),
            "nleep": lambda: transferability.nleep(z, labels),
            "leep": lambda: transferability.leep(probs, labels),
            "nce": lambda: transferability.nce(probs.argmax(1), labels)}
    found, seconds = {}, {}
    for name, measure in measures.items():
        start = time.perf_counter()
        found[name] = measure()
        seconds[name] = time.perf_counter() - start
    return found, seconds


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: for every target and candidate the scores, and what training reached."""
    rows = []
    for name in config.targets:
        x, y, x_test, y_test = target(name, config, seed)
        keys = {"seed": seed, "target": name}
        for checkpoint in config.checkpoints or zoo.names():
            model = zoo.load(checkpoint).to(env.device())
            if config.choose == "layer":
                rows += _layer_rows(model, checkpoint, x, y, x_test, y_test, config, keys)
                continue
            found, seconds = scores(model, x, y)
            start = time.perf_counter()
            tuned = fine_tune(model, x, y, config, seed)
            seconds["fine-tune"] = time.perf_counter() - start
            metric = "r2" if y.is_floating_point() else "accuracy"
            known = {"source_accuracy": zoo.card(checkpoint)["accuracy"], **found}
            rows += [_row(measure, value, keys, checkpoint=checkpoint) for measure, value in known.items()]
            rows.append(_row("fine-tune", quality(tuned, x_test, y_test), keys, metric, checkpoint=checkpoint))
            rows += [_row(measure, value, keys, "seconds", checkpoint=checkpoint) for measure, value in seconds.items()]
    return rows


def _layer_rows(model, checkpoint, x, y, x_test, y_test, config, keys):
    rows, labels = [], y.cpu().numpy()
    for layer in config.layers:
        z, z_test = (few_labels.probe_features(model, part, layer) for part in (x, x_test))
        found = transferability.scores(z, labels)
        found["transrate_scaled"] = transferability.transrate(z / np.linalg.norm(z, axis=1).mean(), labels)
        where = {"checkpoint": checkpoint, "layer": layer, "width": z.shape[1]}
        rows += [_row(measure, value, keys, **where) for measure, value in found.items()]
        truth = few_labels.linear_probe(z, labels, z_test, y_test.cpu().numpy())
        rows.append(_row("probe", truth, keys, "accuracy", **where))
    return rows


def _row(method: str, value: float, keys: dict, metric: str = "score", **more) -> dict:
    unit = {"score": "as defined", "seconds": "s"}.get(metric, "fraction")
    return {"method": method, **keys, **more, "metric": metric, "value": round(float(value), 6), "unit": unit}


def describe(config: Config) -> dict:
    """Name the data of a run, with the SHA-256 of the first seed's first target, and the files of the checkpoints."""
    from tlutils.results import sha256
    x, y, *_ = target(config.targets[0], config, 0)
    names = config.checkpoints or zoo.names()
    return {"name": "reserved glyphs, gratings", "n_train": len(x), "n_test": config.n_test,
            "sha256": sha256(x.cpu().numpy(), y.cpu().numpy()),
            "checkpoints": {name: zoo.card(name)["sha256"][:16] for name in names}}


def live() -> Config:
    """Return what chapter 12 runs: LIVE, at scale "full" the whole shelf on photographs, with more images and steps."""
    return FULL_LIVE if env.scale() == "full" else LIVE


MODELS = Config()
LAYERS = Config(choose="layer", checkpoints=("letters60", "symbols40", "letters60-rotation"),
                targets=("letters", "symbols", "gratings"))
CHEAP = ("letters60", "letters60-wide", "letters60-short", "letters60-clean", "letters60-rotation", "letters10",
         "latin", "symbols40", "symbols40-wide", "digits", "gratings", "random")
LIVE = Config(checkpoints=CHEAP, targets=("letters", "angle"))
FULL_LIVE = Config(targets=("cifar100", "angle"), labels_per_class=400, steps=1500, checkpoints=tuple(zoo.names()))
PRESETS = {"models": ("Which of 17 pretrained networks should be fine-tuned? Scores against the truth.", MODELS),
           "layers": ("Which layer should a probe read? Scores against the truth.", LAYERS)}

if __name__ == "__main__":
    record.main("tlutils.experiments.shelf", CHAPTER, PRESETS, run, describe)
