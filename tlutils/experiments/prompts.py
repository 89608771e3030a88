"""Asking two trained encoders: wordings of a question, ensembles of them, and words that no caption used."""
import itertools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tlutils import train
from tlutils.data.captions import TEMPLATES, TIMES, WORDS

NAMES = {name: [words[0] for words in values] for name, values in WORDS.items()}   # the main word of every value
SHORT = ("{letter}", "the letter {letter}", "a {letter}", "a letter {letter}")
FULL = TEMPLATES["long"][0]
SALAD = "letter background on of {colour} a photo {ground} {letter} a {size} a"    # the words of FULL, shuffled


def filled(template: str, attribute: str, **fixed: str) -> list[list[str]]:
    """Return for each value of the attribute the template filled with it, and with every main word of the others.

    Convention: attribute may be "pair" (letter and colour, letter by letter); fixed gives words for other attributes.
    Errors: ValueError for another attribute.

    >>> filled("a {colour} {letter}", "letter", colour="red")[:2]
    [['a red a'], ['a red b']]
    """
    names = NAMES | {name: [word] for name, word in fixed.items()}
    if attribute not in (*NAMES, "pair"):
        raise ValueError(f"attribute must be pair or one of {', '.join(NAMES)}, got {attribute!r}")
    asked = ("letter", "colour") if attribute == "pair" else (attribute,)
    rest = [name for name in names if name not in asked and f"{{{name}}}" in template]
    return [[template.format(**dict(zip((*asked, *rest), (*values, *others), strict=True)))
             for others in itertools.product(*(names[name] for name in rest))]
            for values in itertools.product(*(NAMES[name] for name in asked))]


def class_vectors(model, texts: list[list[str]]) -> Tensor:
    """Return one unit vector a class: the mean of its prompts' unit vectors, again of length one.  (k, dim)"""
    z = F.normalize(train.predict(model.text, model.tokens([text for group in texts for text in group])))
    return F.normalize(torch.stack([part.mean(0) for part in z.split([len(group) for group in texts])]))


def zero_shot(model, z: Tensor, texts: list[list[str]]) -> np.ndarray:
    """Return for unit image features z (n, dim) the class whose prompts they are most similar to: int64 (n,)."""
    return (z @ class_vectors(model, texts).T).argmax(1).cpu().numpy()


def each_alone(texts: list[list[str]]) -> list[list[list[str]]]:
    """Return the prompts of an ensemble one at a time: for each of them the list that `zero_shot` takes."""
    return [[[text] for text in column] for column in zip(*texts, strict=True)]


def label(attributes: dict[str, np.ndarray], attribute: str) -> np.ndarray:
    """Return the right class of every picture, for an attribute, "pair" or "count": int64 (n,)."""
    if attribute == "pair":
        return attributes["letter"] * len(NAMES["colour"]) + attributes["colour"]
    return attributes["count"] - 1 if attribute == "count" else attributes[attribute]


def questions() -> dict[str, tuple[str, list[list[str]]]]:
    """Return what is asked of every pair of encoders: name -> (attribute, prompts of each class)."""
    short = [[text.format(letter=letter) for text in SHORT] for letter in NAMES["letter"]]
    asked = {"letter, bare": ("letter", filled("{letter}", "letter")),
             "letter, short": ("letter", filled("the letter {letter}", "letter")),
             "letter, ensemble of short": ("letter", short),
             "letter, ensemble": ("letter", filled(FULL, "letter")),
             "pair, short": ("pair", filled("a {colour} letter {letter}", "pair")),
             "pair, ensemble": ("pair", filled(FULL, "pair"))}
    for name in ("colour", "ground", "size"):
        asked[f"{name}, ensemble"] = (name, filled(FULL, name))
    for which, word in ((1, "synonym"), (-1, "unknown word")):
        asked[f"colour, {word}"] = ("colour", [[words[which]] for words in WORDS["colour"]])
    return asked | {"colour, bare": ("colour", filled("{colour}", "colour"))}


def answers(model, x: Tensor, attributes: dict[str, np.ndarray], most: int = 1) -> dict[str, float]:
    """Return the accuracy of every question, and of single prompts their mean, lowest and highest."""
    z = F.normalize(train.predict(model.image, x))

    def accuracy(attribute, texts):
        return float((zero_shot(model, z, texts) == label(attributes, attribute)).mean())

    found = {name: accuracy(*asked) for name, asked in questions().items()}
    for name, template in (("full", FULL), ("salad", SALAD)):
        alone = [accuracy("letter", texts) for texts in each_alone(filled(template, "letter"))]
        found |= {f"letter, {name} {how}": float(f(alone))
                  for how, f in (("mean", np.mean), ("lowest", np.min), ("highest", np.max))}
    alone = [accuracy("pair", texts) for texts in each_alone(filled(FULL, "pair"))]
    found |= {"pair, full mean": float(np.mean(alone)), "pair, full highest": float(np.max(alone))}
    found |= new_words(model, z, attributes)
    if most > 1:
        counts = [[f"{text} drawn {times}" for text in itertools.chain(*filled(FULL, "letter"))]
                  for times in TIMES[:most]]
        found["count, ensemble"] = accuracy("count", counts)
    return found


def new_words(model, z: Tensor, attributes: dict[str, np.ndarray]) -> dict[str, float]:
    """Return how many pictures of a colour are found by its main word, a synonym, and a word that no caption used.

    Convention: one colour at a time is renamed, the others keep their main word; the mean over the eight colours.
    """
    def vectors(words):
        return class_vectors(model, [sum(filled(FULL, "letter", colour=word), []) for word in words])

    usual, recall = vectors(NAMES["colour"]), {}
    for which, name in ((0, "main word"), (1, "synonym"), (-1, "unknown word")):
        renamed, parts = vectors([words[which] for words in WORDS["colour"]]), []
        for k in range(len(usual)):
            mine, here = attributes["colour"] == k, usual.clone()
            here[k] = renamed[k]
            parts.append(((z @ here.T).argmax(1).cpu().numpy()[mine] == k).mean())
        recall[f"colour found by {name}"] = float(np.mean(parts))
    return recall
