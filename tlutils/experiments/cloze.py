"""Cloze on reviews: hide a word, predict it from its neighbours; do the word vectors help where labels are few?"""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import data, env, selfsup, train
from tlutils.experiments import record

CHAPTER, PRODUCTS = "06_filling_in_and_pretexts", ("books", "kitchen")
WINDOWS = {"narrow": 3, "wide": 100}                              # neighbours on each side that the network may read


@dataclass(frozen=True)
class Config:
    """The reviews, the small network, and how its word vectors are judged."""

    n_pool: int = 8000                                            # reviews without labels, half of each product
    n_test: int = 2000
    labels: tuple[int, ...] = (10, 20, 50, 200)                   # labelled reviews of books in all
    shared: float = 0.35                                          # as in tlutils.data.reviews
    dim: int = 32                                                 # width of a word vector
    steps: int = 1500
    batch_size: int = 256
    lr: float = 1e-2


class FillIn(nn.Module):
    """Score every word for one hidden place: a linear map of the mean vector of the visible neighbours.

    Shapes: tokens (n, length) int64, 0 where a review has ended; place (n,) -> scores (n, n_words + 1).
    Convention: row 0 of the vectors stays zero; neighbours further away than window are not read.
    """

    def __init__(self, n_words: int, dim: int, window: int):
        super().__init__()
        self.vectors, self.out = nn.Embedding(n_words + 1, dim, padding_idx=0), nn.Linear(dim, n_words + 1)
        self.window = window

    def forward(self, tokens: Tensor, place: Tensor) -> Tensor:
        away = (torch.arange(tokens.shape[1], device=tokens.device) - place[:, None]).abs()      # (n, length)
        return self.out(mean_vector(self.vectors, tokens, (away > 0) & (away <= self.window)))


def mean_vector(vectors: nn.Embedding, tokens: Tensor, visible: Tensor | bool = True) -> Tensor:
    """Return the mean vector of each row's visible words, (n, dim); of no words it is zero."""
    visible = ((tokens > 0) & visible).float()[..., None]                                      # (n, length, 1)
    return (vectors(tokens) * visible).sum(1) / visible.sum(1).clamp(min=1)


def numbered(texts: Sequence[str], words: Sequence[str], length: int | None = None) -> Tensor:
    """Return texts as numbers of words, int64 (n, length): 1 is the first of `words`, 0 fills up; others are left out.

    Errors: ValueError if a text has more known words than length.
    """
    number = {word: k for k, word in enumerate(words, start=1)}
    rows = [[number[w] for w in text.lower().replace(".", " ").split() if w in number] for text in texts]
    longest = max(map(len, rows))
    if length is not None and longest > length:
        raise ValueError(f"length must be at least {longest}, got {length}")
    return torch.tensor([row + [0] * ((length or longest) - len(row)) for row in rows])


@dataclass(frozen=True)
class Material:
    """Reviews of one seed as texts: a pool without labels, labelled books, and both products to be tested on."""

    pool: list[str]
    words: list[str]
    texts: list[str]
    labels: np.ndarray
    test: dict[str, tuple[list[str], np.ndarray]]


def material(config: Config, seed: int) -> Material:
    """Draw the reviews of one seed. The words come from the pool alone."""
    def draw(product, n, part):
        return data.reviews(product, n, seed=10 * seed + part, shared=config.shared)

    pool = draw("books", config.n_pool // 2, 0)[0] + draw("kitchen", config.n_pool // 2, 1)[0]
    texts, labels = draw("books", 4 * max(config.labels), 2)
    test = {product: draw(product, config.n_test, 3 + k) for k, product in enumerate(PRODUCTS)}
    return Material(pool, data.vocabulary(pool), texts, labels, test)


def trained(pool: Sequence[str], words: Sequence[str], config: Config, seed: int, window: int):
    """Return a network that fills in hidden words of the pool, and its losses; no label is read.

    Errors: ValueError for a window below 1.
    """
    if window < 1:
        raise ValueError(f"window must be >= 1, got {window}")
    env.seed_everything(seed)
    model = FillIn(len(words), config.dim, window).to(env.device())
    tokens = numbered(pool, words).to(env.device())
    draw = torch.Generator().manual_seed(seed)

    def loss_fn(net, batch):
        rows, lengths = batch
        place = (torch.rand(len(rows), generator=draw).to(rows.device) * lengths).long()       # anywhere in the review
        return F.cross_entropy(net(rows, place), rows.gather(1, place[:, None])[:, 0])

    adam, schedule = train.adamw(model.parameters(), config.lr, config.steps)
    batches = train.batches(tokens, (tokens > 0).sum(1), config.batch_size, config.steps, seed)
    return model, train.fit(model, batches, loss_fn, adam, scheduler=schedule)


def features(model: FillIn, texts: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """Return the mean word vector of each text, (n, dim)."""
    with torch.no_grad():
        return mean_vector(model.vectors, numbered(texts, words).to(env.device())).cpu().numpy()


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: losses of the fillers-in, accuracy of probes by features, product and labels."""
    here, rows = material(config, seed), []
    readers = {"bag of words": lambda texts: data.bag_of_words(texts, here.words)}
    for name, window in WINDOWS.items():
        model, losses = trained(here.pool, here.words, config, seed, window)
        rows.append(_row(name, seed, "loss", float(np.mean(losses[-100:])), "nats"))
        readers[name] = lambda texts, model=model: features(model, texts, here.words)
    env.seed_everything(seed)
    untrained = FillIn(len(here.words), config.dim, 1).to(env.device())
    readers["random"] = lambda texts: features(untrained, texts, here.words)
    for n in config.labels:
        keep = data.subset_per_class(here.labels, n // 2, seed)
        for name, reader in readers.items():
            z = reader([here.texts[i] for i in keep])
            for product, (texts, labels) in here.test.items():
                found = selfsup.linear_probe(z, here.labels[keep], reader(texts), labels, seed=seed)
                rows.append(_row(name, seed, f"accuracy, {product}", found["accuracy"], "fraction", labels=n))
    return rows


def describe(config: Config) -> dict:
    """Name the data of a run, with the SHA-256 of the first seed's pool."""
    from tlutils.results import sha256
    return {"name": "made-up reviews", "n_pool": config.n_pool, "n_test": config.n_test,
            "sha256": sha256(np.array(material(config, 0).pool))}


def _row(method: str, seed: int, metric: str, value: float, unit: str, **keys) -> dict:
    return {"method": method, "seed": seed, **keys, "metric": metric, "value": round(value, 5), "unit": unit}


LAPTOP = Config()
PRESETS = {"cloze": ("Do vectors of words that were learned by filling in help a probe with few labels?", LAPTOP)}

if __name__ == "__main__":
    record.main("tlutils.experiments.cloze", CHAPTER, PRESETS, run, describe)
