"""CLIP in miniature: pictures and captions, combinations that were never seen together, wordings, and counts."""
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import data as datasets
from tlutils import env, models, selfsup, train
from tlutils.data import prompts
from tlutils.data.captions import LETTERS, TIMES, WORDS
from tlutils.experiments.experiment import Experiment
from tlutils.results import row

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


VARIANTS = {"base": {},
            "half held out": {"held": 4, "methods": ("CLIP", "two heads", "joint softmax")},
            "count always told": {"most": 3, "told": 1.0, "methods": ("CLIP",)},
            "count rarely told": {"most": 3, "told": 0.05, "methods": ("CLIP",)}}


def pictures(config: Config, seed: int) -> dict[str, tuple[Tensor, dict[str, np.ndarray]]]:
    """Return the splits train, seen and held: images as network input, and attributes.

    Convention: "seen" are new pictures of the pairs that occur in training, "held" pictures of the pairs that do not.
    """
    held = datasets.held_out_pairs(config.held, seed)
    plan = {"train": (config.n_train, ~held, seed), "seen": (config.n_test, ~held, 1000 + seed),
            "held": (config.n_test, held, 2000 + seed)}
    drawn = {name: datasets.letter_pictures(n, s, pairs=pairs, most=config.most, side=config.side)
             for name, (n, pairs, s) in plan.items()}
    return {name: (datasets.to_tensor(images, env.device()), attributes)
            for name, (images, attributes) in drawn.items()}


def data(config: Config, seed: int) -> dict:
    """Return the splits of every variant; captions are drawn from the attributes in training, anew at every step."""
    return {f"{variant}, {split}": part for variant in config.variants
            for split, part in pictures(dataclasses.replace(config, **VARIANTS[variant]), seed).items()}


def pair(config: Config, seed: int) -> models.Pair:
    """Return two untrained encoders that know every word of the captions, and no other."""
    _, attributes = datasets.letter_pictures(4000, seed, most=config.most)
    texts = datasets.captions(attributes, seed, style=config.captions, told=config.told)
    words = datasets.vocabulary(texts, least=1)
    env.seed_everything(seed)
    image = models.conv8(config.dim, channels=3, side=config.side, widths=config.widths)
    text = models.TextEncoder(len(words), config.dim)
    return models.Pair(image, text, words, datasets.tokenize).to(env.device())


