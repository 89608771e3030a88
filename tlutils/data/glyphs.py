"""The glyph world: endless images of characters, from the fonts that matplotlib brings along."""
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageFont

from tlutils.env import check_seed

FACES = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
         "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique",
         "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic")
_RANGES = {"latin": ("AZ", "az", "ÞÞ", "ßß", "ææ", "ðð", "Ŋŋ", "Œœ"), "greek": ("ΑΩ", "αω", "ϐϞ"),
           "cyrillic": ("ЂЏ", "Ая", "ђџ", "Ѡҁ", "Ґҟ"), "armenian": ("ԱՖ", "աև"), "georgian": ("აჶ",),
           "arrows": ("←⇿",), "geometric": ("■◿",), "blocks": ("▀▟",), "box": ("─╿",)}   # first and last of each range
# What remains of these ranges when look-alikes are dropped: see glyph_classes. Written down, so that a font renderer
# which differs by one grey level cannot change the classes; a test repeats the selection.
_CLASSES = {
    "latin": "ABCDEHIJKLMNPQSUVWXYZabdefgkmnprtyÞßæðŊŒ",
    "greek": "ΞΣΦΨαβεζθκλνςτωϒϓϔϕϗϙϝϞ",
    "cyrillic": "ЂЃЇЉЊЋЍЎЏДЖЗЛЧШЩЪЫЮбйцьэяђѓћќѣґҒҕҖҘҚ",
    "armenian": "ԳԴԶԸԹԻԽԾԿՀՁՃՆՇՊՎՔՖէըթիխկձճմնշչպվֆ",
    "georgian": "დვთილპჟრტფქშჩჭჯჱჲჴჶ",
    "arrows": "←↑→↓↖↗↘↙↜↝↢↣↨↫↬↭↮↯↰↱↲↳↴↵↶↷↸↹↺↻↼↽↾↿⇄⇅⇆⇈⇍⇎⇏⇑⇓⇖⇗⇘⇙⇚⇛⇞⇤⇥⇦⇧⇨⇩⇫⇰⇱⇲⇳⇶⇿",
    "geometric": "■□▣▤▥▧▨▬▭▮▯▰▱▲△▶▷►▻▼▽◀◁◄◅◆◇◉◊○◌◍◐◑◒◓◔◕◘◙◚◛◜◝◞◟◠◡◢◣◤◥◧◨◩◭◮◴◶◸◹◺◿",
    "blocks": "▁▅▍▎░▒▙▚▛▜▞▟",
    "box": "│┅┈┉┌┎┐┑┒└┖┗┘┙┚├┞┟┤┦┧┬┭┮┱┴┵┶┹┼═╒╓╕╖╗╘╙╛╜╝╞╟╡╢╤╥╦╧╨╩╪╫╬╱╲╳",
}
SCRIPTS = tuple(_CLASSES)
LETTERS, SYMBOLS = SCRIPTS[:5], SCRIPTS[5:]
_FILL = 0.75    # longer side of the ink, as a fraction of the box
_CHUNK = 2048   # images made at a time, which bounds the memory


@lru_cache(maxsize=1)
def _charmaps() -> tuple[frozenset[int], ...]:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return tuple(frozenset(FT2Font(str(folder / f"{face}.ttf")).get_charmap()) for face in FACES)


@lru_cache(maxsize=2)
def _fonts(size: int) -> tuple[ImageFont.FreeTypeFont, ...]:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return tuple(ImageFont.truetype(str(folder / f"{face}.ttf"), size, layout_engine=ImageFont.Layout.BASIC)
                 for face in FACES)


def _drawable(character: str) -> bool:
    """All twelve faces hold it, or they would draw their empty box; and it has ink, unlike a space."""
    held = len(character) == 1 and all(ord(character) in charmap for charmap in _charmaps())
    return held and _fonts(96)[0].getmask(character, mode="L").getbbox() is not None


