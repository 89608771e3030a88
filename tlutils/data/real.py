"""Real data sets through torchvision, each cached as one checked .npz in the data root."""
import gzip
import hashlib
import os
import pickle
import sys
import uuid
import warnings
import zlib
from pathlib import Path

import numpy as np

from tlutils.data.dataset import Dataset

# name: class in torchvision, folder of its raw files, train and test images, shape of an image, classes
KNOWN = {"mnist": ("MNIST", "MNIST/raw", 60000, 10000, (28, 28), 10),
         "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw", 60000, 10000, (28, 28), 10),
         "cifar10": ("CIFAR10", "cifar-10-batches-py", 50000, 10000, (32, 32, 3), 10),
         "cifar100": ("CIFAR100", "cifar-100-python", 50000, 10000, (32, 32, 3), 100)}
_PARTS = ("train_images", "train_labels", "test_images", "test_labels", "classes")
_COARSE = ("train_coarse", "test_coarse", "superclasses")


def data_root(root: str | Path | None = None) -> Path:
    """The folder that holds the data: the argument, else TLUTILS_DATA, else "tlutils" in the user's cache folder."""
    if root or os.environ.get("TLUTILS_DATA"):
        return Path(root or os.environ["TLUTILS_DATA"]).expanduser()
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        cache = "~/Library/Caches" if sys.platform == "darwin" else os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "tlutils"


def load_real(name: str, root: str | Path | None = None, download: bool = False) -> Dataset:
    """Read ROOT/<name>.npz; where there is none, make it from torchvision's files, downloaded if allowed.

    Convention: a file written here carries a SHA-256 over its arrays, checked at every reading; a file from elsewhere
    is checked through the CRCs of the zip format. Sizes, types and label ranges are checked in both. Where the file
    cannot be written (a full disk, a folder that is read-only), a warning names it and the arrays are returned.
    Errors: FileNotFoundError if nothing is there (it says how to download), ConnectionError if the download fails,
    ValueError if a file is incomplete or altered; it names the file.
    """
    base, path = data_root(root), data_root(root) / f"{name}.npz"
    line = f"tlutils.data.load({name!r}{f', root={str(root)!r}' if root else ''}, download=True)"
    if path.exists():
        return _dataset(name, _read(path, line), f"{path} is not the data set {name}", f"Delete it, then run {line}")
    raw = base / KNOWN[name][1]
    if not raw.exists() and not download:
        raise FileNotFoundError(f"{path.name} was looked for in {base} and is not there. To download it: {line}")
    complaint, remedy = f"{raw} is incomplete or altered", f"Delete this folder, then run {line}"
    arrays = _convert(name, base, download, complaint, remedy)
    dataset = _dataset(name, arrays, complaint, remedy)
    try:
        _write(path, arrays)
    except OSError as error:
        warnings.warn(f"{path} could not be written ({error.strerror or error}): {name} is used from memory, and "
                      f"made again from {raw} next time; another folder can be named in TLUTILS_DATA", stacklevel=3)
    return dataset


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).view(np.uint8).data)
    return digest.hexdigest()


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write under another name, then rename: whatever happens in between, `path` is whole or absent."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(part, "wb") as file:
            np.savez(file, **arrays, sha256=np.array(_digest(arrays)))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _read(path: Path, line: str) -> dict[str, np.ndarray]:
    """All arrays of an .npz, each read to its end, where zipfile compares its CRC."""
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
        except Exception as error:   # what a damaged file raises depends on which byte it is
            raise ValueError(f"{path} is truncated or altered ({error}). Delete it, then run {line}") from error
    recorded = arrays.pop("sha256", None)
    if recorded is not None and str(recorded) != _digest(arrays):
        raise ValueError(f"{path} is altered: its arrays do not have the recorded SHA-256. Delete it, then run {line}")
    return arrays