def batches(model: models.Pair, x: Tensor, attributes: dict[str, np.ndarray], config: Config,
            seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (images, tokens of their captions), once a step; the captions are new each time."""
    place = torch.arange(len(x), device=x.device)
    for step, (images, index) in enumerate(train.batches(x, place, config.batch_size, config.steps, seed)):
        chosen = {name: values[index.cpu().numpy()] for name, values in attributes.items()}
        texts = datasets.captions(chosen, seed * 1_000_003 + step, style=config.captions, told=config.told)
        yield images, model.tokens(texts)


def loss(model: models.Pair, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the loss of CLIP for a batch of images and tokens."""
    images, tokens = batch
    return selfsup.clip_loss(F.normalize(model.image(images)), F.normalize(model.text(tokens)), model.scale())


def trained(x: Tensor, attributes: dict[str, np.ndarray], config: Config, seed: int) -> tuple[models.Pair, list[float]]:
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
    k, y = len(LETTERS), torch.from_numpy(prompts.label(attributes, "pair")).to(x.device)
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
    train.train(model, x, y, lr=config.lr, steps=config.steps, batch_size=config.batch_size, seed=seed,
                loss=losses[method])
    return model


def evaluate_labelled(model: nn.Sequential, x: Tensor, attributes: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the accuracy of a supervised network for letter, colour and pair, whichever heads it has."""
    scores, k = train.predict(model, x).cpu(), len(LETTERS)
    if scores.shape[1] == 8 * k:
        best = scores.argmax(1).numpy()
        guess = {"letter": best // 8, "colour": best % 8, "pair": best}
    else:
        letter, colour = scores[:, :k].argmax(1).numpy(), scores[:, k:].argmax(1).numpy()
        guess = {"letter": letter, "colour": colour, "pair": 8 * letter + colour}
    return {name: float((found == prompts.label(attributes, name)).mean()) for name, found in guess.items()}


def text_encoder(model: models.Pair) -> Callable[[list[str]], Tensor]:
    """Return how a trained pair of encoders turns texts into features, as `selfsup.zero_shot` asks for it."""
    return lambda texts: train.predict(model.text, model.tokens(texts))


def questions() -> dict[str, tuple[str, list[list[str]]]]:
    """Return what is asked of every pair of encoders: name -> (attribute, prompts of each class)."""
    filled, full = prompts.filled, prompts.FULL
    short = [[text.format(letter=letter) for text in prompts.SHORT] for letter in prompts.NAMES["letter"]]
    asked = {"letter, bare": ("letter", filled("{letter}", "letter")),
             "letter, short": ("letter", filled("the letter {letter}", "letter")),
             "letter, ensemble of short": ("letter", short),
             "letter, ensemble": ("letter", filled(full, "letter")),
             "pair, short": ("pair", filled("a {colour} letter {letter}", "pair")),
             "pair, ensemble": ("pair", filled(full, "pair"))}
    asked |= {f"{name}, ensemble": (name, filled(full, name)) for name in ("colour", "ground", "size")}
    for which, word in ((1, "synonym"), (-1, "unknown word")):
        asked[f"colour, {word}"] = ("colour", [[words[which]] for words in WORDS["colour"]])
    return asked | {"colour, bare": ("colour", filled("{colour}", "colour"))}


def evaluate_prompts(model: models.Pair, x: Tensor, attributes: dict[str, np.ndarray],
                     most: int = 1) -> dict[str, float]:
    """Return the accuracy of every question, and of single prompts their mean, lowest and highest."""
    z, encode = F.normalize(train.predict(model.image, x)), text_encoder(model)

    def accuracy(attribute, texts):
        return float((selfsup.zero_shot(encode, z, texts) == prompts.label(attributes, attribute)).mean())

    def one_by_one(template, attribute):
        return [accuracy(attribute, texts) for texts in selfsup.each_alone(prompts.filled(template, attribute))]

    found = {name: accuracy(*asked) for name, asked in questions().items()}
    for name, template in (("full", prompts.FULL), ("salad", prompts.SALAD)):
        alone = one_by_one(template, "letter")
        found |= {f"letter, {name} {how}": float(f(alone))
                  for how, f in (("mean", np.mean), ("lowest", np.min), ("highest", np.max))}
    alone = one_by_one(prompts.FULL, "pair")
    found |= {"pair, full mean": float(np.mean(alone)), "pair, full highest": float(np.max(alone))}
    found |= evaluate_new_words(encode, z, attributes)
    if most > 1:
        letters = list(itertools.chain(*prompts.filled(prompts.FULL, "letter")))
        found["count, ensemble"] = accuracy("count", [[f"{text} drawn {times}" for text in letters]
                                                      for times in TIMES[:most]])
    return found


def evaluate_new_words(encode: Callable[[list[str]], Tensor], z: Tensor,
                       attributes: dict[str, np.ndarray]) -> dict[str, float]:
    """Return how many pictures of a colour are found by its main word, a synonym, and a word that no caption used.

    Convention: one colour at a time is renamed, the others keep their main word; the mean over the eight colours.
    """
    def vectors(words):
        return selfsup.class_vectors(encode, [sum(prompts.filled(prompts.FULL, "letter", colour=word), [])
                                              for word in words])

    usual, recall = vectors(prompts.NAMES["colour"]), {}
    for which, name in ((0, "main word"), (1, "synonym"), (-1, "unknown word")):
        renamed, shares = vectors([words[which] for words in WORDS["colour"]]), []
        for k in range(len(usual)):
            mine, here = attributes["colour"] == k, usual.clone()
            here[k] = renamed[k]
            shares.append(((z @ here.T).argmax(1).cpu().numpy()[mine] == k).mean())
        recall[f"colour found by {name}"] = float(np.mean(shares))
    return recall


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed, by variant: accuracies on seen and held-out pairs, loss, temperature, seconds."""
    parts, rows = data(config, seed), []
    for variant in config.variants:
        here = dataclasses.replace(config, **VARIANTS[variant])
        x, attributes = parts[f"{variant}, train"]
        for method in here.methods:
            start, told = time.perf_counter(), partial(row, method, seed, variant=variant)
            if method == "CLIP":
                model, losses = trained(x, attributes, here, seed)
                evaluate = partial(evaluate_prompts, most=here.most)
                rows += [told("loss", np.mean(losses[-25:]), "nats"), told("temperature", 1 / model.scale().item())]
            else:
                model, evaluate = supervised(x, attributes, here, seed, method), evaluate_labelled
            rows.append(told("seconds", time.perf_counter() - start))
            for split in ("seen", "held"):
                found = evaluate(model, *parts[f"{variant}, {split}"])
                rows += [told("accuracy", value, split=split, question=question) for question, value in found.items()]
    return rows


LAPTOP = Config()
FULL = dataclasses.replace(LAPTOP, n_train=60_000, n_test=10_000, steps=4000, batch_size=512, side=32, dim=128,
                           widths=(64, 96, 128, 128, 192, 256))
PRESETS = {"unseen_pairs": ("Are letters in colours that were never seen together found by their words?", LAPTOP),
           "half_held_out": ("What if half of all pairs are missing?",
                             dataclasses.replace(LAPTOP, variants=("half held out",))),
           "counting": ("How often is a letter drawn: told in every caption, or in one of twenty?",
                        dataclasses.replace(LAPTOP, variants=("count always told", "count rarely told")))}
EXPERIMENT = Experiment(CHAPTER, PRESETS, run, data)

if __name__ == "__main__":
    EXPERIMENT.main()