@lru_cache(maxsize=4096)
def _masters(character: str, side: int) -> np.ndarray:
    """The character in every face, drawn large, cropped to its ink and fitted into the box: uint8 (12, side, side)."""
    out = np.zeros((len(FACES), side, side), np.uint8)
    for j, font in enumerate(_fonts(96)):
        mask = font.getmask(character, mode="L")
        ink = Image.frombytes("L", mask.size, bytes(mask))
        ink = ink.crop(ink.getbbox())
        shrink = _FILL * side / max(ink.size)
        w, h = (max(1, round(shrink * length)) for length in ink.size)
        top, left = (side - h) // 2, (side - w) // 2
        out[j, top:top + h, left:left + w] = ink.resize((w, h), Image.Resampling.BOX)
    out.setflags(write=False)
    return out


def glyph_classes(script: str) -> list[str]:
    """The characters of a script that serve as classes, look-alikes removed.

    A script is one of latin, greek, cyrillic, armenian, georgian (together "letters") or arrows, geometric, blocks, box
    (together "symbols"). Convention: only characters that all twelve faces hold. Walking through the letters in that
    order, and likewise through the symbols, a character is dropped if in any face its rendering correlates at 0.86 or
    more with that of a character kept before. So H is also the Greek Eta and the Cyrillic En.
    Errors: ValueError if the script is unknown.
    """
    groups = {"letters": LETTERS, "symbols": SYMBOLS} | {name: (name,) for name in SCRIPTS}
    if script not in groups:
        raise ValueError(f"script must be one of {', '.join(groups)}, got {script!r}")
    return [character for name in groups[script] for character in _CLASSES[name]]


def script_of(character: str) -> str:
    """The script of one character, e.g. "greek" for "ψ"; ValueError if it belongs to none of the nine."""
    for script, ranges in _RANGES.items():
        if len(character) == 1 and any(first <= character <= last for first, last in ranges):
            return script
    raise ValueError(f"character must belong to one of {', '.join(SCRIPTS)}, got {character!r}")


def glyphs(characters, n: int, seed: int, *, jitter: float = 1.0, noise: float = 0.15, background: float = 0.35,
           side: int = 24, return_attributes: bool = False):
    """Draw n random images of the given characters; the label is the character's place in the list.

    Each image takes a random face, is scaled by 1 +- 0.2, sheared by +-0.25, turned by +-0.3 rad, shifted by +-18 % of
    the side and bent by a smooth field of about a pixel; `jitter` multiplies these five. With a smooth background b in
    +-background, ink a in 0.5..1 and polarity s = +-1 the grey level is 127.5 (1 + s (a mask + b) + noise N(0, 1)),
    clipped.
    Returns: images (n, side, side) uint8, labels (n,) int64 and, if asked for, a dict of arrays of length n:
    face (index into FACES), rotation (rad, counter-clockwise), scale, shear (x += shear * y, y down), shift (n, 2) in
    pixels (right, down), polarity, ink.
    Convention: labels are as balanced as n allows, and shuffled. The same arguments give the same images; the global
    random state is neither read nor changed. A larger n is not a continuation of a smaller one.
    Errors: ValueError for no or repeated characters, one that not all faces hold, n < 1, noise or background < 0,
    side < 8, or jitter outside 0..2.
    """
    characters = list(characters)
    missing = [c for c in characters if not (isinstance(c, str) and _drawable(c))]
    if not characters or len(set(characters)) < len(characters):
        raise ValueError(f"characters must be distinct and at least one, got {characters}")
    if missing:
        raise ValueError(f"characters must be single characters that all {len(FACES)} faces hold, got {missing}")
    if n < 1 or noise < 0 or background < 0 or side < 8 or not 0 <= jitter <= 2:
        raise ValueError("glyphs needs n >= 1, noise >= 0, background >= 0, side >= 8 and jitter in 0..2, got "
                         f"n={n}, noise={noise}, background={background}, side={side}, jitter={jitter}")
    rng = np.random.default_rng(check_seed(seed))
    k = len(characters)
    labels = rng.permutation(rng.permutation(k)[np.arange(n) % k])
    about_zero = {"rotation": 0.3, "shear": 0.25, "scale": 0.2}
    drawn = {"face": rng.integers(len(FACES), size=n)}
    drawn |= {name: jitter * half * rng.uniform(-1, 1, n) for name, half in about_zero.items()}
    drawn["scale"] = 1 + drawn["scale"]
    drawn["shift"] = jitter * 0.18 * side * rng.uniform(-1, 1, (n, 2))
    drawn["polarity"] = rng.choice([-1, 1], n)
    drawn["ink"] = rng.uniform(0.5, 1, n)
    masters = np.stack([_masters(c, 2 * side) for c in characters])            # (k, 12, 2 side, 2 side)
    images = np.empty((n, side, side), np.uint8)
    for start in range(0, n, _CHUNK):
        part = slice(start, min(start + _CHUNK, n))
        chosen = {name: values[part] for name, values in drawn.items()}
        images[part] = _draw(masters[labels[part], chosen["face"]], chosen, jitter, noise, background, side, rng)
    return (images, labels, drawn) if return_attributes else (images, labels)


