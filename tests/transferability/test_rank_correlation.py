import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from tlutils.transferability import rank_correlation

SCIPY = {"pearson": stats.pearsonr, "kendall": stats.kendalltau, "weighted_kendall": stats.weightedtau}
values = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=15)


@settings(deadline=None)
@given(values)
def test_equal_to_scipy_with_ties(pairs):
    a, b = np.array(pairs, float).T
    assume(np.ptp(a) > 0 and np.ptp(b) > 0)
    for name, found in rank_correlation(a, b, n_boot=0).items():
        assert found.value == pytest.approx(float(SCIPY[name](a, b)[0]), abs=1e-12)
        assert found.low is None and found.high is None


def test_interval_is_that_of_draws_one_by_one():
    rng = np.random.default_rng(0)
    a = rng.standard_normal(9)
    b = a + rng.standard_normal(9)
    found = rank_correlation(a, b, n_boot=60, seed=5)
    draws = np.random.default_rng(5).integers(0, 9, (60, 9))
    for name, interval in found.items():
        expected = np.percentile([SCIPY[name](a[i], b[i])[0] for i in draws], [2.5, 97.5])
        assert [interval.low, interval.high] == pytest.approx(expected, abs=1e-12)
        assert interval.low <= interval.value <= interval.high


def test_perfect_and_reversed_order():
    a = np.arange(8.0)
    assert all([c.value, c.low, c.high] == pytest.approx([1] * 3) for c in rank_correlation(a, 2 * a + 1).values())
    assert all(c.value == pytest.approx(-1) for c in rank_correlation(a, -a).values())
    few, many = (rank_correlation(x, np.sin(x) + x / 3)["kendall"] for x in (np.arange(5.0), np.arange(50.0)))
    assert few.high - few.low > many.high - many.low
