"""Equal to the published implementations where those are right, on the cases that they were run on."""
import numpy as np
import pytest
from transfer_cases import CASES, STORED, case

from tlutils import transferability as T
from tlutils.transferability.h_score import ledoit_wolf
from tlutils.transferability.moments import summary_of


def value(name, call, settings):
    x, y, probs, z, targets = (CASES[name][key] for key in ("X", "y", "P", "z", "Y"))
    if call == "ledoit_wolf":
        return ledoit_wolf(summary_of(x, y, about="mean"))
    if call == "coding_rate":
        return T.coding_rate(x - x.mean(0), **settings)
    if call == "logme_without_rank_term":  # the published code leaves out -(d - rank)/2 log alpha
        n, d = x.shape
        return T.logme(x, y, method="fixed_point") + (d - min(n, d)) / (2 * n) * np.log(settings["alphas"]).mean()
    if settings.get("task") == "regression":
        settings = dict(settings)
        return T.logme(x, targets[:, 0] if settings.pop("first", False) else targets, **settings)
    return getattr(T, call)({"leep": probs, "nce": z}.get(call, x), y, **settings)


@pytest.mark.parametrize(("name", "call", "settings", "expected", "tolerance"), STORED["values"],
                         ids=lambda v: v if isinstance(v, str) else "" if isinstance(v, float) else str(v)[:40])
def test_stored_value(name, call, settings, expected, tolerance):
    assert value(name, call, settings) == pytest.approx(expected, rel=tolerance, abs=1e-12)


def test_every_measure_has_stored_values():
    measures = {"transrate", "coding_rate", "h_score", "logme", "lfc", "leep", "nce"}
    assert {call for _, call, *_ in STORED["values"]} >= measures
    assert {name for name, *_ in STORED["values"]} == set(CASES)


def published_h_score(x, y):
    g = np.zeros_like(x)
    for c in np.unique(y):
        g[y == c] = x[y == c].mean(0)
    return np.trace(np.linalg.pinv(np.cov(x, rowvar=False), rcond=1e-15) @ np.cov(g, rowvar=False))


@pytest.mark.parametrize("mods", [["neardup"], ["exactdup"], ["lowrank:6"], ["offset:1000"]])
def test_h_score_of_awkward_features_is_the_published_one(mods):
    hard = case(seed=9, n=300, d=20, C=5, mods=mods)
    assert T.h_score(hard["X"], hard["y"]) == pytest.approx(published_h_score(hard["X"], hard["y"]), rel=1e-10)


def test_rank_correlation():
    stored = STORED["rank"]
    rng = np.random.default_rng(stored["seed"])
    a = rng.standard_normal(stored["n"])
    b = a + stored["noise"] * rng.standard_normal(stored["n"])
    for name, found in T.rank_correlation(a, b, n_boot=0).items():
        assert found.value == pytest.approx(stored[name], abs=1e-12)
