import numpy as np
import pytest
from PIL import Image

from tlutils.data import image_folder


def fill(folder, classes, n=10, size=(60, 40)):
    """Photographs whose red says which one it is, and whose green which class."""
    for k, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", size, (i * 20, k * 100, 0)).save(folder / name / f"{i}.png")


def test_train_and_val(tmp_path):
    fill(tmp_path / "train", ["bee", "ant"])
    fill(tmp_path / "val", ["ant", "bee"], n=4)
    (tmp_path / "train" / "ant" / "notes.txt").write_text("not an image")
    data = image_folder(str(tmp_path), side=32)
    assert data.name == tmp_path.name and data.classes.tolist() == ["ant", "bee"]
    assert data.train_images.shape == (20, 32, 32, 3) and data.test_images.shape == (8, 32, 32, 3)
    assert np.array_equal(data.train_images[:, 16, 16, 1], np.where(data.train_labels == 0, 100, 0))
    (tmp_path / "val").rename(tmp_path / "test")
    assert np.array_equal(image_folder(tmp_path, side=32).test_images, data.test_images)


def test_split_of_a_plain_folder(tmp_path):
    fill(tmp_path, ["ant", "bee", "wasp"])
    data, again, other = (image_folder(tmp_path, side=16, seed=seed) for seed in (0, 0, 1))
    assert np.bincount(data.train_labels).tolist() == [7, 7, 7] and np.bincount(data.test_labels).tolist() == [3, 3, 3]
    for k in range(3):
        reds = [*data.train_images[data.train_labels == k, 8, 8, 0], *data.test_images[data.test_labels == k, 8, 8, 0]]
        assert sorted(map(int, reds)) == [20 * i for i in range(10)]
    assert np.array_equal(data.test_images, again.test_images)
    assert not np.array_equal(data.test_images, other.test_images)


def test_resize_and_centre_crop(tmp_path):
    """448 x 256 becomes 256 at the shorter side; the crop of 224 is taken from its centre, upright."""
    pixels = np.zeros((256, 448, 3), np.uint8)
    pixels[:, :, 0] = np.arange(448) // 2
    pixels[:, :, 1] = np.arange(256)[:, None]
    exif = Image.Exif()
    exif[0x0112] = 3                                       # the camera was upside down
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "1.png")
        Image.fromarray(pixels[::-1, ::-1].copy()).save(tmp_path / name / "2.png", exif=exif)
        Image.new("L", (30, 300)).save(tmp_path / name / "3.png")
    data = image_folder(tmp_path)
    images = np.concatenate([data.train_images, data.test_images])
    assert images.shape == (6, 224, 224, 3)
    assert sorted(np.array_equal(image, pixels[16:240, 112:336]) for image in images) == [False] * 2 + [True] * 4


def test_damaged_image_is_named(tmp_path):
    fill(tmp_path, ["ant", "bee"])
    whole = (tmp_path / "ant" / "3.png").read_bytes()
    for content in (whole[:60], b"", b"no image at all"):
        (tmp_path / "ant" / "3.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"3\.png cannot be read"):
            image_folder(tmp_path, side=16)


def test_folders_that_do_not_fit(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        image_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no folder"):
        image_folder(tmp_path)
    fill(tmp_path / "train", ["ant", "bee"], n=1)
    fill(tmp_path / "val", ["ant", "wasp"], n=1)
    with pytest.raises(ValueError, match="same classes"):
        image_folder(tmp_path)
    with pytest.raises(ValueError, match="at least two images"):
        image_folder(tmp_path / "train")
    with pytest.raises(ValueError, match="side must"):
        image_folder(tmp_path, side=0)
    (tmp_path / "train" / "empty").mkdir()
    with pytest.raises(ValueError, match="no image in .*empty"):
        image_folder(tmp_path)


def test_ants_and_bees(real_root):
    if not (real_root / "hymenoptera_data").exists():
        pytest.skip(f"there is no hymenoptera_data in {real_root}")
    data = image_folder(real_root / "hymenoptera_data", side=32)
    assert data.classes.tolist() == ["ants", "bees"] and data.name == "hymenoptera_data"
    assert data.train_images.shape == (244, 32, 32, 3) and data.test_images.shape == (153, 32, 32, 3)
