import io
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tlutils.data import folder as folder_module
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
    with pytest.warns(UserWarning, match=r"passed over, by kind: \.txt \(1\); images are \.jpg"):
        data = image_folder(str(tmp_path), side=32)
    (tmp_path / "train" / "ant" / "notes.txt").unlink()
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


def colours(data):
    """The grey levels (of red) that the images of each class have, over train and test."""
    images, labels = (np.concatenate([getattr(data, f"{part}_{kind}") for part in ("train", "test")])
                      for kind in ("images", "labels"))
    return {str(name): sorted(images[labels == k][:, 5, 5, 0].tolist()) for k, name in enumerate(data.classes)}


TEN = [20 * i for i in range(10)]


def test_what_systems_leave_behind_is_not_meant(tmp_path):
    fill(tmp_path, ["ant", "bee"])
    fork = b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(40)
    for where in ("__MACOSX/ant", ".ipynb_checkpoints", ".git", "@eaDir", "ant/.thumbs", "bee/__MACOSX"):
        (tmp_path / where).mkdir(parents=True)
        (tmp_path / where / "._0.png").write_bytes(fork)
        (tmp_path / where / "0.png").write_bytes(fork)
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini"):
        (tmp_path / "ant" / name).write_bytes(fork)
        (tmp_path / name).write_bytes(fork)
    assert colours(image_folder(tmp_path, side=16)) == {"ant": TEN, "bee": TEN}


def test_other_kinds_are_counted_once(tmp_path):
    fill(tmp_path, ["ant", "bee"])
    others = "ant/a.heic", "ant/b.HEIC", "bee/c.svg", "bee/deep/d.mp4", "README", "labels.csv", "x.png"
    for k, name in enumerate(others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(k))
    with pytest.warns(UserWarning) as said:
        data = image_folder(tmp_path, side=16)
    assert len(said) == 1 and said[0].filename == __file__ and colours(data) == {"ant": TEN, "bee": TEN}
    for words in (str(tmp_path), ".heic (2)", ".svg (1)", ".mp4 (1)", "README (1)", ".csv (1)",
                  ".png beside the class folders (1)"):
        assert words in str(said[0].message)
    for path in (tmp_path / "ant").glob("*.png"):
        path.unlink()
    with pytest.raises(ValueError, match=r"no image in \['ant'\].*'\.heic': 2"):
        image_folder(tmp_path, side=16)


@pytest.mark.parametrize("names, classes", [
    ("cat.{}.jpg dog.{}.jpg", "cat dog"), ("cat_{}.PNG dog-{}.png", "cat dog"), ("cat{}.png dog ({}).png", "cat dog"),
    ("great_pyrenees_{}.jpg Abyssinian_{}.jpg", "Abyssinian great_pyrenees"),
    ("n01440764_{}.JPEG n01443537_{}.JPEG", "n01440764 n01443537"), ("sr71.{}.bmp mig29.{}.bmp", "mig29 sr71"),
    ("öl kanne_{}.png 猫.{}.png", "öl kanne|猫")])
def test_images_side_by_side_say_their_class_in_their_names(names, classes, tmp_path):
    for k, pattern in enumerate(names.split(" ", names.count("{}") - 1) if "(" not in names and "kanne" not in names
                                else [names[:names.index("}") + 5], names[names.index("}") + 6:]]):
        for i in range(10):
            picture = Image.new("RGB", (30, 20), (20 * i, 100 * k, 0))
            picture.save(tmp_path / pattern.format(i), quality=100, format=None if "." in pattern[-5:] else "PNG")
    data = image_folder(tmp_path, side=16)
    assert data.classes.tolist() == (classes.split("|") if "|" in classes else classes.split())
    assert len(data.train_images) == 14 and len(data.test_images) == 6
    for group in colours(data).values():
        assert np.allclose(group, TEN, atol=3)


def test_names_that_tell_no_class_are_refused(tmp_path):
    for i in range(5):
        Image.new("RGB", (9, 9)).save(tmp_path / f"IMG_{i:04}.jpg")
    with pytest.raises(ValueError, match=r"no folder for each class, and the names of its 5 images .*IMG_0000\.jpg"):
        image_folder(tmp_path, side=8)
    (tmp_path / "IMG_0000.jpg").rename(tmp_path / "17.jpg")
    with pytest.raises(ValueError, match=r"do not tell two classes .*17\.jpg"):
        image_folder(tmp_path, side=8)
    (tmp_path / "17.jpg").rename(tmp_path / "beagle.jpg")
    with pytest.raises(ValueError, match="class 'beagle' in .* must have at least two images, .* got 1"):
        image_folder(tmp_path, side=8)


