"""Maximum mean discrepancy (Gretton et al. 2012): the distance between two domains' means in a kernel's space."""
import torch
from torch import Tensor

from tlutils.arrays import full_precision

FAR = 100  # in squared distances from the mean: farther from the origin |a|^2 + |b|^2 - 2ab loses digits of float32


@full_precision
def mmd(source_features: Tensor, target_features: Tensor, *,
        scales: tuple[float, ...] = (0.25, 0.5, 1, 2, 4)) -> Tensor:
    """Return the squared MMD between two samples under a mean of Gaussian kernels.

    Equation: mean k(s, s') + mean k(t, t') - 2 mean k(s, t)                           (Gretton et al. 2012, eq. 5)
    Shapes: (n_s, d) and (n_t, d) -> a scalar >= 0.
    Convention: the biased estimate; k = mean over scales of exp(-|a - b|^2 / (scale m)), m the mean squared distance of
        all pairs, through which no gradient flows. Computed in float32 at least, whatever the inputs' type and
        autocast; clouds far from the origin are moved there first.
    Errors: ValueError unless both are matrices of one width with at least two rows, and scales are positive.
    """
    for name, z in (("source_features", source_features), ("target_features", target_features)):
        if z.ndim != 2 or len(z) < 2 or z.shape[1] != source_features.shape[-1] or not z.shape[1]:
            raise ValueError(f"{name} must be (n, d) with n >= 2 and the same d > 0, got {tuple(z.shape)}")
    if not scales or min(scales) <= 0:
        raise ValueError(f"scales must be positive, got {scales}")
    z = torch.cat([source_features, target_features])
    mean = z.detach().mean(0)
    variance = (z.detach() - mean).square().sum(1).mean()
    z = z - torch.where(mean.square().sum() > FAR * variance, mean, 0.0)            # elsewhere to the bit as it came
    norms = z.square().sum(1)
    squared = (norms[:, None] + norms - 2 * z @ z.T).clamp(min=0)                   # (n, n)
    middle = squared.detach().mean().clamp(min=torch.finfo(z.dtype).tiny)
    kernel = torch.stack([torch.exp(-squared / (scale * middle)) for scale in scales]).mean(0)
    n = len(source_features)
    return (kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()).clamp(min=0)
