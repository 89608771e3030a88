"""CLIP in miniature: pictures and captions, combinations that were never seen together, wordings, and counts."""
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import data, env, models, selfsup, train
from tlutils.data.captions import LETTERS
from tlutils.experiments import record
from tlutils.experiments.prompts import answers, label

CHAPTER = "08_clip_in_miniature"


@dataclass(frozen=True)
class Config:
    """The pictures, what is said about them, and how long two encoders look at both."""

    captions: str = "long"                                        # or "mixed": half of them name only a part
    held: int = 1                                                 # colours held out of each letter's eight
    n_train: int = 12_000
    n_test: int = 2000                                            # of held-out pairs, and as many of the others
    most: int = 1                                                 # copies of the letter in a picture
    told: float = 0.0                                             # share of captions that tell how many
    steps: int = 500
    batch_size: int = 128
    lr: float = 2e-3
    dim: int = 64
    widths: tuple[int, ...] = (16, 24, 32, 32, 48, 64)            # of the six convolutions
    side: int = 24
    methods: tuple[str, ...] = ("CLIP", "two heads", "joint softmax", "128 classes")
    variants: tuple[str, ...] = ("base",)                         # names of VARIANTS


class TextEncoder(nn.Module):
    """Words and their places, transformer blocks, the mean over the words that are there, and a linear layer.

    Shapes: tokens (n, t) from `data.tokenize` -> (n, dim_out).
    """

    def __init__(self, n_words: int, dim_out: int, dim: int = 64, depth: int = 2, length: int = 16):
        super().__init__()
        self.word = nn.Embedding(n_words + 2, dim)                # and two for padding and for unknown words
        self.place = nn.Parameter(0.02 * torch.randn(length, dim))
        self.blocks = nn.Sequential(*[models.TransformerBlock(dim, heads=4) for _ in range(depth)])
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, dim_out)

    def forward(self, tokens: Tensor) -> Tensor:
        z = self.norm(self.blocks(self.word(tokens) + self.place))        # (n, t, dim)
        there = (tokens > 0)[..., None]
        return self.out((z * there).sum(1) / there.sum(1))                # (n, dim_out)


class Pair(nn.Module):
    """Image encoder, text encoder, and the learned scale of their similarities; the words it knows."""

    def __init__(self, config: Config, words: list[str]):
        super().__init__()
        self.words, self.length = words, 16
        self.image = models.conv8(config.dim, channels=3, side=config.side, widths=config.widths)
        self.text = TextEncoder(len(words), config.dim)
        self.scale = selfsup.LogitScale()

    def tokens(self, texts: list[str]) -> Tensor:
        """Return texts as tokens on the device of the model."""
        return torch.from_numpy(data.tokenize(texts, self.words, self.length)).to(self.scale.t.device)


def pictures(config: Config, seed: int) -> dict[str, tuple[Tensor, dict[str, np.ndarray]]]:
    """Return the splits train, seen and held: images as network input, and attributes.

    Convention: "seen" are new pictures of the pairs that occur in training, "held" pictures of the pairs that do not.
    """
    held = data.held_out_pairs(config.held, seed)
    plan = {"train": (config.n_train, ~held, seed), "seen": (config.n_test, ~held, 1000 + seed),
            "held": (config.n_test, held, 2000 + seed)}
    drawn = {name: data.letter_pictures(n, s, pairs=pairs, most=config.most, side=config.side)
             for name, (n, pairs, s) in plan.items()}
    return {name: (data.to_tensor(images, env.device()), attributes) for name, (images, attributes) in drawn.items()}


def pair(config: Config, seed: int) -> Pair:
    """Return two untrained encoders that know every word of the captions, and no other."""
    _, attributes = data.letter_pictures(4000, seed, most=config.most)
    texts = data.captions(attributes, seed, style=config.captions, told=config.told)
    env.seed_everything(seed)
    return Pair(config, data.vocabulary(texts, least=1)).to(env.device())