@pytest.mark.parametrize("train, test", [("train", "val"), ("Train", "Test"), ("training", "validation"),
                                         ("train", "valid"), ("pets/train", "pets/test")])
def test_words_for_the_two_parts(train, test, tmp_path):
    fill(tmp_path / train, ["ant", "bee"])
    fill(tmp_path / test, ["ant", "bee"], n=3)
    data = image_folder(tmp_path, side=16)
    assert len(data.train_images) == 20 and len(data.test_images) == 6 and data.name == tmp_path.name


def test_train_alone_or_beside_images_without_labels_is_split(tmp_path):
    (tmp_path / "train").mkdir()
    for i in range(10):
        for name in ("cat", "dog"):
            Image.new("RGB", (9, 9), (20 * i, 0, 0)).save(tmp_path / "train" / f"{name}.{i}.png")
    assert colours(image_folder(tmp_path, side=16)) == {"cat": TEN, "dog": TEN}
    (tmp_path / "test1").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "test1" / "1.png")
    assert colours(image_folder(tmp_path, side=16)) == {"cat": TEN, "dog": TEN}
    (tmp_path / "test1").rename(tmp_path / "test")
    with pytest.raises(ValueError, match=r"test has no folder for each class, .* its 1 images .*1\.png"):
        image_folder(tmp_path, side=16)


def test_trains_are_a_class_too(tmp_path):
    fill(tmp_path, ["bus", "train"])
    assert colours(image_folder(tmp_path, side=16)) == {"bus": TEN, "train": TEN}


def test_an_outer_folder_and_inner_ones(tmp_path):
    for k, name in enumerate(("ant/images", "ant/more/and more", "bee")):
        (tmp_path / "insects" / name).mkdir(parents=True)
        for i in range(k, 10, 2) if k < 2 else range(10):
            Image.new("RGB", (9, 9), (20 * i, 0, 0)).save(tmp_path / "insects" / name / f"{i}.png")
    assert colours(image_folder(tmp_path, side=16)) == {"ant": TEN, "bee": TEN}


def test_one_class_is_said(tmp_path):
    fill(tmp_path, ["ant"])
    (tmp_path / "ant" / "thumbnails").mkdir()
    with pytest.warns(UserWarning, match="one class only, 'ant'"):
        assert image_folder(tmp_path, side=16).classes.tolist() == ["ant"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links(tmp_path):
    fill(tmp_path / "there", ["ant"])
    fill(tmp_path / "here", ["bee"])
    here = tmp_path / "here"
    (here / "ant").symlink_to(tmp_path / "there" / "ant")
    for name in ("up", "self", "other"):
        (here / "bee" / name).symlink_to({"up": here, "self": here / "bee", "other": here / "ant"}[name])
    (here / "bee" / "circle").symlink_to(here / "bee" / "circle")
    with pytest.warns(UserWarning, match=r"circle \(1\)"):
        assert colours(image_folder(here, side=16)) == {"ant": TEN, "bee": TEN}
    (here / "bee" / "circle").unlink()
    fill(tmp_path / "there", ["wasp"])
    for name in ("one", "two"):                                         # the same images twice would be no more images
        (here / "bee" / name).symlink_to(tmp_path / "there" / "wasp")
    assert colours(image_folder(here, side=16)) == {"ant": TEN, "bee": sorted(TEN + TEN)}
    (here / "bee" / "lost.png").symlink_to(here / "nowhere.png")
    with pytest.raises(ValueError, match=r"lost\.png cannot be read as an image \(it is no file, or a link to nothing"):
        image_folder(here, side=16)
    (here / "bee" / "lost.png").unlink()
    os.mkfifo(here / "bee" / "pipe.png")
    with pytest.raises(ValueError, match=r"pipe\.png cannot be read as an image \(it is no file"):
        image_folder(here, side=16)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    fill(tmp_path, ["ant", "bee"])

    whole = type(tmp_path).iterdir

    def listed(self):
        if self.name == "bee":
            raise PermissionError(13, "Permission denied", str(self))
        return whole(self)
    monkeypatch.setattr(type(tmp_path), "iterdir", listed)
    with pytest.raises(ValueError, match=r"bee cannot be read \(Permission denied\)"):
        image_folder(tmp_path, side=16)


def one(tmp_path, name, content):
    """What `image_folder` makes of one file, at side 16."""
    (tmp_path / "a").mkdir(exist_ok=True)
    path = tmp_path / "a" / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)
    return folder_module._image(path, 16)


