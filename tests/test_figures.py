"""Figures as a page shows them: plots as small SVG with text, images as sharp pictures, the same bytes every time."""
import base64
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from tlutils import figures, plotting  # noqa: E402

ROOT = plotting.STYLE.parent.parent
SVG = "{http://www.w3.org/2000/svg}"


def drawn(n=4, title="a <b> & c"):
    """Return a plot with a title, a formula, a marker and a legend."""
    figure = Figure(figsize=(5, 3), dpi=100, layout="constrained")
    ax = figure.subplots()
    ax.plot(range(n), np.arange(n) ** 2 / 3, marker="o", label="one")
    ax.set(title=title, xlabel=r"rate $\epsilon^2$ here", ylabel="accuracy")
    ax.legend()
    return figure


def texts(svg):
    """Return what the text elements of an SVG say."""
    return ["".join(part.itertext()).replace("\xa0", " ") for part in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_text_is_text_and_whole():
    svg = figures.svg(drawn())
    assert {"a <b> & c", "rate ε2 here", "accuracy", "one"} <= set(texts(svg))
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img" and "sans-serif" in root.get("font-family")
    assert len(list(root.iter(f"{SVG}tspan"))) == 4, "a formula in pieces, not in letters"
    assert "DejaVu" not in svg and "font:" not in svg, "the page's own font"


def test_the_size_is_that_of_the_page():
    root = ElementTree.fromstring(figures.svg(drawn(), tight=False))
    assert (root.get("width"), root.get("height")) == ("500", "300") and root.get("viewBox") == "0 0 360 216"
    cut = ElementTree.fromstring(figures.svg(drawn()))
    assert 450 < int(cut.get("width")) < 520


def test_the_same_figure_gives_the_same_bytes_in_another_process():
    """Names in a matplotlib SVG are random and it carries a date, unless it is told otherwise."""
    code = ("import matplotlib; matplotlib.use('agg')\n"
            "import sys; sys.path[:0] = ['.', 'tests']\n"
            "import test_figures, tlutils.figures as f\n"
            "sys.stdout.buffer.write(f.svg(test_figures.drawn()).encode())")
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    here = figures.svg(drawn())
    assert again.stdout == here.encode() == figures.svg(drawn()).encode()
    assert not re.search(r"20\d\d-\d\d-\d\d|<metadata|<!--|<style", here)
    assert figures.svg(drawn(title="another")) != here


def test_every_name_is_used_and_coordinates_are_short():
    svg = figures.svg(drawn(40))
    named, used = set(re.findall(r' id="([^"]+)"', svg)), set(re.findall(r'(?:url\(|href=")#([\w-]+)', svg))
    assert named == used != set()
    assert not re.search(r' (?:d|x|y)="[^"]*\.\d{3}', re.sub(r"<tspan[^>]*>|<rect[^>]*>", "", svg))
    matplotlibs = io.StringIO()
    drawn(40).savefig(matplotlibs, format="svg")
    assert len(svg) < 0.6 * len(matplotlibs.getvalue())


def test_the_lines_stand_where_matplotlib_draws_them():
    figure = drawn()
    svg = figures.svg(figure, tight=False)
    path = next(d for d in re.findall(r' d="([^"]+)"', svg) if d.count("L") == 3 and "z" not in d)
    points = np.array([[float(x) for x in pair.split()] for pair in re.split("[ML]", path)[1:]])
    ax = figure.axes[0]  # pixels of 1/100 inch from below -> points from above
    expected = ax.transData.transform(ax.lines[0].get_xydata()) * 0.72
    expected[:, 1] = 216 - expected[:, 1]
    assert points == pytest.approx(expected, abs=0.3)


def test_plots_are_svg_images_and_crowds_are_sharp_pictures():
    data, metadata = figures.bundle(drawn())
    assert set(data) == {"image/svg+xml"} and metadata == {}
    image = drawn()
    image.axes[0].imshow(np.eye(3))
    crowd = drawn()
    crowd.axes[0].scatter(*np.random.default_rng(0).normal(size=(2, 4000)))
    for figure in (image, crowd):
        data, metadata = figures.bundle(figure)
        assert set(data) == {"image/png"}
        width = metadata["image/png"]["width"]
        assert abs(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).width - 2 * width) <= 1
        assert 250 < width < 550


def test_the_rule_can_be_overruled():
    image = drawn()
    image.axes[0].imshow(np.eye(3))
    assert "<image" in figures.plot(figures.draw_as(image, "svg"))
    assert figures.plot(figures.draw_as(drawn(), "png")) is None
    with pytest.raises(ValueError, match="kind must be 'svg' or 'png', got 'gif'"):
        figures.draw_as(drawn(), "gif")


def test_an_empty_figure_is_not_shown():
    assert figures.bundle(Figure()) == ({}, {})


SHELL = """
import matplotlib, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import matplotlib.pyplot as plt
from tlutils import plotting
before = dict(matplotlib.rcParams)
def shown():
    figure, ax = plt.subplots()
    ax.plot([1, 2])
    return sorted(shell.display_formatter.format(figure)[0])
print(*shown())
plotting.use_style()
print(*shown())
"""


def test_a_notebook_shows_svg_once_the_style_is_used_and_an_import_changes_nothing():
    pytest.importorskip("matplotlib_inline")
    environment = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "PATH": "/usr/bin:/bin", "HOME": "/tmp",
                   "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SHELL], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines() == ["image/png text/plain", "image/svg+xml text/plain"]


def test_outside_of_a_notebook_nothing_is_registered():
    with plt.style.context("default"):
        plotting.use_style()
    plt.close("all")
