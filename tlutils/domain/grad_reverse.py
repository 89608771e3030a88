"""Gradient reversal (Ganin & Lempitsky 2015): the identity on the way up, minus lambda on the way back."""
import math

import torch
from torch import Tensor


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, lam):
        ctx.lam = lam
        return x.clone()  # a view may not be written to by a layer that works in place

    @staticmethod
    def backward(ctx, grad):
        return -ctx.lam * grad, None


def grad_reverse(x: Tensor, lam: float = 1.0) -> Tensor:
    """Return x unchanged; the gradient that comes back through it is multiplied by -lam.

    Equation: R(x) = x,  dR/dx = -lam I                                                (Ganin et al. 2016, eq. 18)
    Shapes: x any; the result has its shape, dtype and device.
    Convention: lam reaches only what lies below x; the domain classifier above learns at its full rate.
    Errors: ValueError if lam is negative, which would not reverse, or not finite.

    >>> x = torch.tensor([2.0], requires_grad=True)
    >>> grad_reverse(x, 0.5).sum().backward(); x.grad
    tensor([-0.5000])
    """
    if not 0 <= lam < math.inf:
        raise ValueError(f"lam must be finite and >= 0, got {lam}")
    return _Reverse.apply(x, lam)


def grl_schedule(p: float, gamma: float = 10.0) -> float:
    """Return lambda at progress p: 0 at the start, so that a classifier forms first, then towards 1.

    Equation: lambda(p) = 2 / (1 + exp(-gamma p)) - 1                                  (Ganin et al. 2016, sec. 5.2)
    Units: p is the share of training that is done, 0 to 1; lambda(1) = 0.9999 for gamma = 10.
    Errors: ValueError if p is outside of [0, 1], or gamma is not > 0.

    >>> [round(grl_schedule(p), 3) for p in (0, 0.1, 0.5, 1)]
    [0.0, 0.462, 0.987, 1.0]
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p must be in [0, 1], got {p}")
    if not gamma > 0:
        raise ValueError(f"gamma must be > 0, got {gamma}")
    return math.tanh(gamma * p / 2)  # the same function, and exactly 0 at p = 0
