"""Pretext tasks: no label is read, and probes ask what they say."""
import dataclasses

import numpy as np
import pytest
import torch

from tlutils import data, env
from tlutils.experiments import pretexts

SMALL = pretexts.Config(n_pool=60, n_classes=3, n_other=3, n_labelled=8, n_test=24, n_probe=8, steps=2,
                        views_per_step=16, widths=(4, 4, 8), n_features=8)


@pytest.fixture(scope="module")
def parts():
    return pretexts.data(SMALL, seed=0)


@pytest.fixture(scope="module")
def images(parts):
    return parts["pool"]


@pytest.mark.parametrize("method", pretexts.METHODS)
def test_no_label_and_no_test_image_is_read(images, method):
    poisoned = dataclasses.replace(images, x_labelled=images.x_labelled + 9, y_labelled=images.y_labelled * 0,
                                   x_test=images.x_test * torch.nan, y_test=images.y_test * 0 - 7,
                                   other=images.other if method == "supervised" else images.other * 0 - 1)
    f, g = (pretexts.pretrained(method, SMALL, pool, 0)[0] for pool in (images, poisoned))
    for a, b in zip(f.state_dict().values(), g.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_every_task_moves_the_encoder(images):
    start = torch.cat([p.flatten() for p in pretexts.pretrained("random", SMALL, images, 0)[0].parameters()])
    for method in pretexts.METHODS[1:]:
        f, losses, _ = pretexts.pretrained(method, SMALL, images, 0)
        assert len(losses) == SMALL.steps
        assert not torch.allclose(start, torch.cat([p.flatten() for p in f.parameters()]))


def test_questions_are_about_the_same_images(parts):
    images = parts["pool"]
    assert list(parts) == ["pool", *pretexts.QUESTIONS]
    x, y = parts["class"].x, parts["class"].y
    assert torch.bincount(y).tolist() == [8] * 3
    assert torch.equal(x, parts["ink"].x) and torch.equal(parts["class"].x_test, images.x_test)
    turned, quarter = parts["turn"].x, parts["turn"].y
    back = torch.stack([image.rot90(-int(k), (1, 2)) for image, k in zip(turned, quarter, strict=True)])
    assert torch.equal(back, x) and quarter.min() >= 0 and quarter.max() <= 3
    letters = data.glyph_classes("latin")[:3]
    _, labels, drawn = data.colour_glyphs(letters, 24, 2, return_attributes=True)       # the test images of seed 0
    assert np.array_equal(labels, images.y_test.cpu())
    ink = parts["ink"].y_test
    bits = torch.stack([ink // 4 % 2, ink // 2 % 2, ink % 2], 1)
    assert np.array_equal(bits.numpy() == 1, drawn["ink"] > 0.5)


def test_one_small_run_has_all_rows():
    rows = pretexts.run(SMALL, seed=1)
    accuracy = [row for row in rows if row["metric"] == "accuracy"]
    assert len(accuracy) == len(pretexts.METHODS) * 3 * 4
    assert {row["layer"] for row in accuracy} == {"conv1", "conv2", "conv3", "fc"}
    assert all(0 <= row["value"] <= 1 for row in accuracy)
    assert {row["method"] for row in rows if row["metric"] == "loss"} == set(pretexts.METHODS[1:])


def test_the_larger_scale_asks_the_same_questions_of_photographs(monkeypatch, real_root):
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    config = dataclasses.replace(env.pick(pretexts.LAPTOP, pretexts.FULL), n_pool=200, n_classes=3, n_other=3,
                                 n_labelled=30, n_test=12, n_probe=30, steps=1, views_per_step=16, widths=(4, 4, 8),
                                 n_features=8)
    parts = pretexts.data(config, 0)
    images, asked = parts["pool"], {name: parts[name] for name in pretexts.QUESTIONS}
    assert config.world == "photographs"
    assert asked["ink"].y.max() < 8 and asked["turn"].x.shape[1:] == (3, 32, 32)
    for method in ("pair", "imputation"):
        assert pretexts.probed(pretexts.pretrained(method, config, images, 0)[0], asked, 0)["class", "fc"] >= 0


def test_guards(images):
    with pytest.raises(ValueError, match="method must be one of .* got 'jigsaw'"):
        pretexts.pretrained("jigsaw", SMALL, images, 0)


def test_colours_are_kept_where_the_method_says_so(images, monkeypatch):
    seen = []
    monkeypatch.setattr(pretexts.pretraining, "pretext", lambda *_, views, **__: (seen.append(views), (None, []))[1])
    for method in ("rotation", "rotation, colours kept"):
        pretexts.pretrained(method, SMALL, images, 0)
    assert seen[0] == {"area": (0.5, 1.0), "rotate": 0.2, "flip": 0.0, "colour": 0.5, "mix": 0.56, "grey": 0.2,
                       "blur": 0.0}
    assert seen[1] == seen[0] | {"colour": 0.0, "mix": 0.0, "grey": 0.0}
