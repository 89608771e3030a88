"""The loss of CLIP (Radford et al. 2021): which caption belongs to which image, and the other way round."""
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils.arrays import at_least_float32, full_precision


@full_precision
def clip_loss(image_features: Tensor, text_features: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Return the mean of both cross-entropies of L_ij = logit_scale I_i^T T_j, whose diagonal is right.

    Equation: 1/2 [CE over rows + CE over columns]                                      (Radford et al. 2021, figure 3)
    Shapes: (N, d) and (N, d) -> a scalar.
    Convention: rows are taken as they are, so normalise them first; logit_scale is 1 / temperature itself, not its
        logarithm: see `LogitScale`. Computed in float32 at least, whatever the inputs' type and autocast.
    Errors: ValueError for shapes that differ, or a logit_scale that is no positive number.
    """
    if image_features.ndim != 2 or image_features.shape != text_features.shape or len(image_features) == 0:
        raise ValueError("image_features and text_features must both be (N, d), got "
                         f"{tuple(image_features.shape)} and {tuple(text_features.shape)}")
    if isinstance(logit_scale, Tensor) and logit_scale.numel() != 1 or not 0 < logit_scale < math.inf:
        raise ValueError(f"logit_scale must be one number > 0, got {logit_scale}")
    logits = logit_scale * image_features @ text_features.T                             # (N, N)
    right = torch.arange(len(logits), device=logits.device)
    return 0.5 * (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right))


class LogitScale(nn.Module):
    """The learned 1 / temperature: exp(t), clamped to at most 100, so that it stays positive and cannot run away.

    Convention: starts at 1 / 0.07 (Radford et al. 2021, section 2.5).
    Errors: ValueError unless temperature and most are positive.

    >>> round(LogitScale()().item(), 2)
    14.29
    """

    def __init__(self, temperature: float = 0.07, most: float = 100.0):
        super().__init__()
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature must be > 0, got {temperature}")
        if not 0 < most < math.inf:
            raise ValueError(f"most must be > 0, got {most}")
        self.t, self.most = nn.Parameter(torch.tensor(-math.log(temperature))), most

    def forward(self) -> Tensor:
        return at_least_float32(self.t).clamp(max=math.log(self.most)).exp()
