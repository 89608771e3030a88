"""Smears: balanced, repeatable, and no single average tells the class."""
import numpy as np
import pytest

from tlutils.data.smears import CLASSES, smears


def test_balanced_repeatable_and_seeded():
    images, labels = smears(60, seed=1)
    assert images.shape == (60, 24, 24) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [10] * len(CLASSES)
    np.testing.assert_array_equal(images, smears(60, seed=1)[0])
    assert not np.array_equal(images, smears(60, seed=2)[0])
    assert smears(6, seed=0, side=32)[0].shape == (6, 32, 32)


def test_brightness_alone_says_little():
    images, labels = smears(1200, seed=0)
    mean = images.mean((1, 2))
    centres = np.array([mean[labels == k].mean() for k in range(len(CLASSES))])
    guess = np.abs(mean[:, None] - centres).argmin(1)
    assert (guess == labels).mean() < 0.45


def test_without_contrast_and_noise_a_picture_is_empty():
    assert np.ptp(smears(12, seed=0, contrast=0, noise=0)[0]) == 0


@pytest.mark.parametrize("bad", [{"n": 0}, {"side": 4}, {"noise": -1}, {"contrast": -1}])
def test_guards(bad):
    with pytest.raises(ValueError, match="need n >= 1"):
        smears(**({"n": 6, "seed": 0} | bad))
