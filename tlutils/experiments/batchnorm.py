"""A frozen body whose BatchNorm statistics move: what the common tutorial does, and what it costs."""
import copy
import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tlutils import data, env, surgery, train
from tlutils.experiments import few_labels, record

CHAPTER = "03_fine_tune_or_freeze"
WAYS = ("frozen", "tutorial", "adapted")


@dataclass(frozen=True)
class Config:
    """One head on one body, trained in three ways; `letters` describes the source network."""

    letters: few_labels.Config = few_labels.LAPTOP
    targets: tuple[str, ...] = ("similar", "symbols", "texture", "digits")
    labels_per_class: int = 20
    batch_sizes: tuple[int, ...] = (2, 4, 16, 64)
    steps: int = 300                     # of the head, the same for every batch size
    lr: float = 3e-3
    n_source_test: int = 2000


def new_head(pretrained: nn.Sequential, n_classes: int, seed: int) -> nn.Sequential:
    """Return a copy of a network with a new head whose initial values are fixed by seed."""
    env.seed_everything(seed)
    return surgery.replace_head(copy.deepcopy(pretrained), n_classes)


def adapt_statistics(model: nn.Sequential, x: Tensor) -> nn.Sequential:
    """Replace the BatchNorm statistics of model by those of the images x (no labels needed). Return model.

    Equation: mean and variance of each channel over x, layer by layer: adaptive BatchNorm (Li et al. 2016).
    Convention: one pass with all of x as a single batch; weights do not change; the model is left in eval mode.
    Errors: ValueError if x has fewer than two images.
    """
    if len(x) < 2:
        raise ValueError(f"x must hold at least two images to have a variance, got {len(x)}")
    norms = _norms(model)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0                                       # running value = value of this batch
    with torch.no_grad():
        model.train()(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


def train_head(model: nn.Sequential, x: Tensor, y: Tensor, way: str, steps: int, batch_size: int, lr: float,
               seed: int) -> nn.Sequential:
    """Train the head of model on (x, y) with the body frozen in one of three ways; return model in eval mode.

    Convention: "frozen" freezes weights and statistics, so the features are computed once; "tutorial" takes the
        gradient from the body's weights and calls model.train(), so that every batch is normalised by its own
        statistics and moves the running ones; "adapted" sets the statistics to those of x, then freezes both.
        The batches are the same in all three.
    Errors: ValueError for another way.
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {WAYS}, got {way!r}")
    head = model[-1:]
    if way == "tutorial":
        model[:-1].requires_grad_(False)
        trained, inputs = model, x
    else:
        surgery.freeze(adapt_statistics(model, x) if way == "adapted" else model)
        trained, inputs = head, train.features(model, x)
    optimizer, scheduler = train.adamw(head.parameters(), lr, steps)
    batches = train.batches(inputs, y, batch_size, steps, seed)
    train.fit(trained, batches, train.classify, optimizer, scheduler=scheduler)
    return model.eval()


def with_head(body: nn.Sequential, head: nn.Sequential) -> nn.Sequential:
    """Return the body of one network under the head of another; both keep their own weights."""
    return nn.Sequential(*body[:-1], head[-1]).eval()


def drift(before: nn.Sequential, after: nn.Sequential) -> float:
    """Return how far the running means moved: mean over channels of |change| in units of the old deviation."""
    moved = [((b.running_mean - a.running_mean).abs() / (a.running_var + a.eps).sqrt())
             for a, b in zip(_norms(before), _norms(after), strict=True)]
    return torch.cat(moved).mean().item()


def feature_change(before: nn.Sequential, after: nn.Sequential, x: Tensor) -> float:
    """Return the relative change of the features of x: |h_after(x) - h_before(x)| / |h_before(x)|."""
    old, new = train.features(before, x), train.features(after, x)
    return ((new - old).norm() / old.norm()).item()


def source_test(config: Config, seed: int) -> tuple[Tensor, Tensor]:
    """Return new images of the classes that the source network of this seed was trained on."""
    letters = config.letters.world == "glyphs"
    names = data.glyph_classes("letters") if letters else data.load("cifar100", download=True).classes
    seen = np.random.default_rng(seed).permutation(names)[: config.letters.n_source_classes]
    return few_labels.tensors(*few_labels.pictures(config.letters, seen, config.n_source_test, 3000 + seed, test=True))


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: by target, batch size and way, the accuracy on the target and on the source."""
    pretrained, unseen = few_labels.source(config.letters, seed)
    old = source_test(config, seed)
    rows = [_row("source", "source_accuracy", train.evaluate(pretrained, *old), {"seed": seed})]
    wanted = dataclasses.replace(config.letters, labels_per_class=(config.labels_per_class,))
    for name in config.targets:
        x_all, y_all, x_test, y_test = few_labels.target(name, wanted, seed, unseen)
        keep = data.subset_per_class(y_all.cpu().numpy(), config.labels_per_class, seed)
        x, y = x_all[keep], y_all[keep]
        for batch_size in config.batch_sizes:
            keys = {"seed": seed, "target": name, "batch_size": batch_size}
            heads = {}
            for way in WAYS:
                model = new_head(pretrained, int(y_all.max()) + 1, seed)
                heads[way] = train_head(model, x, y, way, config.steps, batch_size, config.lr, seed)
                kept = with_head(model, pretrained)
                rows += [_row(way, "accuracy", train.evaluate(model, x_test, y_test), keys),
                         _row(way, "source_accuracy", train.evaluate(kept, *old), keys),
                         _row(way, "drift", drift(pretrained, model), keys, "standard deviations"),
                         _row(way, "feature_change", feature_change(pretrained, model, x_test), keys)]
            stale = with_head(heads["tutorial"], heads["frozen"])  # a head trained on features stored before the drift
            rows.append(_row("stored features", "accuracy", train.evaluate(stale, x_test, y_test), keys))
    return rows


def describe(config: Config) -> dict:
    """Name the data of a run: those of the experiment on few labels, and the sizes that differ."""
    return few_labels.describe(config.letters) | {"labels_per_class": config.labels_per_class}


def _norms(model: nn.Module) -> list[nn.Module]:
    found = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if not found:
        raise ValueError("model has no BatchNorm2d, so there are no statistics to look at")
    return found


def _row(method: str, metric: str, value: float, keys: dict, unit: str = "fraction") -> dict:
    return {"method": method, **keys, "metric": metric, "value": round(value, 5), "unit": unit}


LAPTOP = Config()
PRESETS = {"batchnorm": ("What happens to a frozen body when its BatchNorm statistics are not frozen?", LAPTOP)}

if __name__ == "__main__":
    record.main("tlutils.experiments.batchnorm", CHAPTER, PRESETS, run, describe)
