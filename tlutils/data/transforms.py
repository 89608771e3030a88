"""From images to network inputs, and random changes of a whole batch at once on its own device."""
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tlutils.arrays import no_autocast
from tlutils.env import check_seed


def to_tensor(images: np.ndarray, device: torch.device | str | None = None) -> Tensor:
    """Make a network input of uint8 images: (x / 255 - 0.5) / 0.25.

    Shapes: images (n, h, w) or (n, h, w, 3) uint8; returns (n, c, h, w) float32 in -2..2, memory format channels_last.
    Convention: one fixed scale for every data set, so that a source network sees a target on the scale it knows.
    Errors: ValueError for another dtype or shape, such as that of one picture (h, w, 3).
    """
    images = np.asarray(images)
    one = images.ndim == 2 or images.ndim == 3 and images.shape[-1] == 3
    if images.dtype != np.uint8 or one or not (images.ndim == 3 or images.ndim == 4 and images.shape[-1] == 3):
        raise ValueError(f"images must be uint8 (n, h, w) or (n, h, w, 3), got {images.dtype} {images.shape}"
                         + ("; one picture is a batch of one: images[None]" if one else ""))
    x = torch.from_numpy(np.require(images, requirements=["C", "W"])).to(device)
    x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)                     # (n, c, h, w)
    x = x.to(torch.float32)
    return x.div_(x.new_tensor(255)).sub_(0.5).div_(0.25).contiguous(memory_format=torch.channels_last)


def augment(x: Tensor, generator: torch.Generator | int, *, flip: bool = False, shift: int = 0, rotate: float = 0.0,
            scale: float = 0.0, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0) -> Tensor:
    """Change each image of a batch at random and on its own; what is not asked for stays as it is.

    flip: mirror left and right, one time in two. shift: by whole pixels up to +-shift in both directions. rotate: by up
    to +-rotate rad. scale: by 1 +- scale. brightness, contrast, saturation: factors 1 +- value on grey levels in 0..1,
    contrast around the image's own mean, saturation around each pixel's grey (ITU-R 601); clipped to 0..1.
    Shapes: x (n, c, h, w) float32 from `to_tensor`, on any device; returns the same.
    Convention: one bilinear resampling for all geometry; beyond the border the image is mirrored. `generator` is a
    torch.Generator on the device of x, or a seed; the global random state is neither read nor changed.
    Errors: ValueError for a wrong shape or dtype, a generator that is none or on another device, a negative or too
    large amount, or saturation of grey images.
    """
    if x.ndim != 4 or x.dtype != torch.float32:
        raise ValueError(f"x must be float32 (n, c, h, w), got {x.dtype} {tuple(x.shape)}"
                         + ("; one picture is a batch of one: x[None]" if x.ndim == 3 else ""))
    n, c, h, w = x.shape
    if not 0 <= shift < min(h, w) or rotate < 0:
        raise ValueError(f"shift must lie in 0..{min(h, w) - 1} and rotate be >= 0, got shift={shift}, rotate={rotate}")
    factors = {"scale": scale, "brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, value in factors.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value}")
    if saturation and c != 3:
        raise ValueError(f"saturation needs images of three channels, got {c}")
    if not isinstance(generator, torch.Generator):
        generator = torch.Generator(x.device).manual_seed(check_seed(generator, "generator"))
    if generator.device.type != x.device.type:
        raise ValueError(f"generator must be on the device of x ({x.device}), got {generator.device}")

    def uniform(*shape):
        return 2 * torch.rand(shape, generator=generator, device=x.device) - 1    # in -1..1

    if flip or shift or rotate or scale:
        angle, size = rotate * uniform(n), 1 + scale * uniform(n)
        mirror = torch.where(uniform(n) < 0, -1.0, 1.0) if flip else torch.ones(n, device=x.device)
        steps = (uniform(n, 2) * (shift + 0.5)).round().clamp(-shift, shift)      # whole pixels, each as likely
        cos, sin = angle.cos() / size, angle.sin() / size
        # theta maps a place in the result to one in x; both run over -1..1, so a turn needs the aspect ratio.
        theta = torch.stack([torch.stack([mirror * cos, -mirror * sin * h / w, -2 * steps[:, 0] / w], 1),
                             torch.stack([sin * w / h, cos, -2 * steps[:, 1] / h], 1)], 1)      # (n, 2, 3)
        with no_autocast(x.device):                                               # bfloat16 would shake the pixels
            grid = F.affine_grid(theta, [n, c, h, w], align_corners=False)
            x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    if brightness or contrast or saturation:
        level = x * 0.25 + 0.5                                                    # back to 0..1
        level = level * (1 + brightness * uniform(n, 1, 1, 1))
        mean = level.mean((1, 2, 3), keepdim=True)
        level = mean + (level - mean) * (1 + contrast * uniform(n, 1, 1, 1))
        if saturation:
            grey = (level * level.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
            level = grey + (level - grey) * (1 + saturation * uniform(n, 1, 1, 1))
        x = (level.clamp(0, 1) - 0.5) / 0.25
    return x.contiguous(memory_format=torch.channels_last)