def _draw(masters: np.ndarray, a: dict[str, np.ndarray], jitter: float, noise: float, background: float, side: int,
          rng) -> np.ndarray:
    """Warp masters (m, 2 side, 2 side) by the attributes a, then lay them on a background: (m, side, side) uint8."""
    m = len(masters)
    cos, sin = np.cos(a["rotation"]), np.sin(a["rotation"])
    # For each output pixel p the place in the master: (rotate shear scale)^-1 (p - shift); x runs right, y runs down.
    inverse = np.array([[cos, -sin], [sin, cos]])                                # undo the counter-clockwise turn
    inverse[0] -= a["shear"] * inverse[1]                                        # undo x += shear y
    inverse = np.moveaxis(inverse / a["scale"], 2, 0)                            # (m, 2, 2)
    ticks = (2 * np.arange(side) + 1) / side - 1
    p = np.stack(np.meshgrid(ticks, ticks, indexing="xy"), -1).reshape(1, -1, 2)  # (1, side side, 2)
    p = (p - 2 / side * a["shift"][:, None]) @ inverse.swapaxes(1, 2)            # (m, side side, 2)
    p += jitter * 0.08 * _smooth(m * 2, 4, side, rng).reshape(m, 2, -1).swapaxes(1, 2)
    grid = torch.from_numpy(p.reshape(m, side, side, 2).astype(np.float32))
    source = torch.from_numpy(masters.astype(np.float32) / 255)[:, None]
    mask = torch.nn.functional.grid_sample(source, grid, mode="bilinear", align_corners=False)[:, 0].numpy()
    ground = background * np.clip(_smooth(m, 3, side, rng), -1, 1)
    ink, polarity = (a[name].astype(np.float32)[:, None, None] for name in ("ink", "polarity"))
    signal = polarity * (ink * mask + ground)
    signal += noise * rng.standard_normal(mask.shape, dtype=np.float32)
    return np.clip(np.rint(127.5 * (1 + signal)), 0, 255).astype(np.uint8)


def _smooth(m: int, knots: int, side: int, rng) -> np.ndarray:
    """m smooth random fields (m, side, side): uniform knots under Gaussian bumps, everywhere with variance 1/3."""
    at, ticks = np.linspace(0, 1, knots), (np.arange(side) + 0.5) / side
    bump = np.exp(-0.5 * ((ticks[:, None] - at) * (knots - 1) / 0.6) ** 2)
    bump = (bump / np.linalg.norm(bump, axis=1, keepdims=True)).astype(np.float32)                # (side, knots)
    return bump @ rng.uniform(-1, 1, (m, knots, knots)).astype(np.float32) @ bump.T
