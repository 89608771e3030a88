"""Labels in one domain, none in the other: source alone, gradient reversal, its rivals, and the ways it fails."""
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from tlutils import domain, env, models, train
from tlutils.experiments.experiment import Experiment
from tlutils.results import row
from tlutils.worlds.domains import Domains, domain_pair, published_mnist_m

CHAPTER = "09_gradient_reversal"


@dataclass(frozen=True)
class Config:
    """A pair of domains, a network, a method; the defaults are the recipe that works."""

    pair: str = "textured"                   # printed digits -> photographs; or the name of another pair of domains
    variants: tuple[str, ...] = ()           # names in VARIANTS and CONTROLS, each a change of this config
    reverse: tuple[str, ...] = ()            # variants that reverse validation judges, too
    method: str = "dann"                     # or source, coral, mmd, target
    n_source: int = 8000
    n_target: int = 8000                     # unlabelled
    n_held: int = 1000                       # source images kept for choosing between variants
    n_test: int = 2000
    shares: tuple[float, ...] | None = None  # how frequent each class is among target images; None: as they come
    norm: str = "instance"                   # or batch
    dropout: float = 0.5
    at: int = -1                             # the domain classifier reads what this block reads; 2: convolutions
    hidden: int = 100                        # of the domain classifier
    domain_lr: float = 1.0                   # its learning rate, as a multiple
    lam: float = 1.0                         # largest lambda; of coral and mmd the weight
    schedule: bool = True                    # lambda rises from 0; False: lam from the first step
    batch_size: int = 64                     # of each domain
    steps: int = 1500
    lr: float = 3e-3
    source_steps: int = 300                  # of training on one domain alone, source or target
    target_steps: int = 500
    plain_lr: float = 2e-3


VARIANTS = {
    "source": {"method": "source"}, "dann": {}, "target": {"method": "target"},
    "coral": {"method": "coral", "lam": 100.0}, "mmd": {"method": "mmd", "lam": 1.0},
    "no schedule": {"schedule": False}, "lambda 10": {"lam": 10.0}, "no dropout": {"dropout": 0.0},
    "batch norm": {"norm": "batch"}, "strong critic": {"hidden": 1000, "domain_lr": 10.0},
    "naive": {"norm": "batch", "at": 2, "dropout": 0.0, "schedule": False},
    "source, skewed": {"method": "source", "shares": (8, 8, 8, 8, 1, 1, 1, 1, 1, 1)},
    "dann, skewed": {"shares": (8, 8, 8, 8, 1, 1, 1, 1, 1, 1)},
    "source, four classes": {"method": "source", "shares": (1, 1, 1, 1, 0, 0, 0, 0, 0, 0)},
    "dann, four classes": {"shares": (1, 1, 1, 1, 0, 0, 0, 0, 0, 0)}}
# the source alone with the normalisation, dropout or patience of what it is held against
CONTROLS = {
    "source, batch norm": lambda config: {"method": "source", "norm": "batch"},
    "source, naive": lambda config: {"method": "source", "norm": "batch", "dropout": 0.0},
    "source, long": lambda config: {"method": "source", "source_steps": config.steps, "plain_lr": config.lr}}


def changed(config: Config, name: str) -> Config:
    """Return config as a variant or a control has it; ValueError for a name that is neither."""
    if name not in VARIANTS and name not in CONTROLS:
        raise ValueError(f"variants must be among {', '.join((*VARIANTS, *CONTROLS))}, got {name!r}")
    return dataclasses.replace(config, **(CONTROLS[name](config) if name in CONTROLS else VARIANTS[name]))


def domains(config: Config, seed: int) -> Domains:
    """Return both domains of config.pair; see `domain_pair`."""
    return domain_pair(config.pair, seed, n_source=config.n_source, n_target=config.n_target, n_held=config.n_held,
                       n_test=config.n_test, shares=config.shares)


