import gzip
import hashlib
import multiprocessing
import pickle
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torchvision

from tlutils.data import data_root, load, real, split_classes
from tlutils.data.splits import CIFAR100_SUPERCLASSES

RNG = np.random.default_rng(0)


def arrays(k=10, shape=(2, 2), n=(20, 10)):
    x, x_test = (RNG.integers(0, 256, (m, *shape), dtype=np.uint8) for m in n)
    return {"train_images": x, "train_labels": np.arange(n[0]) % k, "test_images": x_test,
            "test_labels": np.arange(n[1]) % k, "classes": np.arange(k).astype(str)}


@pytest.fixture
def small(monkeypatch):
    """The same four sets, but of 20 and 10 tiny images (CIFAR-100: 200 and 100, for its hundred classes)."""
    monkeypatch.setattr(real, "KNOWN", {
        name: (*entry[:2], *((20, 10) if entry[5] == 10 else (200, 100)), shape, entry[5])
        for (name, entry), shape in zip(real.KNOWN.items(), ((2, 2), (2, 2), (32, 32, 3), (32, 32, 3)), strict=True)})


def write_idx(path, array):
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


def write_mnist(root, content):
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for split, name in (("train", "train"), ("test", "t10k")):
        write_idx(raw / f"{name}-images-idx3-ubyte", content[f"{split}_images"])
        write_idx(raw / f"{name}-labels-idx1-ubyte", content[f"{split}_labels"])
    return raw


def write_archives(raw, monkeypatch):
    resources = []
    for name, _ in torchvision.datasets.MNIST.resources:
        (raw / name).write_bytes(gzip.compress((raw / name[:-3]).read_bytes()))
        resources.append((name, hashlib.md5((raw / name).read_bytes()).hexdigest()))
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)


def same(data, content):
    return all(np.array_equal(getattr(data, key), content[key]) for key in real._PARTS)


def test_data_root(monkeypatch):
    monkeypatch.setenv("TLUTILS_DATA", "~/somewhere")
    assert data_root("here") == Path("here") and data_root() == Path.home() / "somewhere"
    monkeypatch.delenv("TLUTILS_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    for platform, folder in (("linux", "/cache/tlutils"), ("darwin", Path.home() / "Library/Caches/tlutils"),
                             ("win32", Path.home() / "AppData/Local/tlutils")):
        monkeypatch.setattr("sys.platform", platform)
        monkeypatch.delenv("LOCALAPPDATA", raising=False)
        assert data_root() == Path(folder)


def test_missing_set_says_what_where_and_how(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError) as caught:
        load("cifar10", root=tmp_path)
    message = str(caught.value)
    assert "cifar10.npz" in message and f"in {tmp_path} " in message
    assert f"tlutils.data.load('cifar10', root='{tmp_path}', download=True)" in message
    monkeypatch.setenv("TLUTILS_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"load\('mnist', download=True\)"):
        load("mnist")
    assert not list(tmp_path.iterdir())


def test_convert_once_then_read_the_cache(tmp_path, small):
    content = arrays()
    raw = write_mnist(tmp_path, content)
    assert same(load("mnist", tmp_path), content)
    (raw / "train-images-idx3-ubyte").unlink()
    again = load("mnist", tmp_path)
    assert same(again, content) and again.name == "mnist" and again.extras == {}
    assert [p.name for p in tmp_path.glob("*mnist*")] == ["mnist.npz"]


def test_a_file_without_a_checksum_is_read(tmp_path, small):
    content = arrays()
    np.savez(tmp_path / "mnist.npz", **content)
    assert same(load("mnist", tmp_path), content)


@pytest.mark.parametrize("own", [True, False])
def test_no_flipped_byte_goes_unnoticed(tmp_path, small, own):
    content, path = arrays(), tmp_path / "mnist.npz"
    if own:
        real._write(path, content)
    else:
        np.savez(path, **content)
    whole, refused = path.read_bytes(), 0
    for i in range(0, len(whole), 7):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x15]) + whole[i + 1:])
        try:
            assert same(load("mnist", tmp_path), content), i      # a byte of the zip's small print, which is not data
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 0.5 * len(whole) / 7


def test_truncated_file_is_named(tmp_path, small):
    path = tmp_path / "mnist.npz"
    real._write(path, arrays())
    whole = path.read_bytes()
    for n in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"mnist\.npz is truncated or altered.*Delete it, then run "):
            load("mnist", tmp_path)
        assert path.read_bytes() == whole[:n]


def test_altered_arrays_in_a_sound_zip(tmp_path, small):
    path = tmp_path / "mnist.npz"
    real._write(path, arrays())
    with np.load(path) as file:
        content = dict(file)
    content["test_images"][3, 1, 1] ^= 1
    np.savez(path, **content)
    with pytest.raises(ValueError, match="recorded SHA-256"):
        load("mnist", tmp_path)


