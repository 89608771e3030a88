"""Pictures of letters with captions: what is on them, said in several ways and with synonyms."""
from collections.abc import Sequence

import numpy as np
import torch

from tlutils.data.glyphs import _masters
from tlutils.data.reviews import _places, _texts, _words
from tlutils.env import check_seed

LETTERS = tuple("ABDEGHKLMNPRSTXZ")
# Each attribute's values; the words of a value are synonyms, and the last one is kept back: no caption uses it.
WORDS = {"colour": (("red", "scarlet", "crimson"), ("orange", "tangerine", "apricot"), ("yellow", "lemon", "golden"),
                    ("green", "emerald", "olive"), ("blue", "azure", "navy"), ("purple", "violet", "lilac"),
                    ("pink", "rose", "salmon"), ("white", "ivory", "snowy")),
         "ground": (("plain", "blank", "empty"), ("striped", "lined", "banded"), ("dotted", "spotted", "speckled"),
                    ("checkered", "chequered", "checked")),
         "size": (("small", "tiny", "little"), ("large", "big", "huge")),
         "letter": tuple((letter.lower(),) for letter in LETTERS)}
TIMES = ("once", "twice", "three times", "four times")
TEMPLATES = {"long": ("a photo of a {size} {colour} letter {letter} on a {ground} background",
                      "the letter {letter} in {colour} and {size} on {ground} paper",
                      "on a {ground} background stands a {size} {letter} in {colour}",
                      "a {size} letter {letter} painted {colour} on {ground} paper",
                      "somebody wrote a {colour} {letter} quite {size} on {ground} paper",
                      "the background is {ground} and the {size} {letter} is {colour}"),
             "short": ("{colour} {letter}", "the letter {letter}", "a {size} {letter}", "a {colour} letter {letter}",
                       "a {letter} on {ground} paper", "a {letter}")}
TEMPLATES["mixed"] = TEMPLATES["short"] + TEMPLATES["long"]
_RGB = np.array([(215, 40, 40), (240, 140, 30), (235, 225, 60), (50, 165, 60), (55, 100, 225), (125, 60, 175),
                 (245, 145, 190), (245, 245, 240)], np.float32) / 255
_CENTRES = np.array([(-1, -1), (1, -1), (-1, 1), (1, 1)]) * 0.47   # of several letters, in half sides of the picture
_CHUNK = 2048


