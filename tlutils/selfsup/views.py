"""Two random views of each image, the whole batch at once on its own device (SimCLR: Chen et al. 2020, appendix A)."""
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tlutils.arrays import no_autocast
from tlutils.env import check_seed

GREY = (0.299, 0.587, 0.114)                                        # ITU-R 601
HUE = 0.4 * math.pi                                                 # at strength 1: a fifth of a turn either way


def two_views(images: Tensor, generator: torch.Generator | int, *, area: tuple[float, float] = (0.08, 1.0),
              rotate: float = 0.0, flip: float = 0.5, colour: float = 1.0, mix: float = 0.0, grey: float = 0.2,
              blur: float = 0.5) -> tuple[Tensor, Tensor]:
    """Return two views of every image, each cropped, mirrored, discoloured and blurred at random and on its own.

    Crop: a share `area` of the picture, aspect ratio 3/4 to 4/3, turned by up to +-rotate rad, resampled to full size.
    Colour of strength s, for 4 in 5 views: brightness, contrast and saturation times 1 +- 0.8 s, hue +- 0.2 s turns;
    a share `grey` loses all colour; a share `blur` is blurred by a Gaussian of 0.1 to 2 pixels. mix, not in the paper:
    the colours of a view go through the matrix I + mix N(0, 1) and are shifted by up to +-mix / 2.
    Shapes: images (n, 3, h, w) float32 from `data.to_tensor` -> two of the same. Grey images (n, 1, h, w) may be given
        with grey = 0; of colour they know brightness and contrast.
    Convention: `generator` is a torch.Generator on the device of images, or a seed. Brightness, contrast, saturation,
        hue in this order, as one linear map of the colours and one clipping; hue turns about the grey axis. Autocast
        does not reach in.
    Errors: ValueError for another shape or dtype, or an amount out of its range.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.dtype != torch.float32 or len(images) == 0:
        raise ValueError(f"images must be float32 (n, 3 or 1, h, w), got {images.dtype} {tuple(images.shape)}")
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f"area must be (low, high) with 0 < low <= high <= 1, got {area}")
    for name, share in {"flip": flip, "grey": grey, "blur": blur}.items():
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {share}")
    if not (0 <= colour <= 1.25 and rotate >= 0 and mix >= 0) or (grey and images.shape[1] == 1):
        raise ValueError("colour must be in [0, 1.25], rotate and mix >= 0, grey 0 for images of one channel, got "
                         f"colour={colour}, rotate={rotate}, mix={mix}, grey={grey}, {images.shape[1]} channels")
    generator = as_generator(generator, images.device)
    with no_autocast(images.device):
        twice = _cropped(images.repeat(2, 1, 1, 1), generator, area, rotate, flip)
        if colour or mix or grey:
            twice = _discoloured(twice, generator, colour, mix, grey)
        if blur:
            twice = _blurred(twice, generator, blur)
    return twice.contiguous(memory_format=torch.channels_last).chunk(2)


def as_generator(generator: torch.Generator | int, device: torch.device) -> torch.Generator:
    """Return generator, or for a seed a new one on device. ValueError if it is neither."""
    if isinstance(generator, torch.Generator):
        return generator
    return torch.Generator(device).manual_seed(check_seed(generator, "generator"))


def _cropped(x: Tensor, generator: torch.Generator, area, rotate: float, flip: float) -> Tensor:
    share, shape, turn, right, down, mirror = torch.rand(6, len(x), generator=generator, device=x.device)
    share = area[0] + (area[1] - area[0]) * share
    ratio = ((shape - 0.5) * math.log(4 / 3)).exp().clamp(share.sqrt(), 1 / share.sqrt())  # of sides, as far as it fits
    wide, high = share.sqrt() * ratio, share.sqrt() / ratio
    right, down = (2 * right - 1) * (1 - wide), (2 * down - 1) * (1 - high)
    angle, sign = rotate * (2 * turn - 1), torch.where(mirror < flip, -1.0, 1.0)
    across = sign * wide * torch.stack([angle.cos(), angle.sin()])                      # (2, n): the crop's lower edge
    along = high * torch.stack([-angle.sin(), angle.cos()])                             # (2, n): its right-hand edge
    grid = x.new_empty(len(x), *x.shape[2:], 2)                          # the places in x, both of -1..1, to read from
    u, v = (((2 * torch.arange(side, device=x.device) + 1) / side - 1) for side in (x.shape[3], x.shape[2]))
    for k, middle in enumerate((right, down)):
        columns, rows = across[k, :, None] * u + middle[:, None], along[k, :, None] * v
        torch.add(columns[:, None], rows[..., None], out=grid[..., k])
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _discoloured(x: Tensor, generator: torch.Generator, colour: float, mix: float, grey: float) -> Tensor:
    n, c = x.shape[:2]
    drawn = 2 * torch.rand(6, n, 1, 1, generator=generator, device=x.device) - 1
    active = (drawn[4] < 0.6).float() * colour                                          # 4 in 5
    bright, contrast, saturation = 1 + 0.8 * active * drawn[:3]
    to_grey = x.new_tensor(GREY if c == 3 else (1.0,)).expand(c, c)                     # every row the same
    eye = torch.eye(c, device=x.device)
    hue = turned(HUE * active * drawn[3]) if c == 3 else eye
    colours = saturation * eye + (1 - saturation) * to_grey
    gone = (drawn[5] < 2 * grey - 1).float()
    colours = (gone * to_grey + (1 - gone) * eye) @ hue @ colours                       # (n, c, c)
    if mix:
        colours = colours + mix * torch.randn(n, c, c, generator=generator, device=x.device)
    # All of it is linear in the levels x / 4 + 1/2, so one product with a matrix does it, and the mean of each colour
    # tells how bright the grey is that contrast keeps.
    pixels = x.flatten(2)                                                               # (n, c, h w)
    grey_level = to_grey @ (pixels.mean(2, keepdim=True) * 0.25 + 0.5) * bright         # (n, c, 1)
    offset = colours @ ((1 - contrast) * grey_level + contrast * bright * 0.5)
    if mix:
        offset = offset + mix * (torch.rand(n, c, 1, generator=generator, device=x.device) - 0.5)
    return torch.baddbmm(4 * offset - 2, contrast * bright * colours, pixels).clamp_(-2, 2).view_as(x)


def turned(angle: Tensor) -> Tensor:
    """Return the matrices (n, 3, 3) that turn colours about the grey axis (1, 1, 1) by angle (n, 1, 1), in rad."""
    cross = angle.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)      # Rodrigues' formula
    return torch.eye(3, device=angle.device) * angle.cos() + cross * angle.sin() + (1 - angle.cos()) / 3


def _blurred(x: Tensor, generator: torch.Generator, blur: float) -> Tensor:
    n, c, h, w = x.shape
    chance, sigma = torch.rand(2, n, generator=generator, device=x.device)
    reach = max(1, min(h, w) // 20)                                                 # a kernel of a tenth of the side
    offsets = torch.arange(-reach, reach + 1, device=x.device)
    kernel = torch.exp(-0.5 * (offsets / (0.1 + 1.9 * sigma[:, None])) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True))[:, :, None, None, None]             # (n, 2 reach + 1, 1, 1, 1)
    chosen = (chance < blur).nonzero()[:, 0]
    kernel, part = kernel[chosen], F.pad(x[chosen], (reach,) * 4, mode="reflect")
    for axis, side in ((2, h), (3, w)):
        out = kernel[:, 0] * part.narrow(axis, 0, side)
        for i in range(1, 2 * reach + 1):
            out.addcmul_(part.narrow(axis, i, side), kernel[:, i])
        part = out
    return x.index_copy_(0, chosen, part)