@pytest.mark.parametrize(("key", "change", "message"), [
    ("train_images", lambda a: a.astype(np.float32), "train_images must be uint8.*float32"),
    ("train_images", lambda a: a[:-1], r"\(20, 2, 2\), got uint8 \(19, 2, 2\)"),
    ("test_images", lambda a: a[:, :1], r"got uint8 \(10, 1, 2\)"),
    ("train_labels", lambda a: a.astype(np.int32), "int64.*int32"),
    ("train_labels", lambda a: a + 1, r"each of 0\.\.9, got 10 values in 1\.\.10"),
    ("test_labels", lambda a: a * 0, "got 1 values"),
    ("classes", lambda a: a[:9], r"classes must be str_ \(10,\)"),
    ("classes", lambda a: np.arange(10), "classes must be str_"),
    ("classes", None, "has no classes")])
def test_content_that_does_not_fit(tmp_path, small, key, change, message):
    content = arrays()
    if change:
        content[key] = change(content[key])
    else:
        del content[key]
    np.savez(tmp_path / "mnist.npz", **content)
    with pytest.raises(ValueError, match=message) as caught:
        load("mnist", tmp_path)
    assert str(tmp_path / "mnist.npz") in str(caught.value)


def test_cifar100_needs_its_superclasses(tmp_path, small):
    content = arrays(100, (32, 32, 3), (200, 100))
    np.savez(tmp_path / "cifar100.npz", **content)
    with pytest.raises(ValueError, match="has no train_coarse"):
        load("cifar100", tmp_path)


def test_not_even_a_zip(tmp_path, small):
    np.save(tmp_path / "other.npy", np.zeros(3))
    (tmp_path / "other.npy").rename(tmp_path / "mnist.npz")
    with pytest.raises(ValueError, match="truncated or altered"):
        load("mnist", tmp_path)


def test_killed_while_writing(tmp_path, small, monkeypatch):
    content = arrays()
    write_mnist(tmp_path, content)
    whole_savez = np.savez

    def half(file, **kwargs):
        file.write(b"PK\x03\x04 half of a file")
        raise KeyboardInterrupt
    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(KeyboardInterrupt):
        load("mnist", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["MNIST"]
    monkeypatch.setattr(np, "savez", whole_savez)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        load("mnist", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["MNIST"]
    (tmp_path / "mnist.npz.123.part").write_bytes(b"left by a process that was killed outright")
    assert same(load("mnist", tmp_path), content)


@pytest.mark.parametrize("reason", [(28, "No space left on device"), (30, "Read-only file system")])
def test_where_the_cache_cannot_be_written_the_arrays_are_returned(reason, tmp_path, small, monkeypatch):
    content = arrays()
    write_mnist(tmp_path, content)

    def half(file, **kwargs):
        file.write(b"PK\x03\x04 half of a file")
        raise OSError(*reason)
    monkeypatch.setattr(np, "savez", half)
    with pytest.warns(UserWarning, match=rf"mnist\.npz could not be written \({reason[1]}\).*TLUTILS_DATA"):
        assert same(load("mnist", tmp_path), content)
    assert [p.name for p in tmp_path.iterdir()] == ["MNIST"]


def _write_again_and_again(path, content):
    for _ in range(15):
        real._write(path, content)


def test_two_writers_leave_a_whole_file(tmp_path, small):
    path, contents = tmp_path / "mnist.npz", [arrays(), arrays()]
    jobs = [multiprocessing.get_context("fork").Process(target=_write_again_and_again, args=(path, content))
            for content in contents]
    for job in jobs:
        job.start()
    while any(job.is_alive() for job in jobs):
        if path.exists():
            found = load("mnist", tmp_path)             # once: the next time it may be the other's
            assert any(same(found, content) for content in contents)
    assert [job.exitcode for job in jobs] == [0, 0] and [p.name for p in tmp_path.iterdir()] == ["mnist.npz"]


@pytest.mark.parametrize("name", ["../mnist", "..", "mnist/../mnist", "/etc/passwd", "", None])
def test_a_name_is_never_a_path(name, tmp_path):
    with pytest.raises(ValueError, match="name must be one of"):
        load(name, tmp_path)


def test_partly_downloaded_mnist(tmp_path, small, monkeypatch):
    raw = write_mnist(tmp_path, arrays())
    labels, images = raw / "t10k-labels-idx1-ubyte", raw / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    images.write_bytes(whole[:-5])
    with pytest.raises(ValueError, match=r"raw is incomplete or altered .*Delete this folder, then run"):
        load("mnist", tmp_path)
    images.write_bytes(whole)
    labels.unlink()
    with pytest.raises(ValueError, match=r"raw is incomplete or altered"):
        load("mnist", tmp_path)
    assert not (tmp_path / "mnist.npz").exists()


def test_altered_mnist_is_found_by_its_archives(tmp_path, small, monkeypatch):
    content = arrays()
    raw = write_mnist(tmp_path, content)
    write_archives(raw, monkeypatch)
    images, archive = raw / "train-images-idx3-ubyte", raw / "t10k-images-idx3-ubyte.gz"
    whole, packed = images.read_bytes(), archive.read_bytes()
    images.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="train-images-idx3-ubyte differs from its archive"):
        load("mnist", tmp_path)
    images.write_bytes(whole)
    archive.write_bytes(packed[:-9])
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz has not the MD5"):
        load("mnist", tmp_path)
    archive.write_bytes(packed)
    assert same(load("mnist", tmp_path), content)


def test_download_and_its_failure(tmp_path, small, monkeypatch):
    content, root = arrays(), tmp_path / "new" / "root"

    def offline(self):
        raise URLError("no network")
    monkeypatch.setattr(torchvision.datasets.MNIST, "download", offline)
    with pytest.raises(ConnectionError, match="mnist could not be downloaded into .*no network"):
        load("mnist", root, download=True)
    assert not (root / "mnist.npz").exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConnectionError, match="mnist could not be downloaded into .*file"):
        load("mnist", tmp_path / "file" / "root", download=True)
    monkeypatch.setattr(torchvision.datasets.MNIST, "download", lambda self: write_mnist(root, content))
    assert same(load("mnist", root, download=True), content)
    assert (root / "mnist.npz").exists()


