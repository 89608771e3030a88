"""Two views: what each change does, on cases with a known answer, and that every image gets its own."""
import math

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as TF

from tlutils import data
from tlutils.selfsup import two_views, views

STILL = {"area": (1.0, 1.0), "flip": 0.0, "colour": 0.0, "grey": 0.0, "blur": 0.0}


@pytest.fixture(scope="module")
def x():
    images, _ = data.colour_glyphs("abcdefgh", n=16, seed=0)
    return data.to_tensor(images)


def levels(x):
    return x * 0.25 + 0.5


def drawn(monkeypatch, value):
    """Let every uniform number be `value`."""
    monkeypatch.setattr(torch, "rand", lambda *shape, generator=None, device=None: torch.full(shape, value))


def test_nothing_asked_nothing_done(x):
    for view in two_views(x, 0, **STILL):
        torch.testing.assert_close(view, x, atol=1e-4, rtol=0)


def test_flip_is_a_mirror(x):
    for view in two_views(x, 0, **STILL | {"flip": 1.0}):
        torch.testing.assert_close(view, x.flip(3), atol=1e-4, rtol=0)


def test_grey_is_the_grey_of_itu_601(x):
    for view in two_views(x, 0, **STILL | {"grey": 1.0}):
        torch.testing.assert_close(levels(view), TF.rgb_to_grayscale(levels(x), 3), atol=2e-4, rtol=0)


def test_crop_of_the_middle_is_torchvisions(x, monkeypatch):
    drawn(monkeypatch, 0.5)
    one, _ = two_views(x, 0, **STILL | {"area": (0.25, 0.25)})
    middle = TF.resized_crop(x, 6, 6, 12, 12, [24, 24], antialias=False)
    torch.testing.assert_close(one[..., 2:-2, 2:-2], middle[..., 2:-2, 2:-2], atol=1e-4, rtol=0)


def test_a_quarter_turn_is_exact(x, monkeypatch):
    drawn(monkeypatch, 1.0)
    one, _ = two_views(x, 0, **STILL | {"rotate": math.pi / 2})
    assert any(torch.allclose(one, x.rot90(k, (2, 3)), atol=1e-3) for k in (1, 3))


def test_a_mirrored_view_may_be_turned_too(x, monkeypatch):
    drawn(monkeypatch, 0.99)
    one, _ = two_views(x, 0, **STILL | {"rotate": math.pi / 2 / 0.98, "flip": 1.0})
    assert any(torch.allclose(one, x.flip(3).rot90(k, (2, 3)), atol=1e-3) for k in (1, 3))


def test_mix_is_a_linear_map_of_colours_of_each_view(x):
    pale = x * 0.2
    one, two = two_views(pale, 0, **STILL | {"mix": 0.1})
    for view in (one, two):
        maps = []
        for a, b in zip(levels(pale), levels(view), strict=True):
            known = torch.cat([a.flatten(1), torch.ones(1, a[0].numel())]).T              # (h w, 4)
            solved = torch.linalg.lstsq(known, b.flatten(1).T).solution                   # (4, 3)
            torch.testing.assert_close(known @ solved, b.flatten(1).T, atol=2e-3, rtol=0)
            maps.append(solved)
        spread = torch.stack(maps)[:, :3].std(0)
        assert 0.05 < spread.mean() < 0.2 and torch.stack(maps)[:, 3].abs().max() <= 0.05 + 1e-2
    assert not torch.allclose(one, two, atol=0.05)


def test_the_cropped_share_is_what_was_asked(x, monkeypatch):
    """On a ramp from left to right and one from top to bottom, the ranges that remain tell width and height."""
    ramp = torch.linspace(-1, 1, 64).expand(200, 1, 64, 64)
    wide = torch.cat(two_views(ramp.contiguous(), 1, **STILL | {"area": (0.3, 0.3)}))
    high = torch.cat(two_views(ramp.transpose(2, 3).contiguous(), 1, **STILL | {"area": (0.3, 0.3)}))
    w, h = ((a.amax((1, 2, 3)) - a.amin((1, 2, 3))) / 2 * 63 / 64 for a in (wide, high))
    inside = (wide.amin((1, 2, 3)) > -0.99) & (wide.amax((1, 2, 3)) < 0.99)
    inside &= (high.amin((1, 2, 3)) > -0.99) & (high.amax((1, 2, 3)) < 0.99)
    assert inside.sum() > 100
    # the outermost of 64 samples lie half a pixel inside the crop
    torch.testing.assert_close((w * h)[inside] * (64 / 63) ** 2 * (64 / 63) ** 2, torch.full_like(w[inside], 0.3),
                               atol=0.02, rtol=0)
    assert (w / h)[inside].max() < 1.36 and (w / h)[inside].min() > 0.73 and (w / h)[inside].std() > 0.1


