"""The adapters themselves. Each is the identity, or zero, until it is trained."""
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SeriesAdapter(nn.Module):
    """A 1x1 convolution with a skip, behind a convolution: every output channel may borrow from all others.

    Equation: y = x + diag_1(alpha) * x, alpha (c, c), * a convolution                           (Rebuffi et al. 2017)
    Shapes: (n, c, h, w) -> (n, c, h, w). Convention: no bias; alpha = 0 at the start. c^2 parameters.
    Errors: ValueError unless channels is positive.

    >>> x = torch.randn(2, 3, 4, 4)
    >>> torch.equal(SeriesAdapter(3)(x), x)
    True
    """

    def __init__(self, channels: int):
        super().__init__()
        _positive(channels=channels)
        self.alpha = nn.Parameter(torch.zeros(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + F.conv2d(x, self.alpha[:, :, None, None])


class ParallelAdapter(nn.Module):
    """A 1x1 convolution beside a larger one, to be added to its output.

    Equation: diag_1(alpha) * x, added to f * x, alpha (c_out, c_in)                             (Rebuffi et al. 2018)
    Shapes: (n, c_in, h, w) -> (n, c_out, ceil(h / stride), ceil(w / stride)).
    Convention: no bias; alpha = 0 at the start. c_in c_out parameters.
    Errors: ValueError unless all sizes are positive.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int | tuple[int, int] = 1):
        super().__init__()
        self.stride = stride if isinstance(stride, tuple) else (stride, stride)
        _positive(in_channels=in_channels, out_channels=out_channels, stride=min(self.stride))
        self.alpha = nn.Parameter(torch.zeros(out_channels, in_channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.alpha[:, :, None, None], stride=self.stride)


class BottleneckAdapter(nn.Module):
    """Two small layers with a skip, behind a sublayer of a transformer.

    Equation: y = x + W_up gelu(W_down x + b_down) + b_up                                      (Houlsby et al. 2019)
    Shapes: (..., dim) -> (..., dim).
    Convention: W_up = 0 and b_up = 0 at the start. 2 dim bottleneck + dim + bottleneck parameters: O(D M).
    Errors: ValueError unless both sizes are positive.
    """

    def __init__(self, dim: int, bottleneck: int):
        super().__init__()
        _positive(dim=dim, bottleneck=bottleneck)
        self.down, self.up = nn.Linear(dim, bottleneck), nn.Linear(bottleneck, dim)
        nn.init.zeros_(self.up.weight), nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(F.gelu(self.down(x)))


class LowRank(nn.Module):
    """A weight matrix plus a trained product of two thin ones; also a parametrization of torch.nn.utils.

    Equation: W + (scale / rank) B A, B (out, rank), A (rank, in)                                    (Hu et al. 2022)
    Convention: B = 0 at the start, A as a linear layer's weight. rank (in + out) parameters.
    Errors: ValueError unless sizes are positive and rank is at most the smaller side.
    """

    def __init__(self, out_features: int, in_features: int, rank: int, scale: float = 1.0):
        super().__init__()
        _positive(out_features=out_features, in_features=in_features, rank=rank)
        if rank > min(out_features, in_features):
            raise ValueError(f"rank must be at most the smaller side {min(out_features, in_features)}, got {rank}")
        self.A, self.B = nn.Parameter(torch.empty(rank, in_features)), nn.Parameter(torch.zeros(out_features, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.factor = scale / rank

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.factor * (self.B @ self.A)


class LoRALinear(nn.Module):
    """A linear layer whose own weight is frozen, and a low-rank change of it that is trained.

    Equation: y = W x + b + (scale / rank) B A x                                                     (Hu et al. 2022)
    Shapes: (..., in_features) -> (..., out_features).
    Convention: takes a linear layer over and freezes it; B = 0 at the start, in the type and on the device of linear.
    Errors: ValueError unless linear is an nn.Linear and 0 < rank <= the smaller side.
    """

    def __init__(self, linear: nn.Linear, rank: int, scale: float = 1.0):
        super().__init__()
        if not isinstance(linear, nn.Linear):
            raise ValueError(f"linear must be an nn.Linear, got {type(linear).__name__}")
        self.linear = linear.requires_grad_(False)
        self.change = LowRank(linear.out_features, linear.in_features, rank, scale).to(linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.change.factor * F.linear(F.linear(x, self.change.A), self.change.B)

    @property
    def weight(self) -> Tensor:
        """The changed weight, for parents that read it themselves (Swin, nn.TransformerEncoderLayer)."""
        return self.change(self.linear.weight)

    @property
    def bias(self) -> Tensor | None:
        """The bias of the linear layer."""
        return self.linear.bias


def _positive(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be >= 1, got {value}")