def test_home_and_names_with_spaces(tmp_path, monkeypatch):
    fill(tmp_path / "my photos", ["große Katze", "小狗 "])
    for path in (tmp_path / "my photos").rglob("*.png"):
        path.rename(path.with_suffix(".PNG"))
    monkeypatch.setenv("HOME", str(tmp_path))
    data = image_folder("~/my photos", side=16)
    assert colours(data) == {"große Katze": TEN, "小狗 ": TEN} and data.name == "my photos"


MODES = {".png": "1 L LA P RGB RGBA I;16", ".tif": "1 L LA P RGB RGBA CMYK YCbCr I;16 I F", ".bmp": "1 L P RGB",
         ".webp": "RGB RGBA", ".gif": "1 L P", ".jpg": "L RGB CMYK YCbCr", ".ppm": "1 L RGB I"}


@pytest.mark.parametrize("mode, suffix", [(mode, suffix) for suffix, modes in MODES.items() for mode in modes.split()])
def test_every_mode_that_a_kind_can_hold_keeps_its_brightness(mode, suffix, tmp_path):
    level = 255 if mode == "1" else 204
    if mode in ("I;16", "I", "F"):
        value = 257 * level if mode != "F" else level / 255
        image = Image.fromarray(np.full((20, 30), value, {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
    else:
        image = Image.new("RGB", (30, 20), (level,) * 3).convert(mode)
    content = io.BytesIO()
    image.save(content, {".tif": "TIFF", ".jpg": "JPEG"}.get(suffix, suffix[1:].upper()), quality=100)
    assert np.abs(one(tmp_path, f"x{suffix}", content.getvalue()).astype(int) - level).max() <= 3


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 32).astype(np.uint16), (32, 1))
    want = np.asarray(Image.fromarray(np.rint(ramp / 257).astype(np.uint8)).resize((18, 18), 3).crop((1, 1, 17, 17)))
    for suffix, array in ((".png", ramp), (".tif", ramp), (".tif", ramp.astype(">u2")),
                          (".tif", ramp.astype(np.int32))):
        got = one(tmp_path, f"x{suffix}", lambda path, array=array: Image.fromarray(array).save(path))
        assert np.array_equal(got[..., 0], want)
    dark = np.full((20, 20), 200, np.uint16)
    for turned in (1, 6):
        exif = Image.Exif()
        exif[0x112] = turned
        got = one(tmp_path, "x.png", lambda path, exif=exif: Image.fromarray(dark).save(path, exif=exif))
        assert got.max() == 1, "two hundred of 65535 is nearly black"
    for wrong in (np.full((20, 20), -3.0, np.float32), np.full((20, 20), np.nan, np.float32),
                  np.full((20, 20), 70000, np.int32)):
        with pytest.raises(ValueError, match=r"x\.tif .*grey levels must lie in 0\.\.65535"):
            one(tmp_path, "x.tif", lambda path, wrong=wrong: Image.fromarray(wrong).save(path))


def test_what_is_transparent_is_white(tmp_path):
    """The left half is opaque red, the right half transparent, whatever colour lies below."""
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:, :16] = 200, 30, 30, 255
    image = Image.fromarray(pixels)
    palette = Image.fromarray(np.repeat([[0] * 16 + [1] * 16], 32, 0).astype(np.uint8), "P")
    palette.putpalette([200, 30, 30, 0, 0, 0])
    savers = {"rgba.png": lambda path: image.save(path), "rgba.webp": lambda path: image.save(path, lossless=True),
              "rgba.tif": lambda path: image.save(path),
              "p.png": lambda path: palette.save(path, transparency=b"\xff\0"),
              "index.png": lambda path: palette.save(path, transparency=1),
              "index.gif": lambda path: palette.save(path, transparency=1),
              "key.png": lambda path: image.convert("RGB").save(path, transparency=(0, 0, 0)),
              "la.png": lambda path: image.convert("LA").save(path)}
    for name, save in savers.items():
        got = one(tmp_path, name, save)
        assert (got[:, 10:] == 255).all(), name
        assert np.abs(got[:, :6].astype(int) - (81 if name == "la.png" else [200, 30, 30])).max() <= 2, name


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame(kind, tmp_path):
    frames = [Image.new("RGB", (30, 20), (250 * (k == 0), 0, 250 * (k > 0))) for k in range(3)]
    got = one(tmp_path, f"x.{kind.lower()}", lambda path: frames[0].save(path, save_all=True, append_images=frames[1:]))
    assert np.abs(got.astype(int) - [250, 0, 0]).max() <= 3


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("mark", range(0, 10))
def test_each_mark_of_the_camera_turns_the_picture_upright(mark, suffix, tmp_path):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16, :16], pixels[16:, :16] = (250, 0, 0), (0, 250, 0)       # red above green, at the left
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90",
            7: "TRANSVERSE", 8: "ROTATE_270"}.get(mark)
    image = Image.fromarray(pixels)
    image = image.transpose(Image.Transpose[undo]) if undo else image
    exif = Image.Exif()
    exif[0x112] = mark
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(suffix, {})
    got = one(tmp_path, f"x.{suffix}", lambda path: image.save(path, exif=exif, **options)).astype(int)
    assert np.abs(got[2, 2] - [250, 0, 0]).max() < 9 and np.abs(got[-3, 2] - [0, 250, 0]).max() < 9
    assert got[:, -3].max() < 9


