"""Plotting and explorers: arrays in, axes out; frames that differ and describe themselves."""
import json
import re

import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

from tlutils import plotting  # noqa: E402
from tlutils.explore import explore  # noqa: E402


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_interval_is_min_max_under_five_seeds_else_a_bootstrap_of_the_mean():
    assert plotting.interval(np.array([1.0, 3.0, 2.0])) == (1.0, 3.0)
    values = np.arange(10.0)
    low, high = plotting.interval(values)
    assert 0 < low < values.mean() < high < 9 and plotting.interval(values) == (low, high)
    with pytest.raises(ValueError, match="n_seeds"):
        plotting.interval(np.zeros((2, 2)))


def test_curve_draws_the_means_and_labels_the_line():
    ax = plt.subplots()[1]
    plotting.curve(ax, [1, 2], [np.array([1.0, 3.0]), np.array([4.0])], "probe", show_seeds=True)
    assert ax.lines[0].get_ydata() == pytest.approx([2.0, 4.0]) and ax.texts[0].get_text() == "probe"
    with pytest.raises(ValueError, match="same length"):
        plotting.curve(ax, [1, 2], [np.ones(2)], "probe")


def test_images_and_bars_check_their_shapes():
    assert plotting.images(np.zeros((6, 4, 4), np.uint8), rows=2, titles=list("abcdef")).shape == (2, 3)
    with pytest.raises(ValueError, match="pictures must be"):
        plotting.images(np.zeros((4, 4)))
    ax = plotting.bars(plt.subplots()[1], ["a", "b"], {"probe": [np.ones(3), np.zeros(3)], "scratch": [np.ones(1)] * 2})
    assert len(ax.patches) == 4
    with pytest.raises(ValueError, match="probe must have 2"):
        plotting.bars(ax, ["a", "b"], {"probe": [np.ones(3)]})


def test_importing_the_package_changes_no_global_style():
    assert matplotlib.rcParams["axes.spines.top"] is True
    with plt.style.context(plotting.STYLE):
        assert matplotlib.rcParams["axes.spines.top"] is False


def frames_of(explorer):
    found = re.search(r'<script type="application/json">(.*?)</script>', explorer.to_html(), re.S).group(1)
    return json.loads(found)


def test_explore_draws_one_frame_a_value_and_asks_no_other_host():
    explorer = explore(lambda ax, k: ax.bar([0], [k]), "height", [1, 2, 5], alt="a bar of height {}", label="{} m")
    frames = frames_of(explorer)
    assert [f["label"] for f in frames] == ["1 m", "2 m", "5 m"] and frames[2]["alt"] == "a bar of height 5"
    assert len({f["src"] for f in frames}) == 3 and all(f["src"].startswith("data:image/webp") for f in frames)
    assert "http" not in explorer.to_html().replace("data:", "")
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"} and "height" in bundle["text/plain"]


def test_explore_escapes_what_the_author_writes():
    explorer = explore(lambda ax, k: None, "a <b>", [1], alt='say "</script>"', label="{}")
    assert "<b>" not in explorer.to_html() and explorer.to_html().count("</script>") == 2
    assert frames_of(explorer)[0]["alt"] == 'say "</script>"'


@pytest.mark.parametrize("values", [[], range(16)])
def test_explore_bounds_the_number_of_frames(values):
    with pytest.raises(ValueError, match="1 to 15"):
        explore(lambda ax, k: None, "x", values, alt="")
