import numpy as np
import pytest
import torch

from tlutils import data
from tlutils.data import augment, to_tensor
from tlutils.data.smears import smears
from tlutils.data.textures import gratings

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))]


def batch(n=64, side=12, channels=3, device="cpu"):
    shape = (n, side, side, 3) if channels == 3 else (n, side, side)
    return to_tensor(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), device)


def shifted(x, dx, dy):
    """x moved dx pixels right and dy down, its border mirrored (edge pixel repeated), by indexing."""
    def place(size, step):
        i = torch.arange(size) - step
        i = torch.where(i < 0, -i - 1, i)
        return torch.where(i >= size, 2 * size - 1 - i, i)
    return x[:, :, place(x.shape[2], dy)][:, :, :, place(x.shape[3], dx)]


def test_to_tensor_scale_shape_and_layout():
    images = np.array([[[0, 255], [51, 204]]], np.uint8)                         # (1, 2, 2)
    assert torch.allclose(to_tensor(images), torch.tensor([[[[-2.0, 2.0], [-1.2, 1.2]]]]))
    colour = np.zeros((5, 4, 6, 3), np.uint8)
    colour[..., 2] = 255
    x = to_tensor(colour)
    assert x.shape == (5, 3, 4, 6) and x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert (x[:, 2] == 2).all() and (x[:, :2] == -2).all()
    images.setflags(write=False)
    assert to_tensor(images).shape == (1, 1, 2, 2)


@pytest.mark.parametrize("images", [np.zeros((2, 4, 4)), np.zeros((4, 4), np.uint8), np.zeros((2, 4, 4, 4), np.uint8)])
def test_to_tensor_refuses(images):
    with pytest.raises(ValueError, match="images must be uint8"):
        to_tensor(images)


@pytest.mark.parametrize("device", DEVICES)
def test_augment_same_seed_same_batch(device):
    x, state = batch(device=device), torch.get_rng_state()
    everything = {"flip": True, "shift": 2, "rotate": 0.2, "scale": 0.1, "brightness": 0.2, "contrast": 0.2,
                  "saturation": 0.2}
    a = augment(x, 5, **everything)
    assert torch.equal(a, augment(x, torch.Generator(device).manual_seed(5), **everything))
    assert not torch.equal(a, augment(x, 6, **everything))
    assert torch.equal(state, torch.get_rng_state())
    assert a.shape == x.shape and a.device == x.device and a.is_contiguous(memory_format=torch.channels_last)
    generator = torch.Generator(device).manual_seed(5)
    assert not torch.equal(augment(x, generator, flip=True), augment(x, generator, flip=True))


def test_nothing_asked_nothing_changed():
    x = batch()
    assert torch.equal(augment(x, 0), x)