def in_words(shares: tuple[float, ...] | None) -> str:
    """Return the name of the data whose target has these shares of the classes."""
    return "domains" if shares is None else f"domains, shares {' '.join(map(str, shares))}"


def data(config: Config, seed: int) -> dict:
    """Return both domains as each variant has them; variants with the same shares of the classes have the same."""
    every = {here.shares: here for here in (changed(config, name) for name in config.variants)}
    return {in_words(shares): domains(here, seed) for shares, here in every.items()}


def network(config: Config, both: Domains, seed: int) -> nn.Sequential:
    """Return a fresh network for both domains, its initial values fixed by seed: for digits, or for bags of words."""
    env.seed_everything(seed)
    if both.x_s.ndim == 2:
        model = models.word_net(both.n_classes, both.x_s.shape[1], dropout=config.dropout)
    else:
        model = models.digit_net(both.n_classes, both.x_s.shape[-1], norm=config.norm, dropout=config.dropout)
    return model.to(both.x_s.device)


def batches(both: Domains, config: Config, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor, float]]:
    """Yield (x_s, y_s, x_t, lambda), once a step. The labels of the target are not among it."""
    place = torch.arange(len(both.x_t), device=both.x_t.device)
    pairs = zip(train.batches(both.x_s, both.y_s, config.batch_size, config.steps, seed),
                train.batches(both.x_t, place, config.batch_size, config.steps, seed + 1000), strict=True)
    for step, ((x, y), (x_t, _)) in enumerate(pairs):
        yield x, y, x_t, config.lam * (domain.grl_schedule(step / config.steps) if config.schedule else 1.0)


def optimiser(config: Config, model: nn.Module, critic: nn.Module | None = None, *, lr: float, steps: int):
    """Return Adam for model and domain classifier, and a schedule: constant, and down to zero in the last quarter."""
    groups = [{"params": model.parameters()}]
    if critic is not None:
        groups.append({"params": critic.parameters(), "lr": config.domain_lr * lr})
    adam = torch.optim.Adam(groups, lr=lr)
    return adam, torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, 4 * (1 - step / steps)))


def trained(both: Domains, config: Config, seed: int) -> tuple[nn.Sequential, nn.Module | None]:
    """Return a network trained by config.method, and its domain classifier if it has one.

    Errors: ValueError for another method.
    """
    model = network(config, both, seed)
    if config.method in ("source", "target"):
        x, y, steps = ((both.x_s, both.y_s, config.source_steps) if config.method == "source" else
                       (both.x_t, both.y_t, config.target_steps))
        adam, schedule = optimiser(config, model, lr=config.plain_lr, steps=steps)
        train.fit(model, train.batches(x, y, config.batch_size, steps, seed), train.classify, adam, scheduler=schedule)
        return model, None
    if config.method == "dann":
        width = train.predict(model[:config.at], both.x_s[:1]).numel()
        critic = domain.DomainClassifier(width, config.hidden).to(both.x_s.device)
        loss = partial(domain.dann_loss, domain=critic, at=config.at)
    elif config.method in ("coral", "mmd"):
        critic, loss = None, partial(domain.distance_loss, distance=getattr(domain, config.method))
    else:
        raise ValueError(f"method must be source, dann, coral, mmd or target, got {config.method!r}")
    adam, schedule = optimiser(config, model, critic, lr=config.lr, steps=config.steps)
    train.fit(model, batches(both, config, seed), loss, adam, scheduler=schedule)
    return model, critic


