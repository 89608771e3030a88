"""Hide patches of images, to be filled in: x = (x_v, x_h), what is visible and what is hidden."""
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tlutils.arrays import full_precision
from tlutils.selfsup.views import as_generator


def mask_patches(images: Tensor, ratio: float, patch: int, generator: torch.Generator | int | None = None,
                 fill: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return images with hidden patches, and the mask of what is hidden.

    Shapes: images (n, c, h, w) -> (n, c, h, w) and bool (n, 1, h, w), True where hidden.
    Convention: in each image the same number of patches is hidden, round(ratio * patches), at least one and not all,
        at places drawn by the generator, which may be a seed; without one torch's global state draws them. Hidden
        pixels get the value `fill`. images stay as they are, and so does their type.
    Errors: ValueError for another shape, a ratio outside of (0, 1), or a side that patch does not divide.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) == 0:
        raise ValueError(f"images must be (n, c, h, w) with n > 0, got {tuple(images.shape)}, {type(images).__name__}")
    n, _, h, w = images.shape
    if not 0 < ratio < 1:
        raise ValueError(f"ratio must be in (0, 1), got {ratio}")
    if patch < 1 or h % patch or w % patch or h * w == patch**2:
        raise ValueError(f"patch must divide both sides into more than one patch, got {patch} for {h} x {w}")
    rows, columns = h // patch, w // patch
    count = min(max(round(ratio * rows * columns), 1), rows * columns - 1)
    generator = None if generator is None else as_generator(generator, images.device)
    noise = torch.rand(n, rows * columns, generator=generator, device=generator.device if generator else images.device)
    hidden = (noise.argsort(1).argsort(1) < count).to(images.device).view(n, 1, rows, columns)
    hidden = hidden.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    return images.masked_fill(hidden, fill), hidden


@full_precision
def imputation_loss(predicted: Tensor, images: Tensor, hidden: Tensor) -> Tensor:
    """Return the mean squared error over hidden pixels alone.

    Equation: mean over hidden of (x_hat - x)^2                                              (Pathak et al. 2016, eq. 1)
    Shapes: predicted and images (n, c, h, w), hidden bool (n, 1, h, w) -> a scalar.
    Convention: computed in float32 at least, whatever the inputs' type and autocast.
    Errors: ValueError for shapes that differ, or a mask that hides nothing or is not bool.
    """
    if images.ndim != 4 or predicted.shape != images.shape or hidden.shape != (len(images), 1, *images.shape[2:]):
        raise ValueError(f"predicted and images must agree and hidden be (n, 1, h, w), got {tuple(predicted.shape)}, "
                         f"{tuple(images.shape)} and {tuple(hidden.shape)}")
    if hidden.dtype != torch.bool or not predicted.is_floating_point():
        raise ValueError(f"hidden must be bool and predicted of a float type, got {hidden.dtype} and {predicted.dtype}")
    if not hidden.any():
        raise ValueError("hidden must hide at least one pixel, got a mask of False alone")
    return (predicted - images).square()[hidden.expand_as(images)].mean()


def decoder(*, n_features: int, widths: Sequence[int], side: int, channels: int = 3) -> nn.Sequential:
    """Return the way back from features to an image: (n, n_features) -> (n, channels, side, side).

    Convention: widths are the encoder's three, from the image inwards, and are gone through backwards: a linear layer
        to maps of side / 8, then transposed convolutions that double the side.
    Errors: ValueError unless there are three widths, all sizes are positive and 8 divides side.
    """
    if len(widths) != 3 or min(n_features, side, channels, *widths) < 1 or side % 8:
        raise ValueError(f"need three positive widths, positive sizes and side divisible by 8, got widths "
                         f"{tuple(widths)}, n_features {n_features}, side {side}, channels {channels}")
    first, second, third = widths
    at = side // 8
    blocks: list[nn.Module] = [nn.Linear(n_features, third * at**2), nn.ReLU(), nn.Unflatten(1, (third, at, at))]
    for c_in, c_out in ((third, second), (second, first)):
        blocks += [nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
    return nn.Sequential(*blocks, nn.ConvTranspose2d(first, channels, 4, 2, 1))
