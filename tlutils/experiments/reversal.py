"""Labels in one domain, none in the other: source alone, gradient reversal, its rivals, and the ways it fails."""
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import data, domain, env, train
from tlutils.experiments import record

CHAPTER = "09_gradient_reversal"


@dataclass(frozen=True)
class Config:
    """A pair of domains, a network, a method; the defaults are the recipe that works."""

    pair: str = "textured"                   # printed digits -> photographs; or the name of another pair of domains
    variants: tuple[str, ...] = ()           # names in VARIANTS, each a change of this config
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


@dataclass(frozen=True)
class Domains:
    """Both domains as network inputs. y_t is for the method "target" alone, and y_test for the last look."""

    x_s: Tensor
    y_s: Tensor
    x_held: Tensor
    y_held: Tensor
    x_t: Tensor
    y_t: Tensor
    x_test: Tensor
    y_test: Tensor
    n_classes: int


def domains(config: Config, seed: int) -> Domains:
    """Return the images (or bags of words) of both domains, less the mean of all that may be seen in training.

    Errors: ValueError for another pair; FileNotFoundError that names what mnist_m needs.
    """
    makers = {"textured": textured, "handwriting": handwriting, "reviews": two_products,
              "mnist_m": real_mnist_m, "mnist_strips": mnist_strips}
    if config.pair not in makers:
        raise ValueError(f"pair must be one of {', '.join(makers)}, got {config.pair!r}")
    (x, y), (x_t, y_t), (x_test, y_test) = makers[config.pair](config, seed)
    middle = 0.5 * (x.mean(0) + x_t.mean(0))
    if x.ndim == 4:
        middle = middle.mean((1, 2), keepdim=True)
    x, x_t, x_test, n = x - middle, x_t - middle, x_test - middle, config.n_source
    y, y_t, y_test = (torch.as_tensor(labels, device=x.device) for labels in (y, y_t, y_test))
    return Domains(x[:n], y[:n], x[n:], y[n:], x_t, y_t, x_test, y_test, n_classes=int(y.max()) + 1)


def textured(config: Config, seed: int):
    """Return printed digits, and printed digits on photographs to learn from and to test on, each (x, y)."""
    (digits, y), target, test = (data.rendered_digits(n, 10 * seed + k) for k, n in enumerate(
        (config.n_source + config.n_held, config.n_target, config.n_test)))
    parts = [(digits, y)]
    for k, split, (images, labels) in ((3, "train", target), (4, "test", test)):
        images, labels = drawn(images, labels, config.shares, 10 * seed + k)
        parts.append((data.mnist_m(images, data.photo_strips(split), 10 * seed + k), labels))
    return [(in_colour(images), labels) for images, labels in parts]


def handwriting(config: Config, seed: int):
    """Return printed digits, and scikit-learn's handwritten ones, each (x, y)."""
    digits, y = data.rendered_digits(config.n_source + config.n_held, 10 * seed)
    real = data.load("digits")
    return [(in_colour(digits), y), (in_colour(real.train_images), real.train_labels),
            (in_colour(real.test_images), real.test_labels)]


def published_mnist_m() -> tuple[Path, Path]:
    """Return where the photographs of BSDS500 and the published test images of MNIST-M are looked for."""
    return data.data_root() / "BSDS500" / "images" / "train", data.data_root() / "mnist_m_test.npz"


def real_mnist_m(config: Config, seed: int):
    """Return MNIST, other MNIST digits on patches of BSDS500, and the published test images of MNIST-M, cut to 28."""
    folder, published = published_mnist_m()
    if not folder.is_dir() or not published.is_file():
        raise FileNotFoundError(f"mnist_m needs the photographs of BSDS500 in {folder} and test images in {published}")
    from PIL import Image
    photos = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(folder.glob("*.jpg"))]
    with np.load(published) as test:
        images, labels = test["images"][:, 2:30, 2:30], test["labels"]
    return *mnist_halves(config, seed, photos), (in_colour(images), labels)


def mnist_strips(config: Config, seed: int):
    """Return MNIST, other MNIST digits on strips of the two embedded photographs, and test digits on other strips."""
    mnist = data.load("mnist", download=True)
    mixed = data.mnist_m(mnist.test_images, data.photo_strips("test"), seed)
    return *mnist_halves(config, seed, data.photo_strips("train")), (in_colour(mixed), mnist.test_labels)


