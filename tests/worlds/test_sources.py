"""Source networks and their targets: balanced, of the right size, and no target that the source has seen."""
import dataclasses

import numpy as np
import pytest
import torch

from tlutils import data, models, worlds

SMALL = worlds.Source(n_source_classes=4, n_source=80, source_steps=8, n_test=40, batch_size=16)


@pytest.fixture(scope="module")
def unseen():
    return worlds.source_images(SMALL, seed=0)[2]


@pytest.mark.parametrize("name, k", [("similar", 10), ("symbols", 10), ("texture", 10), ("digits", 10), ("smears", 6)])
def test_targets_are_balanced_and_fit_the_network(unseen, name, k):
    task = worlds.target(name, SMALL, 0, unseen, most=4)
    assert task.x.shape[1:] == task.x_test.shape[1:] == (1, 24, 24)
    assert torch.bincount(task.y).min() >= 4 and (name == "digits" or len(task.y) == 4 * k)
    assert task.y.unique().tolist() == task.y_test.unique().tolist() == list(range(k))
    assert task.n_classes == k and len(task.few(2, seed=0).y) == 2 * k


def test_similar_letters_were_never_seen_by_the_source():
    letters = np.random.default_rng(3).permutation(data.glyph_classes("letters"))
    quick = worlds.Source(n_source=120, source_steps=1)
    assert not set(worlds.source_network(quick, seed=3)[1]) & set(letters[: quick.n_source_classes])


def test_a_source_is_trained_on_the_images_that_are_given_or_drawn_and_by_the_seed():
    drawn = worlds.source_images(SMALL, seed=0)
    nets = [worlds.source_network(SMALL, 0, images=drawn)[0], worlds.source_network(SMALL, 0)[0],
            worlds.source_network(SMALL, 1, images=drawn)[0]]
    weights = [torch.cat([p.detach().flatten() for p in net.parameters()]) for net in nets]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    vit, _ = worlds.source_network(SMALL, 0, images=drawn, build=models.tiny_vit)
    assert "block3" in dict(vit.named_children()) and vit.head.out_features == 4


def test_the_source_is_tested_on_new_images_of_its_classes():
    (x, y), (x_test, y_test) = worlds.source_images(SMALL, seed=0)[:2], worlds.source_test(SMALL, 40, seed=0)
    assert y.unique().tolist() == y_test.unique().tolist() == [0, 1, 2, 3]
    assert not {image.numpy().tobytes() for image in x} & {image.numpy().tobytes() for image in x_test}


def test_words_that_name_nothing(unseen):
    with pytest.raises(ValueError, match="target must be .* got 'faces'"):
        worlds.target("faces", SMALL, 0, unseen, most=4)
    with pytest.raises(ValueError, match="world must be"):
        worlds.source_images(dataclasses.replace(SMALL, world="sounds"), 0)
    with pytest.raises(ValueError, match="group must be letters or symbols"):
        worlds.reserved("digits")


def test_among_photographs_all_targets_are_in_colour(real_root):
    source = dataclasses.replace(SMALL, world="photographs", n_source=120)
    x, _, unseen = worlds.source_images(source, 0)
    assert x.shape[1:] == (3, 32, 32)
    for name in worlds.TARGETS:
        task = worlds.target(name, source, 0, unseen, most=5)
        assert task.x.shape[1:] == task.x_test.shape[1:] == (3, 32, 32)
        assert torch.bincount(task.y).min() >= 5
    with pytest.raises(ValueError, match="no class"):
        worlds.CIFAR100.images(["unicorn"], 10, 0)


def test_letters_in_one_manner_and_test_images_in_another():
    names = np.array(data.glyph_classes("letters"))[60:]
    here = worlds.Source(n_target_classes=4, n_test=20)
    task, x, y = worlds.shifted(here, 3, names, most=6)
    assert np.bincount(task.labels).tolist() == [6] * 4 and np.bincount(task.test_labels).tolist() == [5] * 4
    assert y.bincount().tolist() == [5] * 4 and x.shape == task.x_test.shape
    # dark on light: the darkest pixels lie further from the median than the lightest; light on dark: the other way
    for images, dark in ((task.x, True), (task.x_test, True), (x, False)):
        flat = images.flatten(1)
        middle = flat.median(1).values
        assert (((middle - flat.min(1).values) > (flat.max(1).values - middle)) == dark).float().mean() > 0.8
    other, *_ = worlds.shifted(here, 4, names, most=6)
    assert not torch.equal(other.x, task.x)
    with pytest.raises(ValueError, match="glyphs"):
        worlds.shifted(worlds.Source(world="photographs"), 0, names, most=2)
