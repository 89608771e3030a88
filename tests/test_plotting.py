"""Plotting: arrays in, axes out."""
import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

from tlutils import plotting  # noqa: E402


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
