import importlib

import numpy as np
import pytest
import torch

from tlutils.data import FACES, SCRIPTS, glyph_classes, glyphs, script_of

module = importlib.import_module("tlutils.data.glyphs")   # the package's name "glyphs" is the function
COUNTS = {"latin": 40, "greek": 23, "cyrillic": 36, "armenian": 33, "georgian": 19,
          "arrows": 63, "geometric": 63, "blocks": 12, "box": 57}
CLEAN = {"jitter": 0, "noise": 0}


def signature(character):
    z = module._masters(character, 24).reshape(len(FACES), -1).astype(np.float32)
    z = z - z.mean(1, keepdims=True)
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def test_counts_of_classes():
    assert {script: len(glyph_classes(script)) for script in SCRIPTS} == COUNTS
    assert len(glyph_classes("letters")) == 151 and len(glyph_classes("symbols")) == 195
    assert glyph_classes("letters")[:3] == ["A", "B", "C"]


@pytest.mark.parametrize("group", ["letters", "symbols"])
def test_the_walk_that_drops_look_alikes(group):
    """Repeat the selection; 0.002 is more than font renderers differ."""
    kept, signatures, undecided = [], [], []
    classes = glyph_classes(group)
    for script in module.LETTERS if group == "letters" else module.SYMBOLS:
        for first, last in module._RANGES[script]:
            for character in map(chr, range(ord(first), ord(last) + 1)):
                if module._drawable(character):
                    z = signature(character)
                    r = max((np.einsum("fp,fp->f", z, other).max() for other in signatures), default=-1)
                    if abs(r - 0.86) < 0.002:
                        undecided.append(character)
                    elif (r < 0.86) != (character in classes):
                        pytest.fail(f"{character}: correlation {r:.4f}, but kept is {character in classes}")
                    if character in classes:
                        kept.append(character)
                        signatures.append(z)
    assert kept == classes
    assert len(undecided) < 0.1 * len(classes)


def test_masters_fill_the_same_box():
    for character in "Mi→─":
        for image in module._masters(character, 48):
            rows, columns = np.nonzero(image.max(1))[0], np.nonzero(image.max(0))[0]
            longer = max(np.ptp(rows), np.ptp(columns)) + 1
            assert abs(longer - 36) <= 1
            assert all(abs((i.min() + i.max()) / 2 - 23.5) <= 1 for i in (rows, columns))


def test_every_class_is_in_its_script():
    for script in SCRIPTS:
        assert {script_of(c) for c in glyph_classes(script)} == {script}


def test_same_seed_same_bytes_and_no_global_state():
    np.random.seed(3)
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    x, y = glyphs("ABC", 50, 7)
    after = np.random.get_state()[1], torch.get_rng_state()
    assert np.array_equal(before[0], after[0]) and torch.equal(before[1], after[1])
    again, y_again = glyphs(["A", "B", "C"], 50, 7)
    assert np.array_equal(x, again) and np.array_equal(y, y_again)
    other, y_other = glyphs("ABC", 50, 8)
    assert not np.array_equal(x, other) and not np.array_equal(y, y_other)
    assert x.dtype == np.uint8 and x.shape == (50, 24, 24) and y.dtype == np.int64 and y.shape == (50,)


def test_all_images_differ_and_labels_are_balanced_and_shuffled():
    x, y = glyphs(glyph_classes("letters")[:30], 5000, 0)     # more than one chunk
    assert len(np.unique(x.reshape(5000, -1), axis=0)) == 5000
    assert np.ptp(np.bincount(y, minlength=30)) == 1
    assert not (np.diff(y) >= 0).all()
    assert np.bincount(glyphs("ABCDE", 3, 0)[1]).max() == 1


def test_chunks_make_no_difference_in_kind(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 7)
    x, _ = glyphs("A", 20, 0, **CLEAN)
    assert (x.std((1, 2)) > 10).all()


def test_label_is_the_place_in_the_list():
    """Without jitter and noise an image correlates most with the master of its own class and face."""
    characters = ["R", "ж", "→", "Ω"]
    x, y, a = glyphs(characters, 200, 1, **CLEAN, return_attributes=True)
    masters = np.stack([module._masters(c, 24) for c in characters]).astype(float)
    x = (x - 127.5) * a["polarity"][:, None, None]
    r = [[np.corrcoef(image.ravel(), masters[k, face].ravel())[0, 1] for k in range(4)]
         for image, face in zip(x, a["face"], strict=True)]
    assert (np.argmax(r, 1) == y).mean() > 0.97