def _dataset(name: str, arrays: dict[str, np.ndarray], complaint: str, remedy: str) -> Dataset:
    """Check every array against what is known of the set; ValueError names the first that does not fit."""
    _, _, n_train, n_test, shape, k = KNOWN[name]
    wanted = {"train_images": ((n_train, *shape), np.uint8, 256), "train_labels": ((n_train,), np.int64, k),
              "test_images": ((n_test, *shape), np.uint8, 256), "test_labels": ((n_test,), np.int64, k),
              "classes": ((k,), np.str_, None)}
    if name == "cifar100":
        wanted |= {"train_coarse": ((n_train,), np.int64, 20), "test_coarse": ((n_test,), np.int64, 20),
                   "superclasses": ((20,), np.str_, None)}
    for key, (size, kind, limit) in wanted.items():
        if key not in arrays:
            raise ValueError(f"{complaint}: it has no {key}. {remedy}")
        array = arrays[key]
        if array.shape != size or not np.issubdtype(array.dtype, kind):
            raise ValueError(f"{complaint}: {key} must be {kind.__name__} {size}, "
                             f"got {array.dtype} {array.shape}. {remedy}")
        if kind is np.int64 and not np.array_equal(np.unique(array), np.arange(limit)):
            raise ValueError(f"{complaint}: {key} must hold each of 0..{limit - 1}, "
                             f"got {len(np.unique(array))} values in {array.min()}..{array.max()}. {remedy}")
    return Dataset(name, *(arrays[key] for key in _PARTS), {key: arrays[key] for key in _COARSE if key in wanted})


def _convert(name: str, base: Path, download: bool, complaint: str, remedy: str) -> dict[str, np.ndarray]:
    """Let torchvision read its own files, after it has fetched them if `download`."""
    import torchvision
    make = getattr(torchvision.datasets, KNOWN[name][0])
    if download:
        try:
            base.mkdir(parents=True, exist_ok=True)
            make(base, download=True)
        except (OSError, RuntimeError) as error:
            raise ConnectionError(f"{name} could not be downloaded into {base}: {error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")   # these pickles are older than today's numpy, which says so
            train, test = make(base, train=True), make(base, train=False)
            coarse = _coarse(base / KNOWN[name][1]) if name == "cifar100" else {}
        if name.endswith("mnist"):
            _compare_with_archives(base / KNOWN[name][1], make.resources)
    except (RuntimeError, ValueError, OSError, EOFError, pickle.UnpicklingError, zlib.error) as error:
        raise ValueError(f"{complaint} ({error}). {remedy}") from error
    classes = np.arange(10).astype(str) if name == "mnist" else np.array(train.classes)   # not "0 - zero"
    return {"train_images": np.asarray(train.data), "train_labels": np.asarray(train.targets, dtype=np.int64),
            "test_images": np.asarray(test.data), "test_labels": np.asarray(test.targets, dtype=np.int64),
            "classes": classes, **coarse}


def _coarse(raw: Path) -> dict[str, np.ndarray]:
    """The superclasses of CIFAR-100, which torchvision leaves in its files (their MD5 is checked by then)."""
    content = {part: pickle.loads((raw / part).read_bytes(), encoding="latin1") for part in ("train", "test", "meta")}
    return {"train_coarse": np.array(content["train"]["coarse_labels"], dtype=np.int64),
            "test_coarse": np.array(content["test"]["coarse_labels"], dtype=np.int64),
            "superclasses": np.array(content["meta"]["coarse_label_names"])}


def _compare_with_archives(raw: Path, resources) -> None:
    """torchvision checks no unpacked file of MNIST: compare each with its archive where that is still there."""
    for name, md5 in resources:
        archive = raw / name
        if archive.exists():
            content = archive.read_bytes()
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
                raise ValueError(f"{name} has not the MD5 that torchvision knows")
            if gzip.decompress(content) != archive.with_suffix("").read_bytes():
                raise ValueError(f"{archive.stem} differs from its archive")