@pytest.mark.parametrize("value", [0.3, 0.7])
def test_brightness_and_contrast_of_grey_pictures_are_torchvisions(value, monkeypatch):
    grey = data.to_tensor(data.glyphs("abcd", n=8, seed=0)[0]) * 0.3                       # pale: nothing is clipped
    drawn(monkeypatch, value)
    one, _ = two_views(grey, 0, **STILL | {"colour": 0.5})
    factor = 1 + 0.8 * 0.5 * (2 * value - 1)
    wanted = TF.adjust_contrast(TF.adjust_brightness(levels(grey), factor), factor)
    torch.testing.assert_close(levels(one), wanted, atol=1e-4, rtol=0)


def test_brightness_contrast_and_saturation_are_torchvisions(x, monkeypatch):
    pale = x * 0.3
    monkeypatch.setattr(views, "HUE", 0.0)
    drawn(monkeypatch, 0.7)
    one, _ = two_views(pale, 0, **STILL | {"colour": 0.5})
    wanted = levels(pale)
    for change in (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation):
        wanted = change(wanted, 1 + 0.8 * 0.5 * 0.4)
    torch.testing.assert_close(levels(one), wanted, atol=2e-4, rtol=0)


def test_hue_turns_about_the_grey_axis():
    third = views.turned(torch.tensor([[[2 * math.pi / 3]]]))[0]
    colour = torch.tensor([0.1, 0.5, 0.9])
    assert sorted((third @ colour).tolist()) == pytest.approx([0.1, 0.5, 0.9], abs=1e-6)    # red to green to blue
    assert not torch.allclose(third @ colour, colour, atol=0.1)
    some = views.turned(torch.tensor([[[0.7]]]))[0]
    torch.testing.assert_close(some @ torch.full((3,), 0.4), torch.full((3,), 0.4))
    torch.testing.assert_close(some @ some.T, torch.eye(3), atol=1e-6, rtol=0)


def test_blur_is_torchvisions(monkeypatch):
    noise = torch.randn(4, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    drawn(monkeypatch, 0.5)
    one, _ = two_views(noise, 0, **STILL | {"blur": 0.9})
    torch.testing.assert_close(one, TF.gaussian_blur(noise, [5, 5], [0.1 + 1.9 * 0.5] * 2), atol=1e-4, rtol=0)


def test_each_image_gets_views_of_its_own_and_the_seed_decides(x):
    same = x[:1].repeat(12, 1, 1, 1)
    one, two = two_views(same, 3)
    for i in range(12):
        assert not torch.allclose(one[i], two[i], atol=0.05)
        assert i == 0 or not torch.allclose(one[0], one[i], atol=0.05)
    again = two_views(same, 3)
    assert torch.equal(one, again[0]) and torch.equal(two, again[1])
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(one, two_views(same, generator)[0]) and not torch.equal(one, two_views(same, generator)[0])


def test_global_random_state_and_input_stay_as_they_are(x):
    before, state = x.clone(), torch.get_rng_state()
    two_views(x, 0)
    assert torch.equal(x, before) and torch.equal(state, torch.get_rng_state())


def test_levels_stay_in_range_and_grey_images_are_allowed(x):
    for view in two_views(x, 1, colour=1.25):
        assert view.shape == x.shape and view.abs().max() <= 2.001
    assert two_views(x[:, :1], 0, grey=0.0)[0].shape == (16, 1, 24, 24)


@pytest.mark.parametrize("bad, word", [
    ({"area": (0, 1)}, "area"), ({"area": (0.5, 0.2)}, "area"), ({"area": (0.5, 1.5)}, "area"), ({"flip": 2}, "flip"),
    ({"grey": -0.1}, "grey"), ({"blur": 7}, "blur"), ({"colour": -1}, "colour"), ({"rotate": -1}, "rotate"),
    ({"mix": -1}, "mix")])
def test_bad_amounts_are_refused(x, bad, word):
    with pytest.raises(ValueError, match=word):
        two_views(x, 0, **bad)


def test_bad_images_are_refused(x):
    for bad in (x[0], x.double(), x[:0], x[:, :2], x.numpy().astype(np.float32)[0]):
        with pytest.raises(ValueError, match="images"):
            two_views(bad if isinstance(bad, torch.Tensor) else torch.from_numpy(bad), 0)
    with pytest.raises(ValueError, match="grey"):
        two_views(x[:, :1], 0)
