"""Draw the picture that a link preview shows, from a recorded run: python tools/social_card.py  (_static/...)."""
import sys

import chapter
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from tlutils import plotting, results

SIZE = (1200, 630)
QUESTION = "Which parts of a trained network\nhelp with the next task,\nhow can you tell,\nand when do they hurt?"
PROMISE = "A book in which every answer is an\nexperiment that you run yourself"
LINES = {"BnB": ("selffer", "same task"), "AnB": ("similar", "similar task"), "DnB": ("dissimilar", "unlike task"),
         "random": ("random", "random layers")}


def gaps(rows, treatment, n):
    """Return accuracy minus that of the base of the same seed and target, in points, for one treatment and n."""
    from tlutils.experiments import anb

    rows = [row for row in rows if row["metric"] == "accuracy" and row["target"] in "AB"]
    base = {(row["seed"], row["target"]): row["value"] for row in rows if row["method"] == "base"}
    return np.array([100 * (row["value"] - base[row["seed"], row["target"]])
                     for row in rows if anb.treatment(row) == treatment and row["copied"] == n])


def draw(path):
    """Draw the card: the book's question on the left, what chapter 2 recorded on the right."""
    plotting.use_style()
    plt.rcParams["figure.constrained_layout.use"] = False
    rows = results.load("02_general_to_specific", "anb_glyphs")["rows"]
    fig = plt.figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100, facecolor="#fbfaf7")
    fig.text(0.05, 0.76, "What Transfers?", fontsize=40, fontweight="bold")
    fig.text(0.05, 0.40, QUESTION, fontsize=21, linespacing=1.4)
    fig.text(0.05, 0.14, PROMISE, fontsize=17, color="#444444", linespacing=1.3)
    ax = fig.add_axes((0.60, 0.17, 0.27, 0.68))
    for treatment, (colour, label) in LINES.items():
        layers = [n for n in range(1, 8) if len(gaps(rows, treatment, n))]
        values = [gaps(rows, treatment, n) for n in layers]
        if treatment == "random":
            layers, values = layers[:2], values[:2]
        plotting.curve(ax, layers, values, colour, label="")
        plotting.label_end(ax, layers[-1], values[-1].mean(), label, plotting.COLOURS[colour])
    for text in ax.texts:
        text.set_fontsize(15)
    ax.set(ylim=(-45, 5), xticks=range(1, 8))
    ax.set_xlabel("layers copied and frozen, of 8", fontsize=15)
    ax.set_ylabel("accuracy, points from the base", fontsize=15)
    ax.tick_params(labelsize=13)
    ax.set_facecolor("none")
    fig.canvas.draw()
    picture = Image.fromarray(np.asarray(fig.canvas.buffer_rgba())[..., :3])
    picture.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
    plt.close(fig)
    return path


if __name__ == "__main__":
    print(draw(sys.argv[1] if len(sys.argv) > 1 else chapter.ROOT / "_static" / "social-card.png"))
