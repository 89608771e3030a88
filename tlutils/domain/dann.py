"""Domain-adversarial training (Ganin et al. 2016): features that serve the labels and do not tell the domain."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils.arrays import full_precision
from tlutils.domain.grad_reverse import grad_reverse


class DomainClassifier(nn.Sequential):
    """Two layers that tell from which domain a feature comes: (n, d) -> (n,) logits, > 0 for the source.

    Errors: ValueError unless both sizes are positive.
    """

    def __init__(self, n_features: int, hidden: int = 100):
        if min(n_features, hidden) < 1:
            raise ValueError(f"n_features and hidden must be positive, got {n_features} and {hidden}")
        super().__init__(nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Flatten(0))

    def __getitem__(self, index):
        return nn.Sequential(*list(self)[index]) if isinstance(index, slice) else super().__getitem__(index)


@full_precision
def domain_loss(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    """Return the loss of telling the domains apart; log 2 is a coin toss.

    Equation: 1/2 [mean -log s(l_s) + mean -log(1 - s(l_t))], s the sigmoid          (Ganin et al. 2016, eq. 9)
    Shapes: logits (n_s,) and (n_t,) -> a scalar.
    Convention: the source is 1; each domain counts half. Computed in float32 at least, whatever the inputs' type and
        autocast.
    Errors: ValueError if one of them is empty or no vector.
    """
    for name, logits in (("source_logits", source_logits), ("target_logits", target_logits)):
        if logits.ndim != 1 or len(logits) == 0:
            raise ValueError(f"{name} must be (n,) with n > 0, got {tuple(logits.shape)}")
    linear = 40.0 if source_logits.dtype == torch.float64 else 20.0  # from here on softplus(x) is x to the last digit
    return 0.5 * (F.softplus(-source_logits, threshold=linear).mean()
                  + F.softplus(target_logits, threshold=linear).mean())


def dann_loss(model: nn.Sequential, batch: tuple[Tensor, Tensor, Tensor, float], domain: nn.Module, *,
              at: int = -1) -> Tensor:
    """Return the loss of one step: labels of the source, and the domains through reversed gradients.

    Equation: L_y(C(z_s), y_s) + L_d(D(R_lam(z_s)), D(R_lam(z_t))), C = model[at:]                   (eq. 9 and 18)
    Shapes: batch = (x_s, y_s, x_t, lam) with images of one shape; D, that is domain, reads z = model[:at](x),
        by default what the last block, the head, reads too.
    Convention: both domains go through the body in one batch, as they must where it normalises over the batch;
        D learns at full rate whatever lam is. `train.fit` takes it as functools.partial(dann_loss, domain=D); the
        optimiser must hold the parameters of model and of domain.
    Errors: ValueError if model is no `nn.Sequential`, images of the two domains differ in shape, or y_s is not a vector
        of integers, one for each image of the source.
    """
    check_step(model, batch)
    blocks = list(model._modules.values())  # a slice of a subclass would build a new network
    x_s, y_s, x_t, lam = batch
    z = nn.Sequential(*blocks[:at])(torch.cat([x_s, x_t]))                          # (n_s + n_t, ...)
    logits = domain(grad_reverse(z.flatten(1), lam))                                # (n_s + n_t,)
    labels = label_loss(nn.Sequential(*blocks[at:])(z[: len(x_s)]), y_s)
    return labels + domain_loss(logits[: len(x_s)], logits[len(x_s):])


def check_step(model: nn.Sequential, batch: tuple[Tensor, Tensor, Tensor, float]) -> None:
    """Do nothing for a model and a batch that the losses of two domains can take; else ValueError."""
    if not isinstance(model, nn.Sequential):
        raise ValueError(f"model must be an nn.Sequential, got {type(model).__name__}")
    x_s, y_s, x_t, _ = batch
    if y_s.ndim != 1 or y_s.is_floating_point():
        raise ValueError(f"y_s must be integers ({len(x_s)},), got {y_s.dtype} {tuple(y_s.shape)}")
    if x_s.shape[1:] != x_t.shape[1:] or len(x_s) != len(y_s) or min(len(x_s), len(x_t)) == 0:
        raise ValueError("both domains need images of one shape and the source a label each, got "
                         f"{tuple(x_s.shape)}, {tuple(y_s.shape)} and {tuple(x_t.shape)}")


def label_loss(scores: Tensor, y_s: Tensor) -> Tensor:
    """Return the cross-entropy of the source's scores (n, k) and labels (n,); ValueError for a label without column."""
    y_s = y_s.long()
    if not 0 <= y_s.min() <= y_s.max() < scores.shape[1]:
        raise ValueError(f"y_s must be in 0..{scores.shape[1] - 1}, got {int(y_s.min())}..{int(y_s.max())}")
    return F.cross_entropy(scores, y_s)
