"""CLIP in miniature: nothing leaks into training, captions belong to their pictures, and every question is asked."""
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tlutils import data, env, selfsup, train
from tlutils.data import prompts
from tlutils.experiments import clip

TINY = clip.Config(n_train=200, n_test=60, steps=3, batch_size=16, widths=(4,) * 6, dim=8)


@pytest.fixture(scope="module")
def splits():
    return clip.pictures(TINY, seed=0)


@pytest.fixture(scope="module")
def model(splits):
    return clip.trained(*splits["train"], TINY, seed=0)[0]


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_held_out_pairs_are_in_the_split_that_is_named_after_them_and_in_no_other(splits):
    held = data.held_out_pairs(TINY.held, 0)
    for name, (x, a) in splits.items():
        assert held[a["letter"], a["colour"]].all() if name == "held" else not held[a["letter"], a["colour"]].any()
        assert x.shape == (len(a["letter"]), 3, 24, 24)
    assert not torch.equal(splits["train"][0][:60], splits["seen"][0])


def test_training_does_not_depend_on_the_test_pictures(splits, model):
    other = clip.pictures(dataclasses.replace(TINY, n_test=7), seed=0)["train"]
    assert torch.equal(other[0], splits["train"][0])
    assert torch.equal(weights(clip.trained(*other, TINY, seed=0)[0]), weights(model))


def test_the_vocabulary_is_that_of_the_captions_alone(model):
    assert "red" in model.words and "scarlet" in model.words and "crimson" not in model.words
    tokens = model.tokens(["a crimson a", "a red a"])
    assert (tokens == 1).sum() == 1 and tokens.shape == (2, 16)


def test_captions_of_a_batch_belong_to_its_pictures_and_are_new_at_every_step(splits, model):
    x, a = splits["train"]
    steps = list(clip.batches(model, x, a, dataclasses.replace(TINY, batch_size=200, steps=2), seed=0))
    assert [images.shape[0] for images, _ in steps] == [200, 200]
    first = [int((x == image).flatten(1).all(1).nonzero()[0, 0]) for image in steps[0][0][:20]]
    for row, i in zip(steps[0][1], first, strict=False):
        said = {model.words[t - 2] for t in row.tolist() if t > 1}
        assert prompts.NAMES["letter"][a["letter"][i]] in said
    same = {tuple(row.tolist()) for row in steps[0][1]} & {tuple(row.tolist()) for row in steps[1][1]}
    assert len(same) < 60


def test_the_loss_is_that_of_unit_vectors_and_moves_every_part(splits, model):
    batch = next(clip.batches(model, *splits["train"], TINY, seed=0))
    model.zero_grad()
    loss = clip.loss(model, batch)
    loss.backward()
    image, text = F.normalize(model.image(batch[0])), F.normalize(model.text(batch[1]))
    logits = model.scale() * image @ text.T
    slowly = -(logits.log_softmax(1).diag().mean() + logits.log_softmax(0).diag().mean()) / 2
    torch.testing.assert_close(loss, slowly, rtol=1e-3, atol=1e-3)      # BatchNorm's statistics have moved in between
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in (model.text.place, model.scale.t))


def test_every_question_has_a_class_for_every_value():
    sizes = {"letter": 16, "colour": 8, "ground": 4, "size": 2, "pair": 128}
    for name, (attribute, texts) in clip.questions().items():
        assert len(texts) == sizes[attribute], name


@pytest.mark.parametrize("heads", [24, 128])
def test_supervised_scores_are_read_by_their_heads(heads):
    a = {"letter": np.array([0, 15, 2]), "colour": np.array([3, 7, 1])}
    scores = torch.zeros(3, heads)
    if heads == 24:
        scores[[0, 1, 2], [0, 15, 3]] = 1                      # the third letter is wrong
        scores[[0, 1, 2], [16 + 3, 16 + 7, 16 + 1]] = 1
    else:
        scores[[0, 1, 2], [3, 127, 8 * 3 + 1]] = 1
    found = clip.evaluate_labelled(torch.nn.Identity(), scores, a)
    assert found == pytest.approx({"letter": 2 / 3, "colour": 1, "pair": 2 / 3})


