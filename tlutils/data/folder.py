"""A folder of photographs as a data set."""
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tlutils.data.dataset import Dataset

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")


def image_folder(path: str | Path, side: int = 224, *, seed: int = 0) -> Dataset:
    """Read a folder of photographs, one sub-folder for each class, as torchvision's ImageFolder lays it out.

    Layout: path/train/<class>/* with path/val/<class>/* (or test for val); or path/<class>/* alone, of which a random
    30 % of each class, at least one image, becomes the test set.
    Shapes: uint8 (n, side, side, 3); about 150 kB an image at side 224.
    Convention: turned upright by the camera's mark, the shorter side resized to side * 256 / 224 (bicubic with
    antialiasing), then the centre cut out. Classes in the order of their names. `seed` matters for the random split.
    Errors: FileNotFoundError if the folder is not there; ValueError for an empty or differing class, or for an image
    that cannot be read, which it names.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(f"path must be a folder of photographs, but {path} is not there or no folder")
    if side < 1:
        raise ValueError(f"side must be at least 1, got {side}")
    held_out = [path / name for name in ("val", "test") if (path / name).is_dir()]
    if (path / "train").is_dir() and held_out:
        train, test = _files(path / "train"), _files(held_out[0])
        if list(train) != list(test):
            raise ValueError(f"{path / 'train'} and {held_out[0]} must have the same classes, "
                             f"got {list(train)} and {list(test)}")
    else:
        train, test, rng = _files(path), {}, np.random.default_rng(seed)
        for name, files in train.items():
            if len(files) < 2:
                raise ValueError(f"{path / name} must hold at least two images, to train and to test, got {len(files)}")
            files = [files[i] for i in rng.permutation(len(files))]
            n_test = max(1, round(0.3 * len(files)))
            train[name], test[name] = files[n_test:], files[:n_test]
    return Dataset(path.resolve().name, *_read(train, side), *_read(test, side), np.array(list(train)))


def _files(path: Path) -> dict[str, list[Path]]:
    classes = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    found = {p.name: sorted(f for f in p.iterdir() if f.suffix.lower() in SUFFIXES) for p in classes}
    empty = [name for name, files in found.items() if not files]
    if empty or not found:
        raise ValueError(f"{path} must hold one folder of images for each class, "
                         + (f"but there is no image in {empty}" if empty else "but has no folder"))
    return found


def _read(files: dict[str, list[Path]], side: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.stack([_image(file, side) for group in files.values() for file in group])
    labels = np.repeat(np.arange(len(files)), [len(group) for group in files.values()]).astype(np.int64)
    return images, labels


def _image(file: Path, side: int) -> np.ndarray:
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:    # Pillow says SyntaxError for some broken PNG files
        raise ValueError(f"{file} cannot be read as an image ({error}); remove or replace it") from error
    shrink = round(side * 256 / 224) / min(image.size)
    w, h = (max(side, round(shrink * length)) for length in image.size)
    left, top = (w - side) // 2, (h - side) // 2
    return np.asarray(image.resize((w, h), Image.Resampling.BICUBIC).crop((left, top, left + side, top + side)))
