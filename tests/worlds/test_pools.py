"""Pools: labels and tests are new pictures of the right classes, and other paint changes colour alone."""
import pytest
import torch

from tlutils import worlds

SIZES = {"n_pool": 240, "n_classes": 4, "n_other": 6, "n_labelled": 6, "n_test": 40, "side": 24}


@pytest.fixture(scope="module")
def images():
    return worlds.pool("glyphs", 0, **SIZES)


def test_pool_labels_and_test_are_different_pictures_of_the_right_classes(images):
    assert images.x.shape == (240, 3, 24, 24) and images.x_labelled.shape == (24, 3, 24, 24)
    assert set(images.other.tolist()) == {-1, *range(6)} and (images.other < 0).sum() == 96
    assert set(images.y_test.tolist()) == set(images.y_labelled.tolist()) == set(range(4))
    seen = {picture.sum().item() for part in (images.x, images.x_labelled, images.x_test) for picture in part}
    assert len(seen) == 240 + 24 + 40
    assert not torch.equal(images.x, worlds.pool("glyphs", 1, **SIZES).x)


@pytest.mark.parametrize("wrong", [{"name": "clouds"}, {"n_classes": 99}, {"n_other": 99}])
def test_worlds_and_classes_that_do_not_exist(wrong):
    with pytest.raises(ValueError, match="must be"):
        worlds.pool(**{"name": "glyphs", "seed": 0} | SIZES | wrong)


def test_repainted_pictures_have_no_colour_and_even_ones_no_brightness(images):
    assert images.repainted("colour") is images
    for paint in ("grey", "even"):
        done = images.repainted(paint)
        for x in (done.x, done.x_labelled, done.x_test):
            assert torch.equal(x[:, 0], x[:, 1]) and torch.equal(x[:, 0], x[:, 2])
    torch.testing.assert_close(done.x.mean((2, 3)), torch.zeros_like(done.x[:, :, 0, 0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(done.x.std((2, 3)), torch.full_like(done.x[:, :, 0, 0], 0.8))
    with pytest.raises(ValueError, match="'sepia'"):
        images.repainted("sepia")
