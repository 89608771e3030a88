"""Reviews of two products: the same opinions in other words, a domain shift without pictures."""
import unicodedata
from collections.abc import Sequence

import numpy as np

from tlutils.env import check_seed

PRODUCTS = ("books", "kitchen")
_THINGS = {"books": ("plot", "author", "story", "hero", "ending", "chapter", "prose", "novel", "dialogue", "sequel"),
           "kitchen": ("blade", "handle", "pan", "lid", "mixer", "toaster", "kettle", "motor", "knife", "oven")}
_NEUTRAL = {"books": ("i read it on a train", "my aunt lent it to me", "it has four hundred pages",
                      "the cover shows a harbour", "the library had a copy"),
            "kitchen": ("i use it on sundays", "my aunt gave it to me", "it takes two litres",
                        "the cord is one metre long", "the shop had two colours")}
# (negative, positive); what both products share, then what only one of them is called
_SHARED = (("terrible", "awful", "disappointing", "poor", "useless", "dreadful"),
           ("great", "excellent", "wonderful", "superb", "perfect", "lovely"))
_OWN = {"books": (("boring", "shallow", "predictable", "wooden", "rambling", "clumsy", "tedious", "quiet"),
                  ("gripping", "moving", "witty", "vivid", "thrilling", "haunting", "original",
                   "unpredictable")),
        "kitchen": (("rusty", "flimsy", "leaking", "noisy", "brittle", "wobbly", "stuck", "unpredictable"),
                    ("sturdy", "sharp", "durable", "compact", "efficient", "precise", "stainless", "quiet"))}


def reviews(product: str, n: int, seed: int, *, shared: float = 0.35,
            doubt: float = 0.1) -> tuple[list[str], np.ndarray]:
    """Return n made-up reviews of a product and whether each one is content: texts, labels int64 (n,) of 0 and 1.

    Convention: two to four opinions and one or two neutral remarks in random order. An opinion takes its adjective from
        the words of both products with probability `shared`, else from the product's own, and contradicts the label
        with probability `doubt`. Two words turn round: a quiet motor pleases and a quiet plot does not, an
        unpredictable ending pleases and an unpredictable oven does not.
    Errors: ValueError for another product, n < 1, or a probability outside of 0..1.

    >>> texts, labels = reviews("kitchen", 1, seed=0)
    >>> len(texts), labels.dtype
    (1, dtype('int64'))
    """
    if product not in PRODUCTS:
        raise ValueError(f"product must be one of {', '.join(PRODUCTS)}, got {product!r}")
    if n < 1:
        raise ValueError(f"n must be >= 1, got {n}")
    if not (0 <= shared <= 1 and 0 <= doubt <= 1):
        raise ValueError(f"shared and doubt must be in 0..1, got {shared} and {doubt}")
    rng = np.random.default_rng(check_seed(seed))
    labels, texts = rng.integers(0, 2, n), []
    for label in labels:
        said = list(rng.choice(_NEUTRAL[product], rng.integers(1, 3), replace=False))
        for _ in range(rng.integers(2, 5)):
            words = (_SHARED if rng.random() < shared else _OWN[product])[int(label) ^ int(rng.random() < doubt)]
            said.append(f"the {rng.choice(_THINGS[product])} is {rng.choice(words)}")
        texts.append(". ".join(said[i] for i in rng.permutation(len(said))) + ".")
    return texts, labels


def vocabulary(texts: Sequence[str], least: int = 2) -> list[str]:
    """Return the words that occur in at least `least` texts, in alphabetical order; no words where there is no text.

    Convention: all in small letters, without punctuation; apostrophes and hyphens within a word belong to it. One
        string is one text.
    Errors: ValueError if texts holds anything but strings.

    >>> vocabulary(["Great, moving story!", "A well-made story; don't miss it."], least=2)
    ['story']
    """
    found, counts = np.unique([word for text in _texts(texts) for word in set(_words(text))], return_counts=True)
    return [str(word) for word in found[counts >= least]]


def bag_of_words(texts: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """Return which of the words each text holds: float32 (n, len(words)) of 0 and 1; other words are not seen.

    Convention: texts are cut into words as by `vocabulary`.
    Errors: ValueError if texts holds anything but strings, or words one that no text can hold ("Great", "a b").
    """
    texts, column = _texts(texts), _places(words)
    bag = np.zeros((len(texts), len(column)), np.float32)
    for row, text in zip(bag, texts, strict=True):
        row[[column[word] for word in _words(text) if word in column]] = 1
    return bag


def numbered(texts: Sequence[str], words: Sequence[str], length: int | None = None) -> np.ndarray:
    """Return texts as numbers of words, int64 (n, length): 1 is the first of `words`, 0 fills up; others are left out.

    Convention: texts are cut into words as by `vocabulary`; by default length is that of the longest.
    Errors: ValueError as for `bag_of_words`, or if a text has more known words than length.

    >>> numbered(["The pan is red.", "red is"], ["is", "pan", "red"]).tolist()
    [[2, 1, 3], [3, 1, 0]]
    """
    number = _places(words, start=1)
    rows = [[number[word] for word in _words(text) if word in number] for text in _texts(texts)]
    longest = max(map(len, rows), default=0)
    if length is not None and longest > length:
        raise ValueError(f"length must be at least {longest}, got {length}")
    tokens = np.zeros((len(rows), longest if length is None else length), np.int64)
    for line, row in zip(tokens, rows, strict=True):
        line[:len(row)] = row
    return tokens


class _Kept(dict):
    """What becomes of a character: punctuation and signs part words, invisible marks within a word vanish."""

    def __missing__(self, code: int):
        kind = unicodedata.category(chr(code))
        self[code] = None if kind == "Cf" else " " if kind[0] in "PSZC" else chr(code)
        return self[code]


_KEPT = _Kept({ord("'"): "'", ord("’"): "'", ord("-"): "-", ord("‐"): "-", ord("‑"): "-"})


def _words(text: str) -> list[str]:
    """Return the words of a text in small letters; apostrophes and single hyphens stay within words alone."""
    kept = unicodedata.normalize("NFC", text.lower()).translate(_KEPT).replace("--", " ")
    return [word for word in (piece.strip("'-") for piece in kept.split()) if any(map(str.isalnum, word))]


def _places(words: Sequence[str], start: int = 0) -> dict[str, int]:
    """Return the number of each word, counted from start."""
    words = [words] if isinstance(words, str) else list(words)
    if wrong := [word for word in words if not isinstance(word, str) or _words(word) != [word]]:
        raise ValueError(f"words must be single, in small letters and without punctuation, got {wrong[:5]}")
    places = {word: k for k, word in enumerate(words, start)}
    if len(places) < len(words):
        raise ValueError(f"words must be distinct, got {len(words)} of which {len(places)} differ")
    return places


def _texts(texts: Sequence[str]) -> Sequence[str]:
    texts = [texts] if isinstance(texts, str) else list(texts)
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise ValueError(f"texts must be strings, got a {type(wrong[0]).__name__}: {wrong[0]!r:.60}")
    return texts