def mnist_halves(config: Config, seed: int, photos: list[np.ndarray]):
    """Return training digits of MNIST, and others of them on patches of photos, each (x, y)."""
    mnist = data.load("mnist", download=True)
    order, n = np.random.default_rng(seed).permutation(len(mnist.train_images)), config.n_source + config.n_held
    own, other = order[:n], order[n:n + config.n_target]
    images, labels = data.mnist_m(mnist.train_images[other], photos, seed), mnist.train_labels
    return [(in_colour(mnist.train_images[own]), labels[own]), (in_colour(images), labels[other])]


def two_products(config: Config, seed: int):
    """Return reviews of books, and of kitchen goods, as bags of the words that occur in either, each (x, y)."""
    sizes = (("books", config.n_source + config.n_held), ("kitchen", config.n_target), ("kitchen", config.n_test))
    parts = [data.reviews(product, n, 10 * seed + k) for k, (product, n) in enumerate(sizes)]
    words = data.vocabulary(parts[0][0] + parts[1][0])
    return [(torch.from_numpy(data.bag_of_words(texts, words)).to(env.device()), labels) for texts, labels in parts]


def drawn(images: np.ndarray, labels: np.ndarray, shares: tuple[float, ...] | None, seed: int):
    """Return as many images, drawn with replacement so that class c has the share shares[c]; None: as they came."""
    if shares is None:
        return images, labels
    weight = np.asarray(shares, float)[labels] / np.bincount(labels, minlength=len(shares))[labels]
    chosen = np.random.default_rng(seed).choice(len(labels), len(labels), p=weight / weight.sum())
    return images[chosen], labels[chosen]


def in_colour(images: np.ndarray) -> Tensor:
    """Return images as a network input of three channels on the device of the book."""
    return data.to_tensor(images if images.ndim == 4 else np.repeat(images[..., None], 3, -1), env.device())


