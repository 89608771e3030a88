"""Domain shifts: digits over photographs, strips that share no pixel, print without background."""
import numpy as np
import pytest

from tlutils import data


def test_digits_over_photographs_are_the_difference():
    digits = np.zeros((3, 4, 4), np.uint8)
    digits[1], digits[2, 0] = 255, 100
    photo = np.full((4, 4, 3), (10, 120, 250), np.uint8)
    mixed = data.mnist_m(digits, [photo], seed=0)
    assert mixed.shape == (3, 4, 4, 3) and mixed.dtype == np.uint8
    assert np.array_equal(mixed[0], photo) and np.array_equal(mixed[1], 255 - photo)
    assert mixed[2, 0, 0].tolist() == [90, 20, 150] and mixed[2, 1, 0].tolist() == [10, 120, 250]


def test_patches_come_from_everywhere_and_from_the_seed():
    photo = np.arange(30 * 40, dtype=np.int64).reshape(30, 40) % 251
    photo = np.repeat(photo[:, :, None], 3, 2).astype(np.uint8)
    digits = np.zeros((200, 8, 8), np.uint8)
    mixed = data.mnist_m(digits, [photo, 255 - photo], seed=1)
    assert np.array_equal(mixed, data.mnist_m(digits, [photo, 255 - photo], seed=1))
    assert not np.array_equal(mixed, data.mnist_m(digits, [photo, 255 - photo], seed=2))
    assert len({patch.tobytes() for patch in mixed}) > 150


def test_train_and_test_strips_share_no_pixel():
    train, test = data.photo_strips("train"), data.photo_strips("test")
    assert len(train) == len(test) == 16 and all(strip.shape == (854, 80, 3) for strip in train + test)
    from sklearn.datasets import load_sample_images
    china = load_sample_images().images[0].repeat(2, 0).repeat(2, 1)
    assert np.array_equal(train[0], china[:, :80]) and np.array_equal(test[0], china[:, 80:160])
    assert np.array_equal(train[1], china[:, 160:240])


def test_printed_digits_are_bright_on_plain_black():
    images, labels = data.rendered_digits(100, seed=0)
    assert images.shape == (100, 24, 24) and np.bincount(labels).tolist() == [10] * 10
    assert (images.reshape(100, -1).max(1) > 200).all() and np.median(images) <= 3
    assert (images[:, 0, 0] <= 3).mean() > 0.9
    assert np.array_equal(images, data.rendered_digits(100, seed=0)[0])


@pytest.mark.parametrize("call, message", [
    (lambda: data.mnist_m(np.zeros((2, 4, 4)), [], 0), r"digits must be uint8 \(n, h, w\), got float64"),
    (lambda: data.mnist_m(np.zeros((2, 4, 4), np.uint8), [], 0), "at least one photograph"),
    (lambda: data.mnist_m(np.zeros((2, 4, 4), np.uint8), [np.zeros((9, 3, 3), np.uint8)], 0), "of at least 4 x 4"),
    (lambda: data.photo_strips("val"), "split must be train or test, got 'val'"),
    (lambda: data.photo_strips("train", enlarge=0), "width and enlarge must be >= 1"),
    (lambda: data.glyphs("ab", 2, 0, background=-1), "background >= 0")])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
