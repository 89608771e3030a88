"""Prompts about the pictures of `letter_pictures`: what is asked, and in which words."""
import itertools

import numpy as np

from tlutils.data.captions import TEMPLATES, WORDS

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


def label(attributes: dict[str, np.ndarray], attribute: str) -> np.ndarray:
    """Return the right class of every picture, for an attribute, "pair" or "count": int64 (n,).

    Errors: ValueError for another attribute.
    """
    if attribute not in (*attributes, "pair"):
        raise ValueError(f"attribute must be pair or one of {', '.join(attributes)}, got {attribute!r}")
    if attribute == "pair":
        return attributes["letter"] * len(NAMES["colour"]) + attributes["colour"]
    return attributes["count"] - 1 if attribute == "count" else attributes[attribute]
