"""Selection among real networks: the same scores, honest truths, every layer."""
import dataclasses

import numpy as np
import pytest
import torch

from tlutils.experiments import photo_shelf
from tlutils.worlds import photographs

TINY = dataclasses.replace(photo_shelf.MODELS, targets=("cifar100",), n_classes=3, labels_per_class=6, side=32, steps=2,
                           batch_size=6, sources=(photo_shelf.MODELS.sources[3], photo_shelf.MODELS.sources[5]))


def test_another_target_is_refused():
    with pytest.raises(ValueError, match="target must be cifar100 or ants and bees, got 'cats'"):
        photo_shelf.target("cats", TINY, 0)


def test_features_of_every_depth_are_one_row_an_image():
    model = photographs.network(TINY.sources[0], 0)
    x = torch.randn(4, 3, 32, 32)
    assert [photo_shelf.features(model, x, n).shape for n in (1, 5, None)] == [(4, 32), (4, 32), (4, 1280)]
    np.testing.assert_allclose(photo_shelf.features(model, x, 5),
                               torch.nn.Sequential(*list(model)[:5])(x).mean((2, 3)).detach().numpy(), rtol=1e-4)


def test_run_scores_and_tunes_every_candidate(real_root):
    rows = photo_shelf.run(TINY, seed=0)
    assert {(r["source"], r["method"]) for r in rows if r["metric"] == "accuracy"} == {
        (s.name, method) for s in TINY.sources for method in ("probe", "fine-tune")}
    assert {"transrate", "logme", "leep", "nce"} <= {r["method"] for r in rows if r["metric"] == "score"}
    x, y, x_test, y_test = photo_shelf.target("cifar100", TINY, 0)
    assert x.shape == (18, 3, 32, 32) and len(x_test) == 300 and set(y.tolist()) == set(y_test.tolist()) == {0, 1, 2}


def test_run_looks_at_layers(real_root):
    config = dataclasses.replace(TINY, choose="layer", stages=(1, 5), sources=TINY.sources[:1])
    rows = photo_shelf.run(config, seed=0)
    assert {(r["layer"], r["width"]) for r in rows} == {(1, 32), (5, 32)}
    assert not [r for r in rows if r["method"] == "fine-tune"]
