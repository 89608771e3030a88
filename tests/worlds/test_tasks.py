"""Tasks and worlds: what a target holds, where it comes from, and that the seed alone decides."""
import dataclasses

import numpy as np
import pytest
import torch

from tlutils import data, worlds

SMALL = worlds.Source(n_source_classes=4, n_source=40, source_steps=3, n_target_classes=3, n_test=12)


def test_a_task_gives_its_four_parts_its_labels_and_few_of_each_class():
    made = worlds.task(data.gratings(100, 0), data.gratings(30, 1))
    x, y, x_test, y_test = made
    assert x is made.x and y_test is made.y_test and made.n_classes == 10 and len(x_test) == 30 and y.shape == (100,)
    assert isinstance(made.labels, np.ndarray) and made.test_labels.shape == (30,)
    few = made.few(2, seed=3)
    assert np.bincount(few.labels).tolist() == [2] * 10 and few.x_test is made.x_test
    keep = data.subset_per_class(made.labels, 2, 3)
    assert torch.equal(few.x, made.x[keep])


@pytest.mark.parametrize("name", worlds.TARGETS)
def test_a_target_follows_the_seed_and_its_test_images_are_new(name):
    _, _, unseen = worlds.source_images(SMALL, 0)
    one, again, other = (worlds.target(name, SMALL, seed, unseen, most=6) for seed in (0, 0, 1))
    assert torch.equal(one.x, again.x) and torch.equal(one.x_test, again.x_test)
    assert name == "digits" or not torch.equal(one.x, other.x)
    assert one.x.shape[1:] == (1, 24, 24) or name == "digits"
    n = min(len(one.x), len(one.x_test))
    assert not torch.equal(one.x[:n], one.x_test[:n])


def test_similar_classes_are_those_that_the_source_has_not_seen():
    x, y, unseen = worlds.source_images(SMALL, 5)
    assert len(x) == 40 and sorted(set(y.tolist())) == [0, 1, 2, 3]
    letters = set(data.glyph_classes("letters"))
    assert len(unseen) == len(letters) - 4 and set(unseen) < letters
    with pytest.raises(ValueError, match="target must be one of similar, digits"):
        worlds.target("cats", SMALL, 0, unseen, most=2)
    with pytest.raises(ValueError, match="world must be glyphs or photographs, got 'moon'"):
        worlds.source_images(dataclasses.replace(SMALL, world="moon"), 0)


def test_a_source_network_is_trained_on_the_images_it_is_given_or_draws_the_same():
    images = worlds.source_images(SMALL, 2)
    drawn, given = (worlds.source_network(SMALL, 2, images=one)[0] for one in (None, images))
    assert all(torch.equal(a, b) for a, b in zip(drawn.state_dict().values(), given.state_dict().values(), strict=True))
    assert drawn[-1].out_features == 4 and not drawn.training
    other, _ = worlds.source_network(SMALL, 3)
    assert not torch.equal(other[-1].weight, drawn[-1].weight)


def test_source_test_images_are_new_pictures_of_the_classes_that_were_seen():
    x, y = worlds.source_test(SMALL, 20, 2)
    images, _, _ = worlds.source_images(SMALL, 2)
    assert len(x) == 20 and set(y.tolist()) <= {0, 1, 2, 3} and not torch.equal(x, images[:20])
    letters = [str(c) for c in np.random.default_rng(2).permutation(data.glyph_classes("letters"))[:4]]
    trained_on = data.to_tensor(worlds.GLYPHS.images(letters, 20, 2)[0])
    assert not torch.equal(x, trained_on), "another draw than that of the source, of the same number too"


def test_photographs_bring_every_target_to_32_pixels_in_colour(monkeypatch):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (600, 32, 32, 3), dtype=np.uint8), np.arange(600) % 100
    names = np.array([f"thing {k}" for k in range(100)])
    made = data.Dataset("cifar100", images, labels, images[:300], labels[:300], names)
    grey = data.Dataset("mnist", images[..., 0][:, :28, :28], labels % 10, images[:50, :28, :28, 0], labels[:50] % 10,
                        np.arange(10).astype(str))
    monkeypatch.setattr(data, "load", lambda name, **_: grey if name == "mnist" else made)
    source = dataclasses.replace(SMALL, world="photographs")
    x, y, unseen = worlds.source_images(source, 0)
    assert x.shape == (24, 3, 32, 32) and len(unseen) == 96         # six images a class are all there are
    for name in worlds.TARGETS:
        found = worlds.target(name, source, 0, unseen, most=2)
        assert found.x.shape[1:] == found.x_test.shape[1:] == (3, 32, 32), name
    with pytest.raises(ValueError, match="CIFAR-100 has no class"):
        worlds.CIFAR100.images(["unicorn"], 1, 0)


def test_forty_letters_and_forty_symbols_are_reserved():
    assert len({*worlds.reserved("letters"), *worlds.reserved("symbols")}) == 80
    with pytest.raises(ValueError, match="group must be letters or symbols, got 'digits'"):
        worlds.reserved("digits")


POOL = {"n_pool": 60, "n_classes": 3, "n_other": 2, "n_labelled": 4, "n_test": 9, "side": 24}


def test_a_pool_keeps_labels_of_other_classes_apart():
    made = worlds.pool("glyphs", 0, **POOL)
    assert made.x.shape == (60, 3, 24, 24) and set(made.other.tolist()) == {-1, 0, 1}
    assert np.bincount(made.y_labelled.numpy()).tolist() == [4, 4, 4] and len(made.x_test) == 9
    assert len(made.few(2, 0)) == 6 and torch.equal(made.x, worlds.pool("glyphs", 0, **POOL).x)
    for wrong in ({"n_classes": 1000}, {"n_other": 1000}):
        with pytest.raises(ValueError, match="n_classes and n_other must be at most what the world holds"):
            worlds.pool("glyphs", 0, **POOL | wrong)
    with pytest.raises(ValueError, match="world must be"):
        worlds.pool("moon", 0, **POOL)