def test_pairs_that_do_not_occur_get_no_gradient_from_the_softmax_over_seen_pairs(splits, monkeypatch):
    caught = {}

    def fit(model, batches, loss, *args, **kwargs):
        caught["loss"] = loss
    monkeypatch.setattr(clip.train, "fit", fit)
    x, a = splits["train"]
    missing = torch.from_numpy(data.held_out_pairs(TINY.held, 0)).flatten()
    for method, silent in (("joint softmax", True), ("two heads", False)):
        clip.supervised(x, a, TINY, 0, method)
        scores = torch.zeros(1, 24, requires_grad=True)
        y = torch.from_numpy(prompts.label(a, "pair")[:1])
        g, = torch.autograd.grad(caught["loss"](torch.nn.Identity(), (scores, y)), scores)
        share = torch.ones(128).masked_fill(missing, 0) if silent else torch.ones(128)
        letters = share.view(16, 8).sum(1) / share.sum()
        letters[y // 8] -= 1
        torch.testing.assert_close(g[0, :16], letters)


@pytest.mark.parametrize("variants", [("base",), ("count rarely told",)])
def test_one_small_run(variants):
    rows = clip.run(dataclasses.replace(TINY, variants=variants), seed=1)
    assert {row["variant"] for row in rows} == set(variants)
    assert {row["split"] for row in rows if "split" in row} == {"seen", "held"}
    assert all(0 <= row["value"] <= 1 for row in rows if row["unit"] == "fraction")
    counted = {row["variant"] for row in rows if row.get("question") == "count, ensemble"}
    assert counted == {variant for variant in variants if "count" in variant}
    assert {row["question"] for row in rows if row["metric"] == "accuracy" and row["method"] == "two heads"} <= {
        "letter", "colour", "pair"}


def test_a_record_names_the_pictures_of_every_variant():
    parts = clip.EXPERIMENT.describe(dataclasses.replace(TINY, variants=("base", "count always told")))["parts"]
    assert {name: part["n"] for name, part in parts.items()} == {
        f"{variant}, {split}": n for variant in ("base", "count always told")
        for split, n in (("train", 200), ("seen", 60), ("held", 60))}
    assert len({part["sha256"] for part in parts.values()}) == 6


def test_words_are_encoded_as_in_training(model):
    z = clip.text_encoder(model)(["red b", "blue k"])
    torch.testing.assert_close(z, train.predict(model.text, model.tokens(["red b", "blue k"])))
    vectors = selfsup.class_vectors(clip.text_encoder(model), [["red b"], ["blue k"]])
    torch.testing.assert_close(vectors, F.normalize(z))


def test_unknown_words_all_look_alike(splits, model):
    found = clip.evaluate_prompts(model, *splits["seen"])
    assert found["colour, unknown word"] == pytest.approx((splits["seen"][1]["colour"] == 0).mean())


def test_guards(splits):
    with pytest.raises(ValueError, match="method must be .* got 'guess'"):
        clip.supervised(*splits["train"], TINY, 0, "guess")
    with pytest.raises(ValueError, match="style must be"):
        clip.pair(dataclasses.replace(TINY, captions="none"), 0)


def test_the_larger_scale_is_the_same_world(monkeypatch):
    monkeypatch.setenv("TLUTILS_SCALE", "laptop")
    assert env.pick(clip.LAPTOP, clip.FULL) is clip.LAPTOP
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    large = env.pick(clip.LAPTOP, clip.FULL)
    assert large.side == 32 and large.n_train > clip.LAPTOP.n_train
    small = dataclasses.replace(large, n_train=40, n_test=20, steps=2, batch_size=16, widths=(4,) * 6)
    assert len({row["method"] for row in clip.run(small, seed=0)}) == 4
