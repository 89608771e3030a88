"""A folder of photographs as a data set."""
import re
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from tlutils.data.dataset import Dataset
from tlutils.env import check_seed

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".tif", ".tiff")
# Pillow goes by content, not by name, and knows kinds that start other programs: only these are opened.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "PPM", "TIFF")
TRAIN, HELD_OUT = ("train", "training"), ("val", "valid", "validation", "test", "testing")
_NOT_MEANT = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"}   # systems leave them
_UPRIGHT = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
            7: "TRANSVERSE", 8: "ROTATE_90"}                               # by the number of the camera's mark
# Pixels that are decoded at most: 720 MB in memory. Of the kinds with animation, which keep several copies, a quarter.
LARGEST, LARGE = 178_956_970, 16_777_216


def image_folder(path: str | Path, side: int = 224, *, seed: int = 0) -> Dataset:
    """Read a folder of photographs, one sub-folder for each class, as torchvision's ImageFolder lays it out.

    Layout: path/train/<class>/** with path/val/<class>/** (or test for val; val if there are both); or path/<class>/**
    alone, of which a random 30 % of each class, at least one image, becomes the test set. In place of the class folders
    images may lie side by side, the class in their names: what stands before the first dot (cat.12.jpg), else before
    the number at the end (cat_12.jpg).
    Shapes: uint8 (n, side, side, 3); about 150 kB an image at side 224.
    Convention: turned upright by the camera's mark, the shorter side resized to side * 256 / 224 (bicubic with
    antialiasing), then the centre cut out. 16 bits become 8, transparent parts white; of an animation the first frame.
    Classes in the order of their names. `seed` matters for the random split. Hidden files are not meant; a warning
    counts other kinds that are passed over, and says if there is one class only.
    Errors: FileNotFoundError if the folder is not there; ValueError for an empty or differing class, or for an image
    that cannot be read or is too large, which it names.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(f"path must be a folder of photographs, but {path} is not there or no folder")
    if not isinstance(side, int | np.integer) or isinstance(side, bool) or side < 1:
        raise ValueError(f"side must be a whole number of at least 1, images come out square, got {side!r:.80}")
    seed = check_seed(seed)
    top, others = _outer(path), Counter()
    parts = {folder.name.lower(): folder for folder in _inside(top) if folder.is_dir()}
    fitting, held_out = ([parts[name] for name in names if name in parts] for names in (TRAIN, HELD_OUT))
    if fitting and held_out:
        train, test = _files(fitting[0], others), _files(held_out[0], others)
        if list(train) != list(test):
            raise ValueError(f"{fitting[0]} and {held_out[0]} must have the same classes, "
                             f"got {list(train)} and {list(test)}")
    else:
        if fitting and all(name.rstrip("0123456789") in TRAIN + HELD_OUT for name in parts):
            top = fitting[0]                       # train alone, or beside a test set without labels such as test1
        train, test, rng = _files(top, others), {}, np.random.default_rng(seed)
        for name, files in train.items():
            if len(files) < 2:
                raise ValueError(f"class {name!r} in {top} must have at least two images, to train and to test, "
                                 f"got {len(files)}")
            files = [files[i] for i in rng.permutation(len(files))]
            n_test = max(1, round(0.3 * len(files)))
            train[name], test[name] = files[n_test:], files[:n_test]
    if others:
        told = ", ".join(f"{kind} ({n})" for kind, n in sorted(others.items()))
        warnings.warn(f"{path}: passed over, by kind: {told}; images are {', '.join(SUFFIXES)}", stacklevel=2)
    if len(train) == 1:
        warnings.warn(f"{path} holds one class only, {list(train)[0]!r}: nothing to tell apart", stacklevel=2)
    return Dataset(path.resolve().name, *_read(train, side), *_read(test, side), np.array(list(train)))


def _inside(folder: Path) -> list[Path]:
    """Return what lies in a folder, without what is hidden or a trace of the system."""
    try:
        return sorted(p for p in folder.iterdir() if p.name[0] != "." and p.name.lower() not in _NOT_MEANT)
    except OSError as error:
        raise ValueError(f"{folder} cannot be read ({error.strerror})") from error


def _outer(path: Path) -> Path:
    """Return the folder that holds the classes: an unpacked archive often lies in a folder of its own name."""
    for _ in range(5):
        folders, files = _sorted(path)
        if len(folders) != 1 or files or folders[0].name.lower() in TRAIN:
            break
        folders, files = _sorted(path := folders[0])
        if files or not folders:
            return path.parent
    return path


def _sorted(folder: Path) -> tuple[list[Path], list[Path]]:
    inside = _inside(folder)
    images = [p for p in inside if p.suffix.lower() in SUFFIXES and not p.is_dir()]
    return [p for p in inside if p.is_dir()], images


def _walk(folder: Path, seen: set, others: Counter) -> list[Path]:
    """Return the images in a folder and its sub-folders; a link that leads back is not followed again."""
    found = []
    for p in _inside(folder):
        if p.is_dir():
            if (key := (p.stat().st_dev, p.stat().st_ino)) not in seen:
                seen.add(key)
                found += _walk(p, seen, others)
        elif p.suffix.lower() in SUFFIXES:
            found.append(p)
        else:
            others[p.suffix.lower() or p.name] += 1
    return found


def _files(path: Path, others: Counter) -> dict[str, list[Path]]:
    folders, loose = _sorted(path)
    seen = {(p.stat().st_dev, p.stat().st_ino) for p in (path, *folders)}
    found = {p.name: sorted(_walk(p, set(seen), others)) for p in folders}
    others.update(p.suffix.lower() or p.name for p in _inside(path) if p not in folders and p not in loose)
    if loose and not any(found.values()):
        return _by_name(path, loose)
    others.update(f"{p.suffix.lower()} beside the class folders" for p in loose)
    empty = [name for name, files in found.items() if not files]
    if empty or not found:
        raise ValueError(f"{path} must hold one folder of images for each class, "
                         + (f"but there is no image in {empty}" if empty else "but has no folder and no image")
                         + (f"; there are {dict(others)}" if others else ""))
    return found


def _by_name(path: Path, files: list[Path]) -> dict[str, list[Path]]:
    """Sort images that lie side by side into classes, by their names: cat.12.jpg, cat_12.jpg, cat (12).jpg."""
    found: dict[str, list[Path]] = {}
    for file in files:
        before, dot, _ = file.stem.partition(".")
        name = (before if dot else re.sub(r"[\s_-]*\(?\d+\)?$", "", before)).strip()
        found.setdefault(name, []).append(file)
    if "" in found or len(found) < 2:
        raise ValueError(f"{path} has no folder for each class, and the names of its {len(files)} images do not tell "
                         f"two classes (such as cat.1.jpg and dog.1.jpg): {files[0].name}, ...")
    return dict(sorted(found.items()))


def _read(files: dict[str, list[Path]], side: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(len(files)), [len(group) for group in files.values()]).astype(np.int64)
    images = np.empty((len(labels), side, side, 3), np.uint8)
    for k, file in enumerate(file for group in files.values() for file in group):
        images[k] = _image(file, side)
    return images, labels


def _image(file: Path, side: int) -> np.ndarray:
    try:
        if not file.is_file():
            raise ValueError("it is no file, or a link to nothing")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")     # odd marks of a camera, many pixels: the sizes are checked here
            with Image.open(file, formats=FORMATS) as opened:
                _bounded(opened, file.stat().st_size, side)
                image = _rgb(_upright(opened), opened.format)
    except Exception as error:                  # what a broken file raises depends on which byte it is
        raise ValueError(f"{file} cannot be read as an image ({_reason(file, error)}); remove or replace it") from error
    image = _shortened(image)
    shrink = round(side * 256 / 224) / min(image.size)
    w, h = (max(side, round(shrink * length)) for length in image.size)
    left, top = (w - side) // 2, (h - side) // 2
    return np.asarray(image.resize((w, h), Image.Resampling.BICUBIC).crop((left, top, left + side, top + side)))


def _reason(file: Path, error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        with open(file, "rb") as opened:
            first = opened.read(24)
        return f"none of {', '.join(FORMATS)}: it " + (f"begins with {first!r}" if first else "is empty")
    return str(error) or type(error).__name__


def _bounded(image: Image.Image, n_bytes: int, side: int) -> None:
    """Look at the size in the header, before anything is decoded; of a very large JPEG a smaller version is read."""
    n, most = image.width * image.height, LARGEST // (4 if image.format in ("WEBP", "GIF") else 1)
    if n > most or n > max(LARGE, 10_000 * n_bytes):       # more than so few bytes can honestly hold
        raise ValueError(f"it says to be {image.width} x {image.height} pixels in {n_bytes} bytes, which is too large")
    if image.format == "JPEG" and n > LARGEST // 2:
        image.draft(None, (4 * side, 4 * side))


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        turn = _UPRIGHT.get(image.getexif().get(0x112))
    except Exception:                           # other marks are damaged; the picture itself is sound
        turn = None
    return image.transpose(Image.Transpose[turn]) if turn else image


def _rgb(image: Image.Image, kind: str | None) -> Image.Image:
    """Return an image of any mode as RGB: 16 bits scaled to 8, what is transparent laid on white."""
    if image.mode.startswith(("I", "F")):
        level = np.asarray(image).astype(np.float32)
        top = float(level.max())
        if not (0 <= level.min() and top <= 65535):                       # NaN fails as well
            raise ValueError(f"its grey levels must lie in 0..65535, got {level.min()} to {top}")
        # whole numbers in files of 16 bits; others may hold 0..1 or 0..255 in a type with more room
        full = 65535 if image.mode.startswith("I;") or kind in ("PNG", "PPM") or top > 255 else 255
        level *= 255 if image.mode == "F" and top <= 1 else 255 / full
        image = Image.fromarray(np.rint(level, out=level).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image, seen = image.convert("RGBA"), Image.new("RGB", image.size, "white")
        seen.paste(image, mask=image.getchannel("A"))
        return seen
    return image.convert("RGB")


def _shortened(image: Image.Image) -> Image.Image:
    """Return the middle of a very long image: resized as a whole, a line of pixels would fill the memory."""
    (w, h), most = image.size, 16 * min(image.size)
    if max(w, h) <= most:
        return image
    left, top = max(0, (w - most) // 2), max(0, (h - most) // 2)
    return image.crop((left, top, left + min(w, most), top + min(h, most)))