def held_out_pairs(n: int, seed: int) -> np.ndarray:
    """Return which pairs of letter and colour to hold out: bool (16, 8), n colours of each letter.

    Convention: every colour is held out for equally many letters, 2 n of them; the pairs depend on the seed.
    Errors: ValueError unless 1 <= n <= 7, so that each letter keeps a colour and is missing another.
    """
    k = len(WORDS["colour"])
    if not 1 <= n < k:
        raise ValueError(f"n must be in 1..{k - 1}, got {n}")
    rng = np.random.default_rng(check_seed(seed))
    first = np.concatenate([rng.permutation(k) for _ in range(len(LETTERS) // k)])
    held = np.zeros((len(LETTERS), k), bool)
    for step in range(n):
        held[np.arange(len(LETTERS)), (first + step) % k] = True
    return held


def letter_pictures(n: int, seed: int, *, pairs: np.ndarray | None = None, most: int = 1,
                    side: int = 24) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw n pictures of coloured letters, 1 to `most` copies of one letter each; return them with their attributes.

    Shapes: images uint8 (n, side, side, 3); attributes letter, colour, ground, size (indices into WORDS) and count
        (1 to most), each int64 (n,). pairs is bool (16, 8): the pairs of letter and colour that may occur.
    Convention: pairs as balanced as n allows, the other attributes uniform and independent. A letter takes a random
        face, is turned by +-0.2 rad, scaled by 1 +- 0.1, shifted by +-8 % of the side; small is 1 / 1.4 of large, and
        among several 0.55 of that. The same arguments give the same pictures.
    Errors: ValueError for n < 1, most outside of 1..4, side < 8, or pairs of another shape or type or all False.
    """
    shape = len(LETTERS), len(WORDS["colour"])
    pairs = np.ones(shape, bool) if pairs is None else np.asarray(pairs)
    if pairs.shape != shape or pairs.dtype != bool or not pairs.any():
        raise ValueError(f"pairs must be bool {shape} with a True, got {pairs.dtype} {pairs.shape}, {pairs.sum()} True")
    if n < 1 or not 1 <= most <= len(_CENTRES) or side < 8:
        raise ValueError(f"need n >= 1, most in 1..{len(_CENTRES)} and side >= 8, got {n}, {most} and {side}")
    rng = np.random.default_rng(check_seed(seed))
    chosen = np.argwhere(pairs)
    chosen = chosen[rng.permutation(np.resize(rng.permutation(len(chosen)), n))]               # (n, 2)
    a = {"letter": chosen[:, 0], "colour": chosen[:, 1], "ground": rng.integers(4, size=n),
         "size": rng.integers(2, size=n), "count": rng.integers(1, most + 1, size=n)}
    images = np.concatenate([_draw({name: values[start:start + _CHUNK] for name, values in a.items()}, most, side, rng)
                             for start in range(0, n, _CHUNK)])
    return images, {name: values.astype(np.int64) for name, values in a.items()}


def captions(attributes: dict[str, np.ndarray], seed: int, *, style: str = "long", told: float = 0.0) -> list[str]:
    """Return one caption for each picture: a random template of the style, for each value a random synonym.

    Convention: a "long" caption names letter, colour, ground and size; of the "mixed" ones half name a part of them
        ("short"). Then, with probability `told`, how often the letter is drawn. The last synonym of each colour,
        ground and size is never used.
    Errors: ValueError for another style, or told outside of 0..1.

    >>> captions(letter_pictures(2, seed=1)[1], seed=0)[0]
    'the letter h in emerald and big on lined paper'
    """
    if style not in TEMPLATES:
        raise ValueError(f"style must be one of {', '.join(TEMPLATES)}, got {style!r}")
    if not 0 <= told <= 1:
        raise ValueError(f"told must be in 0..1, got {told}")
    rng = np.random.default_rng(check_seed(seed))
    texts = []
    for i in range(len(attributes["letter"])):
        said = {}
        for name, words in WORDS.items():
            known = words[attributes[name][i]]
            said[name] = known[rng.integers(max(1, len(known) - 1))]
        text = TEMPLATES[style][rng.integers(len(TEMPLATES[style]))].format(**said)
        texts.append(text + (f" drawn {TIMES[attributes['count'][i] - 1]}" if rng.random() < told else ""))
    return texts


def tokenize(texts: Sequence[str], words: Sequence[str], length: int = 16) -> np.ndarray:
    """Return texts as numbers, int64 (n, length): a word's place in `words` plus 2, 1 for any other word, 0 behind it.

    Convention: all in small letters, so the letter A and the article are one word; see `data.vocabulary` for words
        and punctuation.
    Errors: ValueError for a text without words, or one longer than length, or anything but strings; and for words that
        no text can hold.

    >>> tokenize(["A red B", "a mauve B"], ["a", "b", "red"], length=4).tolist()
    [[2, 4, 3, 0], [2, 1, 3, 0]]
    """
    texts, place = _texts(texts), _places(words, start=2)
    tokens = np.zeros((len(texts), length), np.int64)
    for row, text in zip(tokens, texts, strict=True):
        found = [place.get(word, 1) for word in _words(text)]
        if not 1 <= len(found) <= length:
            raise ValueError(f"a text must have 1 to {length} words, got {len(found)}: {text!r}")
        row[:len(found)] = found
    return tokens


def _draw(a: dict[str, np.ndarray], most: int, side: int, rng) -> np.ndarray:
    """Draw letters with the attributes a on their grounds: uint8 (m, side, side, 3)."""
    m = len(a["letter"])
    masters = np.stack([_masters(letter, 2 * side) for letter in LETTERS])[a["letter"], rng.integers(12, size=m)]
    source = torch.from_numpy(masters.astype(np.float32) / 255)[:, None]                       # (m, 1, 2 side, 2 side)
    ticks = ((2 * np.arange(side) + 1) / side - 1).astype(np.float32)
    place = np.stack(np.meshgrid(ticks, ticks, indexing="xy"), -1).reshape(1, -1, 2)           # (1, side side, 2)
    size = np.where(a["size"] == 1, 1, 1 / 1.4) * (1 if most == 1 else 0.55) * rng.uniform(0.9, 1.1, m)
    corners = rng.permuted(np.tile(np.arange(4), (m, 1)), axis=1)                              # (m, 4)
    mask = torch.zeros(m, side, side)
    for copy in range(most):
        angle, shift = rng.uniform(-0.2, 0.2, m), rng.uniform(-0.16, 0.16, (m, 2)) / (1 if most == 1 else 2)
        centre = shift + (_CENTRES[corners[:, copy]] if most > 1 else 0)
        turn = np.moveaxis(np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / size, 2, 0)
        at = (place - centre[:, None]) @ turn.swapaxes(1, 2)                                   # (m, side side, 2)
        grid = torch.from_numpy(at.reshape(m, side, side, 2).astype(np.float32))
        there = torch.nn.functional.grid_sample(source, grid, align_corners=False)[:, 0]
        mask = torch.maximum(mask, there * torch.from_numpy(a["count"] > copy)[:, None, None])
    mask = mask.numpy()[..., None]
    ink = _RGB[a["colour"]] * rng.uniform(0.85, 1.1, (m, 1)) + rng.uniform(-0.05, 0.05, (m, 3))
    picture = (1 - mask) * _grounds(a["ground"], side, rng)[..., None] + mask * ink[:, None, None]
    picture += 0.05 * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(np.rint(255 * picture), 0, 255).astype(np.uint8)


def _grounds(kind: np.ndarray, side: int, rng) -> np.ndarray:
    """Return dark grey grounds (m, side, side) by kind: plain, striped, dotted, checkered."""
    m = len(kind)
    wave, phase = 2 * np.pi / rng.uniform(5, 8, (m, 1, 1)), rng.uniform(0, 2 * np.pi, (2, m, 1, 1))
    y, x = np.mgrid[:side, :side]
    angle = rng.uniform(0, np.pi, (m, 1, 1))
    u, v = wave * x + phase[0], wave * y + phase[1]
    stripes = np.sin(wave * (x * np.cos(angle) + y * np.sin(angle)) + phase[0])
    pattern = np.stack([np.zeros_like(u + v), np.sign(stripes), 2.0 * (np.cos(u) + np.cos(v) > 0.8) - 1,
                        np.sign(np.sin(u) * np.sin(v))])[kind, np.arange(m)]                   # (m, side, side)
    return (rng.uniform(0.15, 0.35, (m, 1, 1)) + 0.1 * pattern).astype(np.float32)
