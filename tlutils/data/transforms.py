"""From images to network inputs, and random changes of a whole batch at once on its own device."""
import numpy as np
import torch
from torch import Tensor


def to_tensor(images: np.ndarray, device: torch.device | str | None = None) -> Tensor:
    """Make a network input of uint8 images: (x / 255 - 0.5) / 0.25.

    Shapes: images (n, h, w) or (n, h, w, 3) uint8; returns (n, c, h, w) float32 in -2..2, memory format channels_last.
    Convention: one fixed scale for every data set, so that a source network sees a target on the scale it knows.
    Errors: ValueError for another dtype or shape.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or not (images.ndim == 3 or images.ndim == 4 and images.shape[-1] in (1, 3)):
        raise ValueError(f"images must be uint8 (n, h, w) or (n, h, w, 3), got {images.dtype} {images.shape}")
    x = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)                     # (n, c, h, w)
    return x.to(torch.float32).div_(255).sub_(0.5).div_(0.25).contiguous(memory_format=torch.channels_last)
