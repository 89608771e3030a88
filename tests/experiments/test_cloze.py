"""Cloze: the hidden word is not read, neighbours beyond the window are not read, and labels come last."""
import dataclasses

import numpy as np
import pytest
import torch

from tlutils.experiments import cloze

SMALL = cloze.Config(n_pool=60, n_test=30, labels=(8,), dim=6, steps=3, batch_size=16)


@pytest.fixture(scope="module")
def here():
    return cloze.material(SMALL, seed=0)


def test_words_are_numbered_in_their_order_and_unknown_ones_left_out():
    assert cloze.numbered(["The pan is red.", "red is"], ["is", "pan", "red"]).tolist() == [[2, 1, 3], [3, 1, 0]]
    with pytest.raises(ValueError, match="length must be at least 3, got 2"):
        cloze.numbered(["is is is"], ["is"], length=2)


@pytest.mark.parametrize("window", [1, 2, 100])
def test_only_visible_neighbours_count(window):
    torch.manual_seed(0)
    model, tokens = cloze.FillIn(9, 4, window), torch.tensor([[1, 2, 3, 4, 5, 0]])
    place = torch.tensor([1])
    scores = model(tokens, place)
    for k in range(5):
        changed = tokens.clone()
        changed[0, k] = 9
        assert torch.allclose(model(changed, place), scores) == (not 1 <= abs(k - 1) <= window)


def test_the_mean_leaves_out_what_fills_up():
    model = cloze.FillIn(9, 4, 100)
    short, long = cloze.mean_vector(model.vectors, torch.tensor([[1, 2], [1, 2]])), torch.tensor([[1, 2, 0, 0]])
    torch.testing.assert_close(cloze.mean_vector(model.vectors, long)[0], short[0])
    assert cloze.mean_vector(model.vectors, torch.zeros(1, 3, dtype=torch.long)).tolist() == [[0.0] * 4]


def test_pool_labelled_and_test_reviews_differ_and_words_come_from_the_pool(here):
    texts = [set(here.pool), set(here.texts), *(set(texts) for texts, _ in here.test.values())]
    assert all(len(a & b) < 3 for i, a in enumerate(texts) for b in texts[i + 1:])
    known = {word for text in here.pool for word in text.lower().replace(".", " ").split()}
    assert set(here.words) <= known


def test_it_learns_what_can_be_known():
    pool = ["good good", "bad bad"] * 50
    config = dataclasses.replace(SMALL, steps=150, lr=0.05)
    _, losses = cloze.trained(pool, ["bad", "good"], config, 0, window=3)
    assert losses[0] > 0.5 and losses[-1] < 0.05


def test_features_are_those_of_any_order_of_words(here):
    model, _ = cloze.trained(here.pool, here.words, SMALL, 0, 3)
    a, b = cloze.features(model, ["the plot is boring", "boring is plot the"], here.words)
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_one_small_run_has_all_rows():
    rows = cloze.run(SMALL, seed=1)
    accuracy = [row for row in rows if row["metric"].startswith("accuracy")]
    assert {row["method"] for row in accuracy} == {"bag of words", "narrow", "wide", "random"}
    assert {row["metric"] for row in accuracy} == {"accuracy, books", "accuracy, kitchen"}
    assert all(0 <= row["value"] <= 1 and row["labels"] == 8 for row in accuracy)


def test_guards(here):
    with pytest.raises(ValueError, match="window must be >= 1, got 0"):
        cloze.trained(here.pool, here.words, SMALL, 0, window=0)