def test_attributes_stay_in_their_ranges():
    _, _, a = glyphs("ABC", 4000, 2, return_attributes=True)
    assert set(a) == {"face", "rotation", "scale", "shear", "shift", "polarity", "ink"}
    assert all(len(values) == 4000 for values in a.values()) and a["shift"].shape == (4000, 2)
    for values, half in ((a["rotation"], 0.3), (a["scale"] - 1, 0.2), (a["shear"], 0.25), (a["shift"], 0.18 * 24)):
        assert 0.97 * half < values.max() <= half and -half <= values.min() < -0.97 * half
    assert 0.5 <= a["ink"].min() < 0.51 and 0.99 < a["ink"].max() <= 1
    assert set(a["polarity"]) == {-1, 1} and abs(a["polarity"].mean()) < 0.1
    assert set(a["face"]) == set(range(len(FACES)))
    assert np.ptp(glyphs("A", 100, 0, jitter=0, return_attributes=True)[2]["rotation"]) == 0


def test_polarity_and_ink_set_the_grey_of_the_ink():
    x, _, a = glyphs("■", 600, 0, **CLEAN, return_attributes=True)
    centre, edge = x[:, 8:16, 8:16].mean((1, 2)), x[:, :2].mean((1, 2))
    assert np.array_equal(np.sign(centre - edge), a["polarity"])
    contrast = (centre / 127.5 - 1) * a["polarity"]
    assert np.corrcoef(contrast, a["ink"])[0, 1] > 0.4      # the rest is the background


def drawn(monkeypatch, character, **attributes):
    """One image with given attributes and nothing else: no background, no elastic field."""
    monkeypatch.setattr(module, "_smooth", lambda m, knots, side, rng: np.zeros((m, side, side), np.float32))
    a = {"rotation": 0.0, "scale": 1.0, "shear": 0.0, "shift": [0.0, 0.0], "polarity": 1, "ink": 1.0} | attributes
    a = {name: np.array([value]) for name, value in a.items()}
    master = module._masters(character, 128)[:1]
    image = module._draw(master, a, 1.0, 0.0, 0.35, 64, np.random.default_rng(0))[0]
    weight = image / 127.5 - 128 / 127.5
    y, x = np.mgrid[:64, :64] - 31.5
    mx, my = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
    covariance = (weight * (x - mx) * (y - my)).sum() / weight.sum()
    return image, (mx, my), covariance, weight.sum()


def test_geometry_goes_the_way_the_attributes_say(monkeypatch):
    plain, centre, covariance, area = drawn(monkeypatch, "■")
    assert np.allclose(centre, 0, atol=0.26) and abs(covariance) < 0.5
    _, moved, _, _ = drawn(monkeypatch, "■", shift=[3.0, -2.0])
    assert np.allclose(np.subtract(moved, centre), (3, -2), atol=0.1)                              # right, up
    _, _, _, larger = drawn(monkeypatch, "■", scale=1.2)
    assert larger / area == pytest.approx(1.44, rel=0.02)
    _, _, sheared, same = drawn(monkeypatch, "■", shear=0.25)
    assert sheared > 20 and same / area == pytest.approx(1, rel=0.02)            # x grows with y, downwards
    _, (x, y), turned, _ = drawn(monkeypatch, "─", rotation=0.3)
    assert turned < -20                                                          # counter-clockwise: right end up
    quarter, _, _, _ = drawn(monkeypatch, "▲", rotation=np.pi / 2)
    upright, _, _, _ = drawn(monkeypatch, "▲")
    assert np.abs(quarter.astype(float) - np.rot90(upright)).mean() < 1


def test_jitter_noise_and_side():
    still = glyphs("A", 40, 0, jitter=0, noise=0)[0]
    assert np.array_equal(glyphs("A", 40, 0, jitter=0, noise=0)[0], still)
    noisy = glyphs("A", 40, 0, jitter=0, noise=0.1)[0]
    rest = (noisy.astype(float) - still)[(still > 60) & (still < 195)]           # where nothing is clipped
    assert rest.std() == pytest.approx(12.75, rel=0.05) and abs(rest.mean()) < 0.5
    assert glyphs("A", 3, 0, side=32)[0].shape == (3, 32, 32)


@pytest.mark.parametrize("arguments", [
    {"characters": ""}, {"characters": "AA"}, {"characters": ["AB"]}, {"characters": [65]}, {"characters": "漢"},
    {"characters": " "}, {"n": 0}, {"noise": -0.1}, {"side": 4}, {"jitter": -1}, {"jitter": 3}])
def test_glyphs_refuses(arguments):
    with pytest.raises(ValueError, match="got"):
        glyphs(**({"characters": "AB", "n": 5, "seed": 0} | arguments))


def test_unknown_scripts_and_characters():
    with pytest.raises(ValueError, match="runic"):
        glyph_classes("runic")
    for character in ("漢", "AB", ""):
        with pytest.raises(ValueError, match="character must"):
            script_of(character)
