import numpy as np
import pytest
from sklearn.datasets import load_sample_images
from sklearn.neighbors import KNeighborsClassifier

from tlutils.data import Dataset, load, script_of


@pytest.mark.parametrize(("name", "train", "test", "k"), [
    ("glyphs", (6000, 24, 24), (3000, 24, 24), 60), ("digits", (900, 24, 24), (897, 24, 24), 10),
    ("photos", (2000, 32, 32, 3), (1000, 32, 32, 3), 2)])
def test_shapes_balance_and_determinism(name, train, test, k):
    data, again = load(name), load(name, root="nowhere", download=True)
    assert data.name == name and data.train_images.shape == train and data.test_images.shape == test
    assert len(data.classes) == k and data.classes.dtype.kind == "U"
    for split in ("train", "test"):
        assert np.array_equal(getattr(data, f"{split}_images"), getattr(again, f"{split}_images"))
        labels = getattr(data, f"{split}_labels")
        assert np.array_equal(labels, getattr(again, f"{split}_labels"))
        counts = np.bincount(labels, minlength=k)
        assert counts.min() > 0.95 * counts.mean()
    overlap = set(map(bytes, data.train_images)) & set(map(bytes, data.test_images))
    assert len(overlap) == 0


def test_glyphs_say_their_scripts():
    data = load("glyphs")
    assert [script_of(c) for c in data.classes] == data.extras["scripts"].tolist()
    assert np.unique(data.extras["scripts"], return_counts=True)[1].tolist() == [12] * 5


def test_digits_are_framed_and_readable():
    data = load("digits")
    frame = np.ones((24, 24), bool)
    frame[2:22, 2:22] = False
    assert (data.train_images[:, frame] == 0).all()
    assert data.train_images.max() == 255 and data.train_images[:, ~frame].max(1).min() > 150
    near = KNeighborsClassifier(1).fit(data.train_images.reshape(900, -1), data.train_labels)
    assert near.score(data.test_images.reshape(897, -1), data.test_labels) > 0.95


def test_photo_patches_come_from_disjoint_parts():
    """Every patch is found again in its photograph: train left of column 384, test right of it."""
    data, photos = load("photos"), load_sample_images().images
    views = [np.lib.stride_tricks.sliding_window_view(photo[:, :, 0], (32, 32)) for photo in photos]
    for images, labels, first, last in ((data.train_images, data.train_labels, 0, 384),
                                        (data.test_images, data.test_labels, 384, 640)):
        for i in range(12):
            corner, centre = images[i, 0, 0, 0], images[i, 16, 16, 0]
            part = views[labels[i]][:, first:last - 31]
            rows, columns = np.nonzero((part[..., 0, 0] == corner) & (part[..., 16, 16] == centre))
            assert (part[rows, columns] == images[i, :, :, 0]).all((1, 2)).any()


def test_unknown_name():
    with pytest.raises(ValueError, match="'imagenet'"):
        load("imagenet")


X, Y = np.zeros((4, 3, 3), np.uint8), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(("x", "y", "message"), [
    (X.astype(float), Y, "train_images must be uint8"), (X[0], Y, "train_images"), (X[..., None], Y, "train_images"),
    (X, Y.astype(np.int32), "train_labels must be int64"), (X, Y[:3], "train_labels"), (X, Y - 1, "got -1"),
    (X, Y + 1, r"0\.\.1, got 1\.\.2")])
def test_dataset_refuses_what_does_not_fit(x, y, message):
    with pytest.raises(ValueError, match=message):
        Dataset("broken", x, y, X, Y, np.array(["a", "b"]))
    with pytest.raises(ValueError, match=message.replace("train", "test")):
        Dataset("broken", X, Y, x, y, np.array(["a", "b"]))
