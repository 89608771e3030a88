"""Explorers: frames that differ and describe themselves, and widgets that draw any value."""
import base64
import gzip
import html
import io
import json
import re
import sys
import types
from urllib.parse import unquote

import matplotlib
import pytest
from PIL import Image

matplotlib.use("agg")
ipywidgets = pytest.importorskip("ipywidgets")

from tlutils.explore import WIDGET, explore  # noqa: E402


def bar(ax, k, other=1.0):
    ax.bar([0], [k * other])
    ax.set_ylim(0, 30)


def payload(explorer):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', explorer.to_html(), re.S).group(1))


def controls(widget, kind):
    """Return all widgets of one kind inside a box, in order."""
    found = [widget] if isinstance(widget, kind) else []
    return found + [hit for child in getattr(widget, "children", ()) for hit in controls(child, kind)]


def test_one_frame_a_value_and_no_other_host():
    explorer = explore(bar, "height", [1, 2, 5], alt="a bar of height {}", label="{} m")
    data = payload(explorer)
    assert data["labels"] == [["1 m", "2 m", "5 m"]] and data["frames"][2]["alt"] == "a bar of height 5"
    assert len({frame["svg"] for frame in data["frames"]}) == 3
    assert set(re.findall(r"https?:[^\\\" %]*", explorer.to_html())) == {"http://www.w3.org/2000/svg"}, "a name of SVG"
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"} and "height: 1 m, 2 m, 5 m" in bundle["text/plain"]


def test_two_parameters_give_a_frame_for_every_pair_the_second_running_fastest():
    explorer = explore(bar, "height", [1, 2, 5], second=("factor", [1.0, 3.0]), second_label="x{}", alt="{} times {}")
    data = payload(explorer)
    assert data["labels"] == [["1", "2", "5"], ["x1.0", "x3.0"]]
    assert [frame["alt"] for frame in data["frames"]] == [f"{k} times {f}" for k in (1, 2, 5) for f in (1.0, 3.0)]
    assert len({frame["svg"] for frame in data["frames"]}) == 6
    assert explorer.to_html().count('type="range"') == 2


def test_the_first_picture_is_the_one_at_start():
    explorer = explore(bar, "height", [1, 2, 5], start=1, second=("factor", [1, 2]), alt="{} times {}")
    page = explorer.to_html()
    assert re.search(r'<img [^>]*alt="2 times 1"', page) and 'max="2" step="1" value="1"' in page


def test_a_plot_is_svg_an_image_is_webp_and_the_first_one_stands_in_the_page():
    def either(ax, kind):
        ax.imshow([[0, 1], [1, 0]]) if kind == "image" else ax.plot([0, 1], label="a < b & '\"#%")
        ax.legend() if kind == "plot" else None

    explorer = explore(either, "kind", ["plot", "image"], alt="one {}", size=(4, 3), dpi=100)
    plot, image = payload(explorer)["frames"]
    assert plot["svg"].startswith("<svg") and image["src"].startswith("data:image/webp;base64,")
    shown = re.search(r'<img src="([^"]+)" width="400"', explorer.to_html()).group(1)
    assert unquote(shown.removeprefix("data:image/svg+xml,")) == plot["svg"] and "a &lt; b &amp; '\"#%" in plot["svg"]
    drawn = Image.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1])))
    assert drawn.size == (800, 600), "two pixels for each one of the page"


def test_frames_of_a_plot_are_small():
    lines = explore(lambda ax, k: ax.plot(range(20), [k * x for x in range(20)], marker="o"), "k", range(15), alt="{}")
    assert len(gzip.compress(lines.to_html().encode())) < 20_000


def test_what_the_author_writes_is_escaped():
    explorer = explore(bar, "a <b>", [1], alt='say "</script>"')
    assert "<b>" not in explorer.to_html() and explorer.to_html().count("</script>") == 2
    assert payload(explorer)["frames"][0]["alt"] == 'say "</script>"'


@pytest.mark.parametrize("template, shown", [
    ("height {}", "height 5"), ("{:.2f} m", "5.00 m"), ("{0} and {0}", "5 and 5"), ("{{{}}}", "{5}"),
    ("$x_{i}$ = {}", "$x_{i}$ = 5"), ("{a, b} and {0}", "{a, b} and 5"), ("{", "{"), ("}", "}"), ("{} of {", "5 of {"),
    ("{} {}", "5 {}"), ("{name} {:>3}", "{name}   5"), ("x_{10}", "x_{10}"), ("<b>{}</b> & \"", "<b>5</b> & \""),
    ("{{}} {x!r} {!r}", "{} {x!r} 5"), ("", "")])
