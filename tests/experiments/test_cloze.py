"""Cloze: what can be known is learned, test reviews are new, and labels come last."""
import dataclasses

import numpy as np
import pytest

from tlutils.experiments import cloze

SMALL = cloze.Config(n_pool=60, n_test=30, labels=(8,), dim=6, steps=3, batch_size=16)


@pytest.fixture(scope="module")
def here():
    return cloze.data(SMALL, seed=0)


def test_pool_labelled_and_test_reviews_differ_and_words_come_from_the_pool(here):
    texts = [set(here["pool"]), *(set(here[part][0]) for part in ("labelled", *cloze.PRODUCTS))]
    assert all(len(a & b) < 3 for i, a in enumerate(texts) for b in texts[i + 1:])
    known = {word for text in here["pool"] for word in text.lower().replace(".", " ").split()}
    assert set(here["words"]) <= known


def test_it_learns_what_can_be_known():
    pool = ["good good", "bad bad"] * 50
    config = dataclasses.replace(SMALL, steps=150, lr=0.05)
    _, losses = cloze.trained(pool, ["bad", "good"], config, 0, window=3)
    assert losses[0] > 0.5 and losses[-1] < 0.05


def test_features_are_those_of_any_order_of_words(here):
    model, _ = cloze.trained(here["pool"], here["words"], SMALL, 0, 3)
    a, b = cloze.features(model, ["the plot is boring", "boring is plot the"], here["words"])
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_one_small_run_has_all_rows():
    rows = cloze.run(SMALL, seed=1)
    accuracy = [row for row in rows if row["metric"] == "accuracy"]
    assert {row["method"] for row in accuracy} == {"bag of words", "narrow", "wide", "random"}
    assert {row["target"] for row in accuracy} == {"books", "kitchen"} and len(accuracy) == 8
    assert [row["method"] for row in rows if row["metric"] == "loss"] == ["narrow", "wide"]
    assert all(0 <= row["value"] <= 1 and row["labels"] == 8 for row in accuracy)


def test_guards(here):
    with pytest.raises(ValueError, match=r"window must be >= 1, got \d+, 6 and 0"):
        cloze.trained(here["pool"], here["words"], SMALL, 0, window=0)