@pytest.mark.parametrize("entries", [
    [(0x112, 3, 1, 6), (0x11A, 2, 3, b"72\0\0")], [(0x112, 3, 1, 6), (0x8769, 4, 1, 10**6)],
    [(0x112, 3, 1, 6), (0x829A, 5, 1, 8)]])
def test_odd_marks_do_not_spoil_a_sound_picture(entries, tmp_path):
    raw = b"".join(struct.pack("<HHI4s", tag, kind, n, value if isinstance(value, bytes) else struct.pack("<I", value))
                   for tag, kind, n, value in entries)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + raw + b"\0\0\0\0"
    for content in (exif, exif[:25], b"Exif\0\0" + b"\xff" * 30):
        got = one(tmp_path, "x.jpg", lambda path, content=content: Image.new("RGB", (20, 30), (9, 99, 199)).save(
            path, exif=content, quality=100))
        assert np.abs(got.astype(int) - [9, 99, 199]).max() <= 3


def png(w, h, data=b"", bits=8, kind=6):
    """A PNG that says to be w x h."""
    import zlib
    parts = ((b"IHDR", struct.pack(">IIBBBBB", w, h, bits, kind, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(body)) + name + body + struct.pack(
        ">I", zlib.crc32(name + body)) for name, body in parts)


def webp(side):
    content = io.BytesIO()
    Image.new("RGB", (side, side), (10, 20, 30)).save(content, "WEBP", lossless=True)
    return content.getvalue()


def bombs():
    """Files of a few bytes that say to be enormous; the last one really is."""
    bmp = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 154, 0, 0, 54, 40, 13000, 13000, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(100)
    gif = (b"GIF89a" + struct.pack("<HHBBB", 60000, 60000, 0x80, 0, 0) + bytes(6) + b","
           + struct.pack("<HHHHB", 0, 0, 60000, 60000, 0) + b"\x02\x02\x44\x01\0;")
    jpeg = io.BytesIO()
    Image.new("RGB", (64, 64)).save(jpeg, "JPEG", progressive=True)
    jpeg = jpeg.getvalue().replace(struct.pack(">HH", 64, 64), struct.pack(">HH", 13000, 13000), 1)
    return {"slide.png": png(60000, 60000), "pale.png": png(13000, 13000), "ink.png": png(12000, 12000, bits=1, kind=0),
            "x.ppm": b"P6 13000 13000 255\n" + bytes(80), "x.bmp": bmp, "x.gif": gif, "x.jpg": jpeg,
            "solid.webp": webp(4200)}


def test_a_picture_of_a_few_bytes_costs_no_gigabytes(tmp_path):
    """What the header says is looked at before anything is decoded: seen by the memory that a process takes for it."""
    for name, content in bombs().items():
        assert len(content) < 2000
        (tmp_path / name / "a").mkdir(parents=True)
        for k in (1, 2):
            (tmp_path / name / "a" / f"{k}{name}").write_bytes(content)
    code = (f"import pathlib, resource; from tlutils.data import image_folder\n"
            f"used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            f"before = used()\n"
            f"for path in sorted(pathlib.Path({str(tmp_path)!r}).iterdir()):\n"
            f"    try: image_folder(path, 16)\n"
            f"    except ValueError as error: print(used() - before, error)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name, line in zip(sorted(bombs()), done.stdout.splitlines(), strict=True):
        kilobytes, message = line.split(" ", 1)
        assert name in message and ("too large" in message or "decompression bomb" in message), message
        assert int(kilobytes) < 100_000, name


def test_a_line_of_pixels_is_cut_before_it_is_enlarged(tmp_path, monkeypatch):
    sizes, resize = [], Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda self, to, *rest: sizes.append(to) or resize(self, to, *rest))
    ramp = np.zeros((1, 50001, 3), np.uint8)
    ramp[:, 25000 - 8:25000 + 9] = 250
    for array in (ramp, ramp.transpose(1, 0, 2)):
        got = one(tmp_path, "x.png", lambda path, array=array: Image.fromarray(array.copy()).save(path))
        assert got.shape == (16, 16, 3) and (got == 250).all()
    assert sorted(sizes) == [(18, 16 * 18), (16 * 18, 18)]
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 640, 3), dtype=np.uint8))
    assert folder_module._shortened(wide) is wide                       # sixteen times as long is still taken whole