def test_flip_mirrors_about_half():
    x = batch(400)
    a = augment(x, 0, flip=True)
    kept = (a - x).abs().amax((1, 2, 3)) < 1e-4
    mirrored = (a - x.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert (kept ^ mirrored).all() and 150 < kept.sum() < 250


def test_shift_moves_by_whole_pixels_and_mirrors_the_border():
    x = batch(300)[:, :, :9]                                                     # oblong, 9 x 12
    a = augment(x, 0, shift=2)
    seen = torch.zeros(5, 5)
    explained = torch.zeros(300, dtype=torch.bool)
    for dx in range(-2, 3):
        for dy in range(-2, 3):
            same = (a - shifted(x, dx, dy)).abs().amax((1, 2, 3)) < 1e-3
            seen[dx + 2, dy + 2] = same.sum()
            explained |= same
    assert explained.all() and (seen > 0).all()
    assert not torch.equal(a[0] - x[0], a[1] - x[1])


def test_rotate_and_scale_keep_the_centre_and_stay_in_range():
    y, x = torch.meshgrid(torch.arange(33) - 16.0, torch.arange(49) - 24.0, indexing="ij")
    blob = torch.exp(-(x**2 + y**2) / 40).expand(200, 1, 33, 49).contiguous()
    near = (x**2 + y**2).sqrt() < 12                                     # no mirrored border there
    assert ((augment(blob, 0, rotate=3.0) - blob).abs() * near).max() < 0.02      # round stays round in an oblong image
    area = augment(blob, 0, scale=0.2).sum((1, 2, 3)) / blob[0].sum()
    assert 0.63 < area.min() < 0.67 and 1.40 < area.max() < 1.45
    bar = ((y.abs() < 2) & (x.abs() < 14)).float().expand(200, 1, 33, 49).contiguous()
    slope = (augment(bar, 0, rotate=0.3) * x * y).sum((1, 2, 3)) / (augment(bar, 0, rotate=0.3) * x * x).sum((1, 2, 3))
    assert slope.min() < -0.2 and slope.max() > 0.2 and slope.abs().max() < 0.35


def test_colour_jitter():
    x = batch(500)
    level = x * 0.25 + 0.5
    brighter = augment(x * 0.5, 0, brightness=0.3) * 0.25 + 0.5         # nothing reaches the clipping
    factor = (brighter / (level * 0.5 + 0.25)).flatten(1)
    assert torch.allclose(factor.amin(1), factor.amax(1), atol=1e-4)
    assert 0.7 <= factor.min() < 0.72 and 1.28 < factor.max() <= 1.3001
    contrast = augment(x * 0.5, 0, contrast=0.3)
    assert torch.allclose(contrast.mean((1, 2, 3)), (x * 0.5).mean((1, 2, 3)), atol=1e-4)
    ratio = contrast.std((1, 2, 3)) / (x * 0.5).std((1, 2, 3))
    assert 0.7 <= ratio.min() < 0.72 and 1.28 < ratio.max() < 1.301
    saturated = augment(x * 0.3, 0, saturation=0.5)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert torch.allclose((saturated * weights).sum(1), (x * 0.3 * weights).sum(1), atol=1e-4)
    grey = batch(channels=1).expand(-1, 3, -1, -1)
    assert torch.allclose(augment(grey, 0, saturation=0.5), grey, atol=1e-5)
    assert augment(x, 0, brightness=0.9).amax() == 2 and augment(x, 0, contrast=0.9).amin() == -2


@pytest.mark.parametrize("change", [
    {"shift": -1}, {"shift": 12}, {"rotate": -0.1}, {"scale": 1.0}, {"scale": -0.1}, {"brightness": -0.1},
    {"contrast": 1.5}, {"saturation": 1.0}])
def test_augment_refuses_amounts(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        augment(batch(4), 0, **change)


def test_augment_refuses_tensors():
    with pytest.raises(ValueError, match="float32"):
        augment(batch(4).double(), 0)
    with pytest.raises(ValueError, match="float32"):
        augment(batch(4)[0], 0)
    with pytest.raises(ValueError, match="three channels"):
        augment(batch(4, channels=1), 0, saturation=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_augment_refuses_a_generator_elsewhere():
    with pytest.raises(ValueError, match="generator must be on the device"):
        augment(batch(4, device="cuda"), torch.Generator("cpu"))


@pytest.mark.parametrize("shape", [(24, 24, 3), (24, 24)])
def test_one_picture_is_no_batch(shape):
    with pytest.raises(ValueError, match=r"images must be uint8 .* one picture is a batch of one: images\[None\]"):
        to_tensor(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=r"x must be float32 .* one picture is a batch of one: x\[None\]"):
        augment(batch(4)[0], 0)


@pytest.mark.parametrize("kind", [np.int64, np.uint32, np.int8])
def test_seeds_of_numpy(kind):
    x = batch(8)
    assert torch.equal(augment(x, kind(5), flip=True, rotate=0.1), augment(x, 5, flip=True, rotate=0.1))
    for draw in (lambda s: data.glyphs("ab", 4, s)[0], lambda s: data.colour_glyphs("ab", 4, s)[0],
                 lambda s: data.subset_per_class(np.arange(8) % 2, 2, s), lambda s: smears(3, s)[0],
                 lambda s: data.split_classes(range(9), seed=s)[0], lambda s: data.letter_pictures(3, s)[0],
                 lambda s: data.held_out_pairs(2, s), lambda s: data.rendered_digits(3, s)[0],
                 lambda s: gratings(3, s)[0], lambda s: data.reviews("books", 3, s)[1],
                 lambda s: data.mnist_m(np.full((2, 4, 4), 9, np.uint8), [np.zeros((9, 9, 3), np.uint8)], s)):
        assert np.array_equal(draw(kind(5)), draw(5))
    with pytest.raises(ValueError, match="generator must be in"):
        augment(x, 5.5)


@pytest.mark.parametrize("seed", [-1, 1.5, "3", None, True, 2**32])
def test_what_is_no_seed_is_named(seed, tmp_path):
    for draw in (lambda: data.glyphs("ab", 4, seed), lambda: data.colour_glyphs("ab", 4, seed), lambda: smears(3, seed),
                 lambda: data.subset_per_class(np.arange(8) % 2, 2, seed), lambda: data.split_classes("abc", seed=seed),
                 lambda: data.letter_pictures(3, seed), lambda: data.held_out_pairs(2, seed), lambda: gratings(3, seed),
                 lambda: data.reviews("books", 3, seed), lambda: augment(batch(2), seed, flip=True)):
        with pytest.raises(ValueError, match="(seed|generator) must be in"):
            draw()


def test_tensors_are_seeds_and_autocast_does_not_reach_in():
    x, amounts = batch(4), {"flip": True, "shift": 2, "rotate": 0.3, "scale": 0.1, "contrast": 0.2, "saturation": 0.2}
    want = augment(x, 5, **amounts)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(x, torch.tensor(5), **amounts), want)
    assert np.array_equal(data.glyphs("ab", 4, torch.tensor(5))[0], data.glyphs("ab", 4, 5)[0])
