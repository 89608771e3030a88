"""Cloze on reviews: hide a word, predict it from its neighbours; do the word vectors help where labels are few?"""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tlutils import data as datasets
from tlutils import env, probes, selfsup, train
from tlutils.experiments.experiment import Experiment
from tlutils.results import row

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


def data(config: Config, seed: int) -> dict:
    """Return the reviews of one seed: a pool without labels and its words, labelled books, both products to test on.

    Convention: pool and words are lists, the others pairs (texts, labels). The words come from the pool alone.
    """
    def draw(product, n, part):
        return datasets.reviews(product, n, seed=10 * seed + part, shared=config.shared)

    pool = draw("books", config.n_pool // 2, 0)[0] + draw("kitchen", config.n_pool // 2, 1)[0]
    labelled = draw("books", 4 * max(config.labels), 2)
    tests = {product: draw(product, config.n_test, 3 + k) for k, product in enumerate(PRODUCTS)}
    return {"pool": pool, "words": datasets.vocabulary(pool), "labelled": labelled} | tests


def numbers(texts: Sequence[str], words: Sequence[str]) -> Tensor:
    """Return texts as numbers of words on the device of the book."""
    return torch.from_numpy(datasets.numbered(texts, words)).to(env.device())


def trained(pool: Sequence[str], words: Sequence[str], config: Config, seed: int, window: int):
    """Return a network that fills in hidden words of the pool, and its losses; no label is read."""
    env.seed_everything(seed)
    model = selfsup.FillIn(len(words), config.dim, window).to(env.device())
    tokens, draw = numbers(pool, words), torch.Generator().manual_seed(seed)

    def loss(net, batch):
        rows, lengths = batch
        place = (torch.rand(len(rows), generator=draw).to(rows.device) * lengths).long()       # anywhere in the review
        return F.cross_entropy(net(rows, place), rows.gather(1, place[:, None])[:, 0])

    return model, train.train(model, tokens, (tokens > 0).sum(1), lr=config.lr, steps=config.steps,
                              batch_size=config.batch_size, seed=seed, loss=loss)


@torch.no_grad()
def features(model: selfsup.FillIn, texts: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """Return the mean word vector of each text, (n, dim)."""
    return selfsup.mean_vector(model.vectors, numbers(texts, words)).cpu().numpy()


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: losses of the fillers-in, accuracy of probes by features, product and labels."""
    parts, rows = data(config, seed), []
    words, (books, content) = parts["words"], parts["labelled"]
    readers = {"bag of words": lambda texts: datasets.bag_of_words(texts, words)}
    for name, window in WINDOWS.items():
        model, losses = trained(parts["pool"], words, config, seed, window)
        rows.append(row(name, seed, "loss", np.mean(losses[-100:]), "nats"))
        readers[name] = lambda texts, model=model: features(model, texts, words)
    env.seed_everything(seed)
    untrained = selfsup.FillIn(len(words), config.dim, 1).to(env.device())
    readers["random"] = lambda texts: features(untrained, texts, words)
    for n in config.labels:
        keep = datasets.subset_per_class(content, n // 2, seed)
        for name, reader in readers.items():
            z = reader([books[i] for i in keep])
            for product in PRODUCTS:
                texts, answers = parts[product]
                found = probes.linear_probe(z, content[keep], reader(texts), answers, seed=seed)
                rows.append(row(name, seed, "accuracy", found["accuracy"], target=product, labels=n))
    return rows


LAPTOP = Config()
PRESETS = {"cloze": ("Do vectors of words that were learned by filling in help a probe with few labels?", LAPTOP)}
EXPERIMENT = Experiment(CHAPTER, PRESETS, run, data)

if __name__ == "__main__":
    EXPERIMENT.main()
