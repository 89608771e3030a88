"""Which model, which layer? Scores computed before training, against the accuracy after it, on the shelf of the zoo."""
import time
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import data as datasets
from tlutils import env, probes, surgery, train, transferability, zoo
from tlutils.experiments.experiment import Experiment
from tlutils.results import row
from tlutils.worlds import Task, photographs, reserved, task

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


def target(name: str, config: Config, seed: int) -> Task:
    """Return a target that no checkpoint has seen.

    Convention: "letters" and "symbols" are classes drawn from the reserved characters; "angle" is how far ten reserved
        letters are turned, in units of 0.3 rad, a number and no class; "gratings" are ten kinds of stripes; "cifar100"
        are classes of CIFAR-100, drawn by the seed, in grey and at 24 pixels.
    Errors: ValueError for another name.
    """
    if name not in ("letters", "symbols", "angle", "gratings", "cifar100"):
        raise ValueError(f"target must be letters, symbols, angle, gratings or cifar100, got {name!r}")
    if name == "gratings":
        return task(datasets.gratings(10 * config.labels_per_class, seed=1000 + seed),
                    datasets.gratings(config.n_test, seed=2000 + seed))
    if name == "cifar100":
        real = task(*photographs.cifar100_classes(config.n_classes, config.labels_per_class, seed))
        return Task(in_grey(real.x), real.y, in_grey(real.x_test)[: config.n_test], real.y_test[: config.n_test])
    pool = reserved("symbols" if name == "symbols" else "letters")
    n_classes = 10 if name == "angle" else config.n_classes
    chosen = [str(c) for c in np.random.default_rng(seed).permutation(pool)[:n_classes]]
    splits = []
    for n, draw in ((config.n_classes * config.labels_per_class, 1000 + seed), (config.n_test, 2000 + seed)):
        images, labels, drawn = datasets.glyphs(chosen, n, seed=draw, return_attributes=True)
        splits.append((images, (drawn["rotation"] / 0.3).astype(np.float32) if name == "angle" else labels))
    return task(*splits)


def in_grey(x: Tensor) -> Tensor:
    """Return colour images (n, 3, h, w) as what the shelf can read: the mean of the colours, 24 x 24 pixels."""
    return F.interpolate(x.mean(1, keepdim=True), 24, mode="bilinear", align_corners=False)


def data(config: Config, seed: int) -> dict:
    """Return the targets, and the files of the checkpoints."""
    return {name: target(name, config, seed) for name in config.targets} | {
        f"checkpoint: {name}": zoo.FOLDER / f"{name}.safetensors" for name in config.checkpoints or zoo.names()}


def fine_tune(model: nn.Sequential, x: Tensor, y: Tensor, config: Config, seed: int) -> nn.Sequential:
    """Return model trained on (x, y) with a new head for classes, or for one number if y is not an integer."""
    regression = y.is_floating_point()
    env.seed_everything(seed)
    surgery.replace_head(model, 1 if regression else int(y.max()) + 1)
    model.to(x.device)
    train.train(model, x, y, lr=config.lr, steps=config.steps, batch_size=config.batch_size, seed=seed,
                loss=train.squared_error if regression else train.classify,
                parameters=surgery.param_groups(model, config.lr, config.body_lr))
    return model


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
    parts, rows = data(config, seed), []
    for name in config.targets:
        for checkpoint in config.checkpoints or zoo.names():
            def note(method, value, metric="score", name=name, checkpoint=checkpoint, **more):
                rows.append(row(method, seed, metric, value, digits=6, target=name, checkpoint=checkpoint, **more))

            choose = by_layer if config.choose == "layer" else by_model
            choose(zoo.load(checkpoint).to(env.device()), checkpoint, parts[name], config, seed, note)
    return rows


def by_model(model, checkpoint, here: Task, config: Config, seed: int, note) -> None:
    """Note the scores of a checkpoint for a target, what fine-tuning reaches, and the seconds of both."""
    found, seconds = scores(model, here.x, here.y)
    start = time.perf_counter()
    tuned = fine_tune(model, here.x, here.y, config, seed)
    seconds["fine-tune"] = time.perf_counter() - start
    for measure, value in {"source_accuracy": zoo.card(checkpoint)["accuracy"], **found}.items():
        note(measure, value)
    note("fine-tune", quality(tuned, here.x_test, here.y_test), "r2" if here.y.is_floating_point() else "accuracy")
    for measure, value in seconds.items():
        note(measure, value, "seconds")


def by_layer(model, checkpoint, here: Task, config: Config, seed: int, note) -> None:
    """Note the scores of every layer of a checkpoint for a target, and what a probe reads there."""
    for layer in config.layers:
        z, z_test = (probes.probe_features(model, part, layer) for part in (here.x, here.x_test))
        found = transferability.scores(z, here.labels)
        found["transrate_scaled"] = transferability.transrate(z / np.linalg.norm(z, axis=1).mean(), here.labels)
        for measure, value in found.items():
            note(measure, value, layer=layer, width=z.shape[1])
        truth = probes.linear_probe(z, here.labels, z_test, here.test_labels, C=0.1)
        note("probe", truth["accuracy"], "accuracy", layer=layer, width=z.shape[1])


def live() -> Config:
    """Return what chapter 12 runs: LIVE, at scale "full" the whole shelf on photographs, with more images and steps."""
    return env.pick(LIVE, FULL_LIVE)


MODELS = Config()
LAYERS = Config(choose="layer", checkpoints=("letters60", "symbols40", "letters60-rotation"),
                targets=("letters", "symbols", "gratings"))
CHEAP = ("letters60", "letters60-wide", "letters60-short", "letters60-clean", "letters60-rotation", "letters10",
         "latin", "symbols40", "symbols40-wide", "digits", "gratings", "random")
LIVE = Config(checkpoints=CHEAP, targets=("letters", "angle"))
FULL_LIVE = Config(targets=("cifar100", "angle"), labels_per_class=400, steps=1500, checkpoints=tuple(zoo.names()))
PRESETS = {"models": ("Which of 17 pretrained networks should be fine-tuned? Scores against the truth.", MODELS),
           "layers": ("Which layer should a probe read? Scores against the truth.", LAYERS)}
EXPERIMENT = Experiment(CHAPTER, PRESETS, run, data)

if __name__ == "__main__":
    EXPERIMENT.main()