def reverse_accuracy(model: nn.Sequential, both: Domains, config: Config, seed: int) -> float:
    """Return what `domain.reverse_validation` says of model; config is the recipe for the way back, too."""
    def fit(x, y, x_other):
        back = dataclasses.replace(both, x_s=x, y_s=y, x_t=x_other, y_t=torch.zeros_like(both.y_s))
        return partial(train.predict, trained(back, config, seed)[0])

    return domain.reverse_validation(partial(train.predict, model), fit, x_s=both.x_s, x_t=both.x_t,
                                     x_held=both.x_held, y_held=both.y_held)


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed, for each variant: accuracy on both domains, distances, losses, seconds.

    Errors: ValueError for a name that is no variant and no control.
    """
    parts, rows = data(config, seed), []
    for name in config.variants:
        here = changed(config, name)
        both, start = parts[in_words(here.shares)], time.perf_counter()
        model, critic = trained(both, here, seed)
        found = {"seconds": time.perf_counter() - start, "accuracy": train.evaluate(model, both.x_test, both.y_test),
                 "source_accuracy": train.evaluate(model, both.x_held, both.y_held)}
        n = min(len(both.x_held), len(both.x_test))
        z, z_test = train.features(model, both.x_held[:n]), train.features(model, both.x_test[:n])
        found["proxy_a_distance"] = domain.proxy_a_distance(z.cpu(), z_test.cpu(), seed=seed)
        if critic is not None:
            logits = [train.predict(critic, train.predict(model[:here.at], x[:n]).flatten(1))
                      for x in (both.x_held, both.x_test)]
            found["domain_loss"] = float(domain.domain_loss(*logits))
        if name in config.reverse:
            found["reverse_accuracy"] = reverse_accuracy(model, both, here, seed)
        rows += [row(name, seed, metric, value, pair=here.pair) for metric, value in found.items()]
    return rows


def live() -> Config:
    """Return what chapter 9 runs: LIVE, at scale "full" MNIST -> MNIST-M, on embedded photographs if need be."""
    pair = "mnist_m" if all(path.exists() for path in published_mnist_m()) else "mnist_strips"
    return env.pick(LIVE, dataclasses.replace(MNIST_M, pair=pair))


LIVE = Config(variants=("source", "dann", "target"))
TEXTURED = dataclasses.replace(LIVE, variants=tuple(VARIANTS))
JUDGED = ("source", "dann", "no dropout", "batch norm", "naive")
CHOICE = dataclasses.replace(LIVE, variants=JUDGED, reverse=JUDGED)
HANDWRITING = dataclasses.replace(LIVE, pair="handwriting", variants=("source", "dann", "coral", "mmd", "target"))
MNIST_M = dataclasses.replace(LIVE, pair="mnist_m", n_source=25_000, n_target=25_000, steps=3000, source_steps=500,
                              target_steps=1500, variants=("source", "dann", "naive", "coral", "mmd", "target"))
REVIEWS = dataclasses.replace(LIVE, pair="reviews", n_source=2000, n_target=2000, steps=1500, source_steps=200,
                              target_steps=200, variants=("source", "dann", "coral", "mmd", "target"))
MEANS = "what has the source alone by the same means?"
PRESETS = {"textured": ("Printed digits -> on photographs: what helps, and what fails?", TEXTURED),
           "choice": ("Which variant does reverse validation choose, without a label of the target?", CHOICE),
           "handwriting": ("Printed digits -> handwriting.", HANDWRITING),
           "mnist_m": ("MNIST -> MNIST-M, tested on the published test images.", MNIST_M),
           "reviews": ("Reviews of books -> reviews of kitchen goods.", REVIEWS),
           "textured_controls": (f"Printed digits -> on photographs: {MEANS}",
                                 dataclasses.replace(TEXTURED, variants=tuple(CONTROLS))),
           "handwriting_controls": (f"Printed digits -> handwriting: {MEANS}",
                                    dataclasses.replace(HANDWRITING, variants=("source, long",))),
           "reviews_controls": (f"Reviews of books -> reviews of kitchen goods: {MEANS}",
                                dataclasses.replace(REVIEWS, variants=("source, long",))),
           "mnist_m_controls": (f"MNIST -> MNIST-M: {MEANS}",
                                dataclasses.replace(MNIST_M, variants=("source, naive", "source, long")))}
EXPERIMENT = Experiment(CHAPTER, PRESETS, run, data)

if __name__ == "__main__":
    EXPERIMENT.main()
