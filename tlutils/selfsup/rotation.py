"""Rotation prediction (Gidaris, Singh & Komodakis 2018): turn every image four ways, and ask which way."""
import torch
from torch import Tensor


def rotation_batch(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return every image turned by 0, 90, 180 and 270 degrees, and the number of quarter turns as its label.

    Equation: loss(x) = -1/4 sum_k log p(k | turn(x, k)), k = 0..3                  (Gidaris et al. 2018, eq. 2)
    Shapes: images (n, c, s, s) -> (4n, c, s, s), labels (4n,) int64; the n images turned 0 times come first.
    Convention: counter-clockwise, exact (no resampling); device and dtype stay.
    Errors: ValueError unless images are a batch of squares.

    >>> turned, quarter = rotation_batch(torch.tensor([[[[1., 2.], [3., 4.]]]]))
    >>> turned[1, 0].tolist(), quarter.tolist()
    ([[2.0, 4.0], [1.0, 3.0]], [0, 1, 2, 3])
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[2] != images.shape[3] or 0 in images.shape:
        raise ValueError(f"images must be (n, c, s, s) with n > 0, got {tuple(images.shape)}, {type(images).__name__}")
    turned = torch.cat([images.rot90(k, (2, 3)) for k in range(4)])                     # (4n, c, s, s)
    return turned, torch.arange(4, device=images.device).repeat_interleave(len(images))
