"""The shelf experiment: fresh targets, scores before training, the truth after it."""
import dataclasses

import numpy as np
import pytest
import torch

from tlutils import data, train, transferability, zoo
from tlutils.experiments import shelf

TINY = dataclasses.replace(shelf.MODELS, checkpoints=("letters60", "letters60-rotation"), n_classes=3,
                           labels_per_class=8, n_test=30, steps=3)


@pytest.mark.parametrize("name, kind", [("letters", torch.int64), ("symbols", torch.int64), ("angle", torch.float32),
                                        ("gratings", torch.int64)])
def test_targets_are_repeatable_and_their_test_images_are_new(name, kind):
    x, y, x_test, y_test = shelf.target(name, TINY, seed=0)
    again = shelf.target(name, TINY, seed=0)
    assert torch.equal(x, again.x) and y.dtype == y_test.dtype == kind and len(x_test) == len(y_test) == 30
    assert not torch.equal(x[:10], x_test[:10]) and not torch.equal(x, shelf.target(name, TINY, seed=1).x)


def test_another_target_is_refused():
    with pytest.raises(ValueError, match="target must be letters, symbols, angle, gratings or cifar100, got 'cats'"):
        shelf.target("cats", TINY, 0)


def test_scores_are_those_of_the_package_on_the_features_below_the_head():
    x, y, *_ = shelf.target("letters", TINY, 0)
    model = zoo.load("letters60")
    found, seconds = shelf.scores(model, x, y)
    z = train.features(model, x).numpy()
    assert found["logme"] == transferability.logme(z, y.numpy()) and set(found) == set(seconds)
    both = transferability.scores(z, y.numpy(), source_probs=model(x).softmax(1).detach().numpy())
    for name, value in both.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name
    assert found["transrate_scaled"] == pytest.approx(
        transferability.transrate(z, y.numpy(), eps=1e-4 * np.linalg.norm(z, axis=1).mean() ** 2))


def test_a_number_is_a_regression_and_scored_by_r2():
    x, y, x_test, y_test = shelf.target("angle", TINY, 0)
    assert list(shelf.scores(zoo.load("random"), x, y)[0]) == ["logme"]
    model = shelf.fine_tune(zoo.load("random"), x, y, TINY, 0)
    guess = train.predict(model, x_test)[:, 0]
    expected = 1 - ((guess - y_test) ** 2).sum() / ((y_test - y_test.mean()) ** 2).sum()
    assert shelf.quality(model, x_test, y_test) == pytest.approx(float(expected), abs=1e-5)


def test_run_names_every_candidate_score_and_truth():
    rows = shelf.run(dataclasses.replace(TINY, targets=("letters", "angle")), seed=0)
    truths = {(r["target"], r["checkpoint"]): r["metric"] for r in rows if r["method"] == "fine-tune"
              and r["metric"] != "seconds"}
    assert truths == {("letters", name): "accuracy" for name in TINY.checkpoints} | {
        ("angle", name): "r2" for name in TINY.checkpoints}
    assert {r["method"] for r in rows if r["target"] == "letters" and r["metric"] == "score"} == {
        "source_accuracy", "transrate", "transrate_scaled", "transrate_rank", "h_score", "h_score_shrinkage", "logme",
        "lfc", "nleep", "leep", "nce"}


def test_layers_are_candidates_too():
    config = dataclasses.replace(TINY, choose="layer", checkpoints=("letters60",), targets=("letters",), layers=(2, 7))
    rows = shelf.run(config, seed=0)
    assert {(r["layer"], r["width"]) for r in rows} == {(2, 216), (7, 64)}
    assert {r["metric"] for r in rows if r["method"] == "probe"} == {"accuracy"}


def test_the_full_scale_puts_the_whole_shelf_on_photographs(monkeypatch):
    monkeypatch.delenv("TLUTILS_SCALE", raising=False)
    assert shelf.live() is shelf.LIVE
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    full = shelf.live()
    assert full.targets[0] == "cifar100" and set(full.checkpoints) == set(zoo.names())
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (600, 32, 32, 3), dtype=np.uint8), np.arange(600) % 100
    made = data.Dataset("cifar100", images, labels, images[:200], labels[:200], np.array([str(k) for k in range(100)]))
    monkeypatch.setattr(data, "load", lambda name, **_: made)
    small = dataclasses.replace(full, labels_per_class=3, n_classes=5, n_test=7)
    x, y, x_test, y_test = shelf.target("cifar100", small, 0)
    assert x.shape == (15, 1, 24, 24) and sorted(y.tolist()) == sorted(3 * list(range(5))) and len(x_test) == 7
    assert len(y_test) == 7 and not torch.equal(x, shelf.target("cifar100", small, 1).x)