def batches(model: Pair, x: Tensor, attributes: dict[str, np.ndarray], config: Config,
            seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (images, tokens of their captions), once a step; the captions are new each time."""
    place = torch.arange(len(x), device=x.device)
    for step, (images, index) in enumerate(train.batches(x, place, config.batch_size, config.steps, seed)):
        chosen = {name: values[index.cpu().numpy()] for name, values in attributes.items()}
        texts = data.captions(chosen, seed * 1_000_003 + step, style=config.captions, told=config.told)
        yield images, model.tokens(texts)


def loss(model: Pair, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the loss of CLIP for a batch of images and tokens."""
    images, tokens = batch
    return selfsup.clip_loss(F.normalize(model.image(images)), F.normalize(model.text(tokens)), model.scale())


def trained(x: Tensor, attributes: dict[str, np.ndarray], config: Config, seed: int) -> tuple[Pair, list[float]]:
    """Return two encoders trained on pictures and captions, and the loss of every step."""
    model = pair(config, seed)
    optimizer, scheduler = train.adamw(model.parameters(), config.lr, config.steps)
    return model, train.fit(model, batches(model, x, attributes, config, seed), loss, optimizer, scheduler=scheduler)


def supervised(x: Tensor, attributes: dict[str, np.ndarray], config: Config, seed: int, method: str) -> nn.Sequential:
    """Return the image encoder trained on labels of letter and colour, in one of three ways.

    Convention: "128 classes" has a score for each pair. "two heads" has 16 scores for letters and 8 for colours, and
        the sum of two cross-entropies. "joint softmax" has the same 24; a pair scores the sum of its two, and the
        softmax runs over the pairs that occur in training.
    Errors: ValueError for another method.
    """
    k, y = len(LETTERS), torch.from_numpy(label(attributes, "pair")).to(x.device)
    missing = torch.bincount(y, minlength=8 * k) == 0

    def two_heads(model, batch):
        scores = model(batch[0])
        return F.cross_entropy(scores[:, :k], batch[1] // 8) + F.cross_entropy(scores[:, k:], batch[1] % 8)

    def joint(model, batch):
        scores = model(batch[0])
        pairs = (scores[:, :k, None] + scores[:, None, k:]).flatten(1)    # (n, 128)
        return F.cross_entropy(pairs.masked_fill(missing, -torch.inf), batch[1])

    losses = {"two heads": two_heads, "joint softmax": joint, "128 classes": train.classify}
    if method not in losses:
        raise ValueError(f"method must be CLIP or one of {', '.join(losses)}, got {method!r}")
    env.seed_everything(seed)
    outputs = 8 * k if method == "128 classes" else k + 8
    model = models.conv8(outputs, channels=3, side=config.side, widths=config.widths).to(x.device)
    optimizer, scheduler = train.adamw(model.parameters(), config.lr, config.steps)
    batches = train.batches(x, y, config.batch_size, config.steps, seed)
    train.fit(model, batches, losses[method], optimizer, scheduler=scheduler)
    return model


def judged(model: nn.Sequential, x: Tensor, attributes: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the accuracy of a supervised network for letter, colour and pair, whichever heads it has."""
    scores, k = train.predict(model, x).cpu(), len(LETTERS)
    if scores.shape[1] == 8 * k:
        best = scores.argmax(1).numpy()
        guess = {"letter": best // 8, "colour": best % 8, "pair": best}
    else:
        letter, colour = scores[:, :k].argmax(1).numpy(), scores[:, k:].argmax(1).numpy()
        guess = {"letter": letter, "colour": colour, "pair": 8 * letter + colour}
    return {name: float((found == label(attributes, name)).mean()) for name, found in guess.items()}


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed, by variant: accuracies on seen and held-out pairs, loss, temperature, seconds."""
    rows = []
    for variant in config.variants:
        here = dataclasses.replace(config, **VARIANTS[variant])
        splits = pictures(here, seed)
        for method in here.methods:
            start, keys = time.perf_counter(), {"method": method, "variant": variant, "seed": seed}
            if method == "CLIP":
                model, losses = trained(*splits["train"], here, seed)
                rows += [_row(keys, "loss", np.mean(losses[-25:]), "nats"),
                         _row(keys, "temperature", 1 / model.scale().item(), "1")]
            else:
                model = supervised(*splits["train"], here, seed, method)
            rows.append(_row(keys, "seconds", time.perf_counter() - start, "s"))
            for split in ("seen", "held"):
                found = answers(model, *splits[split], here.most) if method == "CLIP" else judged(model, *splits[split])
                rows += [_row(keys | {"split": split}, metric, value, "fraction") for metric, value in found.items()]
    return rows


def _row(keys: dict, metric: str, value: float, unit: str) -> dict:
    return {**keys, "metric": metric, "value": round(float(value), 5), "unit": unit}


def describe(config: Config) -> dict:
    """Name the data of a run, with the SHA-256 of the first seed's training pictures in its first variant."""
    from tlutils.results import sha256
    x, _ = pictures(dataclasses.replace(config, **VARIANTS[config.variants[0]]), 0)["train"]
    return {"name": "letters in colours, with captions", "n_train": config.n_train, "n_test": config.n_test,
            "sha256": sha256(x.cpu().numpy())}


def at_scale(config: Config) -> Config:
    """Return config itself, or at scale "full" the same world with more and larger pictures and wider, longer nets."""
    return dataclasses.replace(config, **FULL) if env.scale() == "full" else config


VARIANTS = {"base": {},
            "half held out": {"held": 4, "methods": ("CLIP", "two heads", "joint softmax")},
            "count always told": {"most": 3, "told": 1.0, "methods": ("CLIP",)},
            "count rarely told": {"most": 3, "told": 0.05, "methods": ("CLIP",)}}
FULL = {"n_train": 60_000, "n_test": 10_000, "steps": 4000, "batch_size": 512, "side": 32, "dim": 128,
        "widths": (64, 96, 128, 128, 192, 256)}
LAPTOP = Config()
PRESETS = {"unseen_pairs": ("Are letters in colours that were never seen together found by their words?", LAPTOP),
           "half_held_out": ("What if half of all pairs are missing?",
                             dataclasses.replace(LAPTOP, variants=("half held out",))),
           "counting": ("How often is a letter drawn: told in every caption, or in one of twenty?",
                        dataclasses.replace(LAPTOP, variants=("count always told", "count rarely told")))}

if __name__ == "__main__":
    record.main("tlutils.experiments.clip", CHAPTER, PRESETS, run, describe)
