"""Training on the labels of the source while the features of both domains are drawn together: CORAL, MMD."""
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tlutils.domain.dann import check_step, label_loss


def distance_loss(model: nn.Sequential, batch: tuple[Tensor, Tensor, Tensor, float],
                  distance: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the loss of one step: labels of the source, and lambda times the distance of the domains' features.

    Equation: CE(C(z_s), y_s) + lam * distance(z_s, z_t), z the input of C, the last block
    Shapes: batch = (x_s, y_s, x_t, lam) with images of one shape; distance such as `coral` or `mmd` -> a scalar.
    Convention: both domains go through the body in one batch, as in `dann_loss`. `train.fit` takes it as
        functools.partial(distance_loss, distance=mmd).
    Errors: ValueError as for `dann_loss`.
    """
    check_step(model, batch)
    x_s, y_s, x_t, lam = batch
    blocks = list(model._modules.values())  # a slice of a subclass would build a new network
    z = nn.Sequential(*blocks[:-1])(torch.cat([x_s, x_t]))
    z_s, z_t = z[: len(x_s)], z[len(x_s):]
    return label_loss(blocks[-1](z_s), y_s) + lam * distance(z_s, z_t)