def network(config: Config, both: Domains, seed: int) -> nn.Sequential:
    """Return two blocks of convolutions, 100 features and a head; for bags of words 50 features and a head."""
    env.seed_everything(seed)
    if both.x_s.ndim == 2:
        body = nn.Sequential(nn.Linear(both.x_s.shape[1], 50), nn.ReLU(), nn.Dropout(config.dropout))
        return nn.Sequential(body, nn.Linear(50, both.n_classes)).to(both.x_s.device)

    def block(c_in, c_out):
        norm = nn.InstanceNorm2d(c_out, affine=True) if config.norm == "instance" else nn.BatchNorm2d(c_out)
        return nn.Sequential(nn.Conv2d(c_in, c_out, 5), norm, nn.ReLU(), nn.MaxPool2d(2))

    side = ((both.x_s.shape[-1] - 4) // 2 - 4) // 2
    dense = nn.Sequential(nn.Flatten(), nn.Dropout(config.dropout), nn.Linear(32 * side**2, 100), nn.ReLU())
    return nn.Sequential(block(3, 16), block(16, 32), dense, nn.Linear(100, both.n_classes)).to(both.x_s.device)


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


def distance_loss(model: nn.Sequential, batch: tuple[Tensor, Tensor, Tensor, float], distance) -> Tensor:
    """Return the loss of one step of CORAL or MMD: labels of the source, and lambda times the domains' distance."""
    x_s, y_s, x_t, lam = batch
    z = model[:-1](torch.cat([x_s, x_t]))
    z_s, z_t = z[: len(x_s)], z[len(x_s):]
    return F.cross_entropy(model[-1](z_s), y_s) + lam * distance(z_s, z_t)


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
        critic, loss = None, partial(distance_loss, distance=getattr(domain, config.method))
    else:
        raise ValueError(f"method must be source, dann, coral, mmd or target, got {config.method!r}")
    adam, schedule = optimiser(config, model, critic, lr=config.lr, steps=config.steps)
    train.fit(model, batches(both, config, seed), loss, adam, scheduler=schedule)
    return model, critic


def reverse_accuracy(model: nn.Sequential, both: Domains, config: Config, seed: int) -> float:
    """Return the accuracy on held-out source data after the way there and back: no label of the target is needed.

    Convention: model labels the target; config trains a new network from there to the source without its labels
        (Ganin et al. 2016, section 5.1.2, after Zhong et al. 2010), which is judged on x_held, y_held.
    """
    guess = train.predict(model, both.x_t).argmax(1)
    back = dataclasses.replace(both, x_s=both.x_t, y_s=guess, x_t=both.x_s, y_t=torch.zeros_like(both.y_s))
    returned, _ = trained(back, config, seed)
    return train.evaluate(returned, both.x_held, both.y_held)


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed, for each variant: accuracy on both domains, distances, losses, seconds."""
    rows: list[dict] = []
    for name in config.variants:
        here = dataclasses.replace(config, **VARIANTS[name])
        both, start = domains(here, seed), time.perf_counter()
        model, critic = trained(both, here, seed)
        found = {"seconds": time.perf_counter() - start, "target": train.evaluate(model, both.x_test, both.y_test),
                 "source": train.evaluate(model, both.x_held, both.y_held)}
        n = min(len(both.x_held), len(both.x_test))
        z, z_test = train.features(model, both.x_held[:n]), train.features(model, both.x_test[:n])
        found["proxy A"] = domain.proxy_a_distance(z.cpu(), z_test.cpu(), seed=seed)
        if critic is not None:
            logits = [train.predict(critic, train.predict(model[:here.at], x[:n]).flatten(1))
                      for x in (both.x_held, both.x_test)]
            found["domain loss"] = float(domain.domain_loss(*logits))
        if name in config.reverse:
            found["reverse"] = reverse_accuracy(model, both, here, seed)
        rows += [{"method": name, "seed": seed, "pair": here.pair, "metric": metric, "value": round(float(value), 5),
                  "unit": {"seconds": "s", "domain loss": "nats", "proxy A": "0 to 2"}.get(metric, "fraction")}
                 for metric, value in found.items()]
    return rows


def describe(config: Config) -> dict:
    """Name the data of a run, with the SHA-256 of the first seed's domains."""
    from tlutils.results import sha256
    both = domains(config, 0)
    return {"name": config.pair, "n_source": len(both.x_s), "n_target": len(both.x_t), "n_test": len(both.x_test),
            "sha256": sha256(both.x_s.cpu().numpy(), both.x_t.cpu().numpy(), both.x_test.cpu().numpy())}


def live() -> Config:
    """Return what chapter 9 runs: LIVE, at scale "full" MNIST -> MNIST-M, on embedded photographs if need be."""
    pair = "mnist_m" if all(path.exists() for path in published_mnist_m()) else "mnist_strips"
    return dataclasses.replace(MNIST_M, pair=pair) if env.scale() == "full" else LIVE


LIVE = Config(variants=("source", "dann", "target"))
TEXTURED = dataclasses.replace(LIVE, variants=tuple(VARIANTS))
JUDGED = ("source", "dann", "no dropout", "batch norm", "naive")
CHOICE = dataclasses.replace(LIVE, variants=JUDGED, reverse=JUDGED)
HANDWRITING = dataclasses.replace(LIVE, pair="handwriting", variants=("source", "dann", "coral", "mmd", "target"))
MNIST_M = dataclasses.replace(LIVE, pair="mnist_m", n_source=25_000, n_target=25_000, steps=3000, source_steps=500,
                              target_steps=1500, variants=("source", "dann", "naive", "coral", "mmd", "target"))
REVIEWS = dataclasses.replace(LIVE, pair="reviews", n_source=2000, n_target=2000, steps=1500, source_steps=200,
                              target_steps=200, variants=("source", "dann", "coral", "mmd", "target"))
PRESETS = {"textured": ("Printed digits -> on photographs: what helps, and what fails?", TEXTURED),
           "choice": ("Which variant does reverse validation choose, without a label of the target?", CHOICE),
           "handwriting": ("Printed digits -> handwriting.", HANDWRITING),
           "mnist_m": ("MNIST -> MNIST-M, tested on the published test images.", MNIST_M),
           "reviews": ("Reviews of books -> reviews of kitchen goods.", REVIEWS)}

if __name__ == "__main__":
    record.main("tlutils.experiments.reversal", CHAPTER, PRESETS, run, describe)
