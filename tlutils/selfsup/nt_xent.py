"""NT-Xent, the loss of SimCLR (Chen et al. 2020): find the other view of the same image among all views of a batch."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils.arrays import full_precision, no_autocast


class _CrossEntropyOfPairs(torch.autograd.Function):
    """Mean cross-entropy of the rows of z z^T / tau without the diagonal; the one matrix becomes its own gradient."""

    @staticmethod
    def forward(ctx, z, tau):
        n = len(z) // 2
        s = (z @ z.T).div_(tau).fill_diagonal_(-torch.inf)                              # (2n, 2n)
        pairs = torch.cat([s.diagonal(n), s.diagonal(-n)])
        top = s.amax(1, keepdim=True)
        total = s.sub_(top).exp_().sum(1, keepdim=True)
        loss = (total.log() + top).squeeze(1).sub(pairs).mean()
        s.div_(total)                                                                   # softmax
        s.diagonal(n).sub_(1), s.diagonal(-n).sub_(1)
        ctx.save_for_backward(z, s)
        ctx.tau = tau
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        z, s = ctx.saved_tensors
        with no_autocast(z.device):                                 # some call backward() inside of autocast
            return (s @ z + s.T @ z).mul_(grad / (len(z) * ctx.tau)), None


def unit_rows(z: Tensor) -> Tensor:
    """Return the rows of z (N, d) at length 1; a row of zeros stays, and has no gradient instead of 1e12 times it."""
    return F.normalize(z.masked_fill((z == 0).all(1, keepdim=True), 0.0), dim=1)


@full_precision
def nt_xent(z1: Tensor, z2: Tensor, *, temperature: float | Tensor = 0.5) -> Tensor:
    """Return the normalised, temperature-scaled cross-entropy of two views of each image.

    Equation: mean over 2N of -log exp(s_ij) / sum_{k != i} exp(s_ik), s = cosine / temperature    (Chen et al. 2020, 1)
    Shapes: z1 and z2 (N, d), row i the two views of image i -> a scalar; N = 1 gives 0, since there is no other.
    Convention: rows are normalised here; the mean is over all 2N views (the authors' program adds the two views' means,
        twice as much). One (2N, 2N) matrix is held, for both directions; second derivatives are not defined. Computed
        in float32 at least, whatever the inputs' type and autocast; a row of zeros has cosine 0 and no gradient. The
        temperature may be a tensor of one number, and is learned if that has a gradient.
    Errors: ValueError for shapes that differ or a temperature that is no positive number.
    """
    if z1.ndim != 2 or z1.shape != z2.shape or 0 in z1.shape:
        raise ValueError(f"z1 and z2 must be (N, d) with N, d > 0, got {tuple(z1.shape)} and {tuple(z2.shape)}")
    check_temperature(temperature)
    z = unit_rows(torch.cat([z1, z2]))
    if isinstance(temperature, Tensor) and temperature.requires_grad:   # its gradient comes through z z^T
        z, temperature = z / temperature.sqrt(), 1.0
    return _CrossEntropyOfPairs.apply(z, temperature)


def check_temperature(temperature: float | Tensor) -> None:
    """Raise ValueError unless temperature is one number > 0."""
    if isinstance(temperature, Tensor) and temperature.numel() != 1 or not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be > 0 and one number, got {temperature}")


def projection_head(n_features: int, dim: int) -> nn.Sequential:
    """Return g, what SimCLR and MoCo put behind an encoder: h (n, n_features) -> z (n, dim), with one hidden layer.

    Convention: the hidden layer is as wide as h; the loss reads z, whoever uses the encoder reads h.
    Errors: ValueError unless both are positive.
    """
    if min(n_features, dim) < 1:
        raise ValueError(f"n_features and dim must be >= 1, got {n_features} and {dim}")
    return nn.Sequential(nn.Linear(n_features, n_features), nn.ReLU(), nn.Linear(n_features, dim))