def test_cifar100_from_torchvisions_files(tmp_path, small, monkeypatch):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    content = arrays(100, (32, 32, 3), (200, 100))
    parts = {"meta": {"fine_label_names": list(content["classes"]), "coarse_label_names": [f"s{i}" for i in range(20)]}}
    for split in ("train", "test"):
        planes = content[f"{split}_images"].transpose(0, 3, 1, 2).reshape(-1, 3072)
        fine = content[f"{split}_labels"]
        parts[split] = {"data": planes, "fine_labels": fine.tolist(), "coarse_labels": (fine % 20).tolist()}
    md5 = {}
    for part, value in parts.items():
        (folder / part).write_bytes(pickle.dumps(value))
        md5[part] = hashlib.md5((folder / part).read_bytes()).hexdigest()
    cifar = torchvision.datasets.CIFAR100
    for split in ("train", "test"):
        monkeypatch.setattr(cifar, f"{split}_list", [[split, md5[split]]])
    monkeypatch.setattr(cifar, "meta", {"filename": "meta", "key": "fine_label_names", "md5": md5["meta"]})

    whole = (folder / "test").read_bytes()
    (folder / "test").write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="cifar-100-python is incomplete or altered"):
        load("cifar100", tmp_path)
    (folder / "test").write_bytes(whole)
    for _ in range(2):                                               # converted, then read again
        data = load("cifar100", tmp_path)
        assert same(data, content)
        assert np.array_equal(data.extras["test_coarse"], content["test_labels"] % 20)
        assert set(data.extras) == {"train_coarse", "test_coarse", "superclasses"}


def test_what_cannot_be_opened_is_not_called_damaged(tmp_path, small):
    (tmp_path / "mnist.npz").mkdir()
    with pytest.raises(OSError, match="mnist.npz"):
        load("mnist", tmp_path)


def test_cifar100_itself(real_root):
    data = load("cifar100", real_root)
    assert data.train_images.shape == (50000, 32, 32, 3) and data.test_images.shape == (10000, 32, 32, 3)
    assert data.train_labels[:6].tolist() == [19, 29, 0, 11, 1, 86]
    assert (np.bincount(data.train_labels) == 500).all() and (np.bincount(data.test_labels) == 100).all()
    mean = data.train_images.reshape(-1, 3).mean(0) / 255
    assert np.allclose(mean, [0.5071, 0.4865, 0.4409], atol=1e-4)
    superclass = {fine: coarse for coarse, names in CIFAR100_SUPERCLASSES.items() for fine in names.split()}
    assert data.extras["superclasses"].tolist() == list(CIFAR100_SUPERCLASSES)
    for split in ("train", "test"):
        names = data.classes[getattr(data, f"{split}_labels")[:2000]]
        coarse = data.extras["superclasses"][data.extras[f"{split}_coarse"][:2000]]
        assert [superclass[name] for name in names] == coarse.tolist()
    natural, man_made = split_classes(data.classes, by="kind")
    assert len(natural) == 70 and len(man_made) == 30


def test_mnist_itself(real_root, tmp_path):
    if not (real_root / "MNIST" / "raw").exists():
        pytest.skip(f"there is no MNIST/raw in {real_root}")
    (tmp_path / "MNIST").symlink_to((real_root / "MNIST").resolve())
    data = load("mnist", tmp_path)
    assert data.train_images.shape == (60000, 28, 28) and data.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.classes.tolist() == [str(d) for d in range(10)]
    assert np.array_equal(load("mnist", tmp_path).test_images, data.test_images)