def test_a_very_large_photograph_is_read_smaller(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(120, 0).repeat(120, 1)
    picture = Image.fromarray(pixels)
    whole = one(tmp_path, "x.jpg", lambda path: picture.save(path, quality=95))
    monkeypatch.setattr(folder_module, "LARGEST", pixels.size // 3)
    small = one(tmp_path, "x.jpg", (tmp_path / "a" / "x.jpg").read_bytes())
    assert not np.array_equal(small, whole) and np.abs(small.astype(int) - whole).mean() < 6
    monkeypatch.setattr(folder_module, "LARGEST", pixels.size // 3 - 1)
    for suffix in ("png", "jpg"):
        with pytest.raises(ValueError, match=rf"y\.{suffix} .* 960 x 720 pixels in \d+ bytes, which is too large"):
            one(tmp_path, f"y.{suffix}", lambda path: picture.save(path))


@pytest.mark.parametrize("content, words", [
    (b"", "none of JPEG, PNG, .*: it is empty"), (b"<!DOCTYPE html><html>404", "begins with b'<!DOCTYPE html>"),
    (b"version https://git-lfs.github.com/spec", "begins with b'version https://git-lfs"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "begins with b'%!PS-Adobe"),
    (b"%PDF-1.4", "begins with b'%PDF"), (b"\0\0\0\x18ftypheic", "begins with"),
    (b"\xff\xd8\xff\xe0\0\x10JFIF", "cannot be read")])
def test_what_is_no_picture_of_these_kinds_is_named(content, words, tmp_path):
    with pytest.raises(ValueError, match=rf"photo\.jpg cannot be read as an image \(.*{words}|photo.* {words}"):
        one(tmp_path, "photo.jpg", content)


def test_no_other_program_is_started(tmp_path, monkeypatch):
    """PostScript under the name of a picture is not even looked into: Pillow would start Ghostscript."""
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kwargs: pytest.fail(f"started {args}"))
    monkeypatch.setattr(os, "system", lambda *args: pytest.fail(f"started {args}"))
    content = io.BytesIO()
    Image.new("RGB", (30, 20)).save(content, "EPS")
    with pytest.raises(ValueError, match=r"x\.png cannot be read as an image \(none of JPEG"):
        one(tmp_path, "x.png", content.getvalue())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "PPM", "TIFF"])
def test_a_damaged_picture_is_read_or_named(kind, tmp_path):
    content = io.BytesIO()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    picture.save(content, kind)
    whole, rng = content.getvalue(), np.random.default_rng(1)
    for k in range(60):
        broken = bytearray(whole[: rng.integers(1, len(whole))] if k % 2 else whole)
        broken[rng.integers(len(broken))] ^= rng.integers(1, 256)
        try:
            assert one(tmp_path, "photo.jpg", bytes(broken)).shape == (16, 16, 3)
        except ValueError as error:
            assert "photo.jpg cannot be read as an image (" in str(error)


def test_ants_and_bees(real_root):
    if not (real_root / "hymenoptera_data").exists():
        pytest.skip(f"there is no hymenoptera_data in {real_root}")
    data = image_folder(real_root / "hymenoptera_data", side=32)
    assert data.classes.tolist() == ["ants", "bees"] and data.name == "hymenoptera_data"
    assert data.train_images.shape == (244, 32, 32, 3) and data.test_images.shape == (153, 32, 32, 3)


@pytest.mark.parametrize("wrong", [{"side": 0}, {"side": 1.5}, {"side": "a"}, {"side": True}, {"side": (224, 224)},
                                   {"side": None}, {"seed": -1}, {"seed": "a"}, {"seed": 1.5}], ids=str)
def test_a_wrong_side_or_seed_is_named(tmp_path, wrong):
    with pytest.raises(ValueError, match=f"{list(wrong)[0]} must be"):
        image_folder(tmp_path, **wrong)
