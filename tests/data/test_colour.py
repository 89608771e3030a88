"""Coloured characters: what they are, and that colour says nothing about the class."""
import numpy as np
import pytest

from tlutils import data


def test_shapes_balance_and_repeatability():
    images, labels = data.colour_glyphs("abcd", n=42, seed=3)
    assert images.shape == (42, 24, 24, 3) and images.dtype == np.uint8
    assert labels.dtype == np.int64 and set(np.bincount(labels)) <= {10, 11}
    again, _ = data.colour_glyphs("abcd", n=42, seed=3)
    other, _ = data.colour_glyphs("abcd", n=42, seed=4)
    assert np.array_equal(images, again) and not np.array_equal(images, other)


def test_without_jitter_gradient_and_noise_an_image_holds_ink_ground_and_their_mixtures():
    images, _ = data.colour_glyphs("l", n=20, seed=0, jitter=0, gradient=0, noise=0)
    for image in images.reshape(20, -1, 3).astype(float):
        ground = image[0]
        apart = image - ground
        ink = apart[np.linalg.norm(apart, axis=1).argmax()]
        assert np.linalg.norm(ink) > 0.5 * 255                          # 0.6 less what anti-aliasing takes away
        across = apart - np.outer(apart @ ink / (ink @ ink), ink)
        assert np.abs(across).max() < 2                                 # all on the line from ground to ink


def test_colour_says_nothing_about_the_character():
    images, labels = data.colour_glyphs("abcdefgh", n=4000, seed=1)
    means = images.reshape(len(images), -1, 3).mean(1)
    between = np.stack([means[labels == c].mean(0) for c in range(8)]).std(0)
    assert (between < 3 * means.std(0) / np.sqrt(500)).all()


def test_grey_masks_are_those_of_the_grey_glyphs():
    colour, labels = data.colour_glyphs("xy", n=8, seed=5, gradient=0, noise=0)
    grey, same = data.glyphs("xy", n=8, seed=5, jitter=0.67, noise=0, background=0)
    assert np.array_equal(labels, same)
    for a, b in zip(colour, grey, strict=True):
        ink = np.abs(b.astype(float) - 127.5)
        paint = np.linalg.norm(a.astype(float) - a[0, 0], axis=-1)
        assert np.corrcoef(ink.ravel(), paint.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("bad", [{"gradient": -1}, {"noise": -0.1}, {"jitter": 3}, {"side": 4}])
def test_bad_input_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        data.colour_glyphs("ab", n=4, seed=0, **bad)


def test_ink_and_ground_are_the_colours_of_a_picture():
    images, _, drawn = data.colour_glyphs("■", 30, 0, noise=0, gradient=0, return_attributes=True)
    np.testing.assert_allclose(images[:, 12, 12] / 255, drawn["ink"], atol=0.03)
    np.testing.assert_allclose(images[:, 0, 0] / 255, drawn["ground"], atol=0.03)