def test_braces_without_a_value_are_text(template, shown):
    explorer = explore(bar, "height", [5], alt=template, label=template)
    data = payload(explorer)
    assert data["frames"][0]["alt"] == shown == data["labels"][0][0]
    assert repr(explorer) == f"Explorer of height: {shown}"
    assert f'alt="{html.escape(shown)}"' in explorer.to_html()


def test_values_that_hold_markup_are_text():
    values = ["<b>", "</script>", '"', "&amp;", "{}", "{0.__class__}"]
    explorer = explore(lambda ax, value: None, 'a "name" <i> {}', values, alt="kind {}", label="{}!")
    page = explorer.to_html()
    assert payload(explorer)["labels"][0] == [f"{value}!" for value in values]
    assert page.count("</script>") == 2 and "<b>" not in page and "<i>" not in page and 'a "name"' not in page


@pytest.mark.parametrize("wrong, message", [
    ({"values": []}, "values must hold 1 to 15 values, got 0"), ({"values": range(16)}, "got 16"),
    ({"second": ("factor", range(6))}, "second must hold 1 to 5 values, got 6"),
    ({"second": ("height", [1])}, "a name of its own"), ({"start": 2}, "start must be an index of the 2 values")])
def test_bad_input(wrong, message):
    with pytest.raises(ValueError, match=message):
        explore(bar, "height", wrong.pop("values", [1, 2]), alt="", **wrong)


def test_a_live_kernel_shows_controls_that_draw_any_value(monkeypatch):
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    explorer = explore(bar, "height", [1, 2, 5], alt="a bar of height {}", second=("factor", ["1", "3"]))
    monkeypatch.setattr(explorer, "draw", lambda ax, k, factor: bar(ax, k, float(factor)))
    monkeypatch.setattr(explorer, "alt", "{} times {}")
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain", WIDGET} and len(bundle[WIDGET]["model_id"]) >= 32


def test_the_slider_the_box_and_the_menu_change_the_picture():
    explorer = explore(lambda ax, k, factor: bar(ax, k, float(factor)), "height", [1, 2, 5],
                       second=("factor", ["1", "3"]), alt="{} times {}")
    widget = explorer.widget()
    picture, caption = controls(widget, ipywidgets.Image)[0], controls(widget, ipywidgets.HTML)[0]
    assert picture.value == explorer.frames[0][0] and caption.value == "1 times 1"
    controls(widget, ipywidgets.IntSlider)[0].value = 2
    assert picture.value == explorer.frames[2][0] and controls(widget, ipywidgets.IntText)[0].value == 2
    controls(widget, ipywidgets.IntText)[0].value = 20  # beyond the recorded frames
    assert caption.value == "20 times 1" and picture.value not in [frame for frame, _ in explorer.frames]
    before = picture.value
    controls(widget, ipywidgets.Dropdown)[0].value = "3"
    assert picture.value != before and caption.value == "20 times 3"


@pytest.mark.parametrize("values, kind", [([0.5, 1.0], "FloatSlider"), ([1e-4, 1.0], "FloatLogSlider"),
                                          ([1, 2], "IntSlider"), (["a", "b"], "Dropdown"), ([True, False], "Dropdown")])
def test_the_control_fits_the_kind_of_value(values, kind):
    widget = explore(lambda ax, value: None, "x", values, alt="{}", start=1).widget()
    assert len(controls(widget, getattr(ipywidgets, kind))) == 1
    values_shown = [control.value for control in controls(widget, ipywidgets.Dropdown)
                    + controls(widget, ipywidgets.FloatText) + controls(widget, ipywidgets.IntText)]
    assert values_shown == [values[1]]


def test_a_value_that_cannot_be_drawn_leaves_the_figure_and_says_why():
    heights = {1: 3.0, 2: 4.0}
    widget = explore(lambda ax, k: bar(ax, heights[k]), "k", [1, 2], alt="bar {}").widget()
    picture, caption = controls(widget, ipywidgets.Image)[0], controls(widget, ipywidgets.HTML)[0]
    before = picture.value
    controls(widget, ipywidgets.IntText)[0].value = 9
    assert picture.value == before and "[9] cannot be drawn: KeyError" in caption.value
