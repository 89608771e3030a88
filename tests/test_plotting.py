"""Plotting: arrays in, axes out."""
import matplotlib
import numpy as np
import pytest
from scipy import stats

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

from tlutils import plotting  # noqa: E402


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_interval_is_min_max_under_five_seeds_else_students_t():
    assert plotting.interval(np.array([1.0, 3.0, 2.0])) == (1.0, 3.0)
    values = np.random.default_rng(0).normal(size=7)
    expected = stats.t.interval(0.95, 6, loc=values.mean(), scale=stats.sem(values))
    assert plotting.interval(values) == pytest.approx(expected)
    assert plotting.interval(np.full(5, 0.3)) == pytest.approx((0.3, 0.3)), "equal seeds: no band"
    with pytest.raises(ValueError, match="n_seeds"):
        plotting.interval(np.zeros((2, 2)))


def test_the_t_interval_of_five_values_covers_95_percent_and_the_percentile_bootstrap_84():
    """Five normal values, 4,000 times: how often does the band hold the true mean? Error of a share: 0.4 and 0.6 %."""
    rng, n = np.random.default_rng(0), 4000
    samples = rng.normal(size=(n, 5))
    low, high = np.transpose([plotting.interval(values) for values in samples])
    assert ((low <= 0) & (0 <= high)).mean() == pytest.approx(0.95, abs=3 * 0.0035)
    means = np.stack([values[rng.integers(0, 5, (500, 5))].mean(1) for values in samples])
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert ((low <= 0) & (0 <= high)).mean() == pytest.approx(0.84, abs=3 * 0.006)


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
