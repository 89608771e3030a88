"""Hidden patches: as many as asked for, whole, and the only ones that the loss looks at."""
import pytest
import torch

from tlutils import models
from tlutils.selfsup import decoder, imputation_loss, mask_patches


@pytest.mark.parametrize(("ratio", "count"), [(0.5, 18), (0.25, 9), (0.01, 1), (0.99, 35)])
def test_as_many_whole_patches_in_each_image(ratio, count):
    images = torch.rand(6, 3, 24, 24) + 1
    shown, hidden = mask_patches(images, ratio, 4, torch.Generator().manual_seed(0))
    assert hidden.shape == (6, 1, 24, 24) and hidden.dtype == torch.bool
    patches = hidden.view(6, 6, 4, 6, 4).transpose(2, 3).reshape(6, 36, 16)
    assert (patches.all(2) | ~patches.any(2)).all() and (patches.all(2).sum(1) == count).all()
    assert torch.equal(shown, torch.where(hidden, 0.0, images)) and images.min() >= 1
    assert len({tuple(mask.flatten().tolist()) for mask in hidden}) > 1, "each image its own places"


def test_the_generator_decides():
    images = torch.rand(4, 1, 8, 8)
    masks = [mask_patches(images, 0.5, 2, torch.Generator().manual_seed(seed))[1] for seed in (1, 1, 2)]
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


def test_the_loss_is_that_of_hidden_pixels():
    images, wrong = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    _, hidden = mask_patches(images, 0.5, 4, torch.Generator().manual_seed(0))
    wrong[~hidden.expand_as(wrong)] = 100.0
    assert imputation_loss(wrong, images, hidden) == 0
    wrong[hidden.expand_as(wrong)] = 3.0
    assert imputation_loss(wrong, images, hidden) == 9


@pytest.mark.parametrize(("call", "message"), [
    (lambda x: mask_patches(x, 0.0, 4), "ratio"), (lambda x: mask_patches(x, 1.0, 4), "ratio"),
    (lambda x: mask_patches(x, 0.5, 3), "patch must divide"),
    (lambda x: mask_patches(x, 0.5, 8), "more than one patch"),
    (lambda x: mask_patches(x[0], 0.5, 4), "images must be"),
    (lambda x: imputation_loss(x[:1], x, x[:, :1] > 0), "must agree"),
    (lambda x: imputation_loss(x, x, x[:, :1] > 9), "at least one pixel")])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 3, 8, 8))


def test_a_decoder_gives_an_image_back():
    f = models.conv_encoder(widths=(4, 6, 8), n_features=10, side=32)
    back = decoder(widths=(4, 6, 8), n_features=10, side=32)
    assert back(f(torch.zeros(2, 3, 32, 32))).shape == (2, 3, 32, 32)
    assert decoder(widths=(4, 6, 8), n_features=10, side=8, channels=1)(torch.zeros(2, 10)).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("wrong", [{"widths": (4, 8)}, {"side": 20}, {"n_features": 0}, {"widths": (4, 0, 8)}])
def test_a_decoder_that_cannot_be_built(wrong):
    with pytest.raises(ValueError, match="need three positive widths, positive sizes and side divisible by 8, got"):
        decoder(**{"widths": (4, 6, 8), "n_features": 10, "side": 24} | wrong)
