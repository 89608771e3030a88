"""Figures from arrays: one style, and one colour and marker for each method in the whole book."""
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from scipy.special import stdtrit

from tlutils import figures

STYLE = Path(__file__).with_name("book.mplstyle")

# colour-blind safe; kin share a colour (the fine-tuned variant of a frozen transfer is drawn dashed)
COLOURS = {"scratch": "#777777", "probe": "#0072B2", "fine-tune": "#D55E00", "LP-FT": "#D4AC0D",
           "adapter": "#AA4499", "adapters": "#AA4499", "LoRA": "#009E73", "DANN": "#CC3311",
           "base": "#333333", "selffer": "#0072B2", "similar": "#009E73", "dissimilar": "#CC3311",
           "random": "#777777", "partial": "#E69F00", "published": "#333333",
           # where the pretraining came from (chapters 5 to 8)
           "supervised": "#882255", "rotation": "#8C510A", "pair": "#CC6677", "imputation": "#999933",
           "SimCLR": "#2A9D8F", "MoCo": "#117733", "CLIP": "#332288"}
MARKERS = {"scratch": "s", "probe": "o", "fine-tune": "^", "LP-FT": "*", "adapter": "D", "adapters": "D",
           "LoRA": "P", "DANN": "X", "base": "", "selffer": "o", "similar": "^", "dissimilar": "v", "random": "s",
           "partial": "d", "published": "*", "supervised": "h", "rotation": ">", "pair": "v", "imputation": "<",
           "SimCLR": "o", "MoCo": "D", "CLIP": "p"}


def use_style() -> None:
    """Use the book's style for the figures of this session; in a notebook plots are shown as SVG (see `figures`)."""
    plt.style.use(STYLE)
    figures.show_in_notebook()


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the band to draw for values of one point over seeds, shape (n_seeds,).

    Equation: mean -+ t s / sqrt(n), with t the 97.5 % point of Student's t for n - 1 degrees of freedom.
    Convention: so from five seeds on, s with n - 1; under five the minimum and the maximum. Of five normal values the
        t-interval holds the true mean in 95 % of all cases; the percentile bootstrap of the mean does so in 84 %.
    Errors: ValueError if values is empty or not one-dimensional.

    >>> interval([0.8, 0.9, 0.7])                                                     # three seeds: minimum and maximum
    (0.7, 0.9)
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"values must be (n_seeds,) with n_seeds >= 1, got {values.shape}")
    if len(values) < 5:
        return float(values.min()), float(values.max())
    half = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def curve(ax: Axes, x: Sequence[float], values: Sequence[np.ndarray], method: str, *, label: str | None = None,
          dashed: bool = False, show_seeds: bool = False) -> Axes:
    """Draw the mean over seeds of one method against x, with its band (see `interval`), and label the line's end.

    Shapes: x (k,), values k arrays (n_seeds,) that may differ in length. label "" draws no label.
    Errors: ValueError if x and values differ in length.
    """
    if len(x) != len(values):
        raise ValueError(f"x and values must have the same length, got {len(x)} and {len(values)}")
    colour, marker = COLOURS.get(method, "#333333"), MARKERS.get(method, "o")
    means = [float(np.mean(v)) for v in values]
    ax.plot(x, means, color=colour, marker=marker, linestyle="--" if dashed else "-")
    ax.fill_between(x, *zip(*(interval(v) for v in values), strict=True), color=colour, alpha=0.15, linewidth=0)
    if show_seeds:
        for position, points in zip(x, values, strict=True):
            ax.plot([position] * len(points), points, ".", color=colour, markersize=3, alpha=0.6)
    label_end(ax, x[-1], means[-1], method if label is None else label, colour)
    return ax


def label_end(ax: Axes, x: float, y: float, text: str, colour: str) -> None:
    """Write text to the right of a line's last point, in the line's colour."""
    if text:
        ax.annotate(text, (x, y), xytext=(6, 0), textcoords="offset points", color=colour, va="center", fontsize=9,
                    annotation_clip=False)


def images(pictures: np.ndarray, *, rows: int = 1, titles: Sequence[str] | None = None,
           size: float = 0.8) -> np.ndarray:
    """Draw images side by side in `rows` rows; return the axes, shape (rows, columns).

    Shapes: pictures (n, h, w) or (n, h, w, 3), uint8 or floats in [0, 1].
    Errors: ValueError for another shape, or fewer pictures than rows.
    """
    pictures = np.asarray(pictures)
    if pictures.ndim not in (3, 4) or not 1 <= rows <= len(pictures):
        raise ValueError(f"pictures must be (n, h, w[, 3]) with n >= rows = {rows}, got {pictures.shape}")
    columns = -(-len(pictures) // rows)
    figsize = (size * columns, size * rows * (1.25 if titles else 1))
    _, axes = plt.subplots(rows, columns, figsize=figsize, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    top = 255 if pictures.dtype == np.uint8 else 1.0
    for k, (ax, picture) in enumerate(zip(axes.flat, pictures, strict=False)):
        ax.imshow(picture, vmin=0, vmax=top, interpolation="nearest")
        if titles:
            ax.set_title(titles[k], fontsize=8, loc="center")
    return axes


def bars(ax: Axes, groups: Sequence[str], values: Mapping[str, Sequence[np.ndarray]]) -> Axes:
    """Draw grouped bars, one colour a method: means over seeds, every seed as a dot.

    Shapes: values maps a method to one array (n_seeds,) for each of the groups.
    Errors: ValueError if a method has not one array a group.
    """
    width = 0.8 / len(values)
    for j, (method, arrays) in enumerate(values.items()):
        if len(arrays) != len(groups):
            raise ValueError(f"{method} must have {len(groups)} arrays, got {len(arrays)}")
        centres = np.arange(len(groups)) + (j - (len(values) - 1) / 2) * width
        means, colour = [np.mean(a) for a in arrays], COLOURS.get(method, f"C{j}")
        ax.bar(centres, means, 0.92 * width, color=colour, label=method, alpha=0.75)
        for centre, points in zip(centres, arrays, strict=True):
            ax.plot(np.full(len(points), centre), points, ".", color="black", markersize=3)
    ax.set_xticks(range(len(groups)), groups)
    ax.grid(axis="x", visible=False)
    return ax
