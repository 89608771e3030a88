"""Pretraining an encoder on two views of each image of a pool: the loop, and the tasks that chapters 6 and 7 share."""
import functools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import selfsup, train

TASKS = ("supervised", "rotation", "pair", "imputation")
COLOURS_KEPT = {"colour": 0.0, "mix": 0.0, "grey": 0.0}     # of `selfsup.two_views`: cropped and turned, not recoloured
# what changes at scale "full": photographs of CIFAR-100, a wider network, a longer run
FULL = {"world": "photographs", "n_pool": 50_000, "n_classes": 40, "n_other": 60, "n_test": 4000, "side": 32,
        "widths": (64, 128, 256), "n_features": 512, "steps": 20_000, "views_per_step": 1024, "lr": 2e-3,
        "area": (0.2, 1.0), "rotate": 0.0, "flip": 0.5, "mix": 0.0, "grey": 0.2}


def pretrain(model: nn.Module, loss: Callable, x: Tensor, y: Tensor | None = None, *, views: Mapping, steps: int,
             views_per_step: int, lr: float, seed: int, images_per_step: int | None = None) -> list[float]:
    """Train model in place on two views of batches of x; return the loss of every step.

    Shapes: loss(model, ((v1, v2), y)) is given two views of a batch and its labels; y = None gives places in x.
    Convention: views are keywords of `selfsup.two_views`. views_per_step views a step, of half as many images, unless
        images_per_step says otherwise. AdamW and its schedule as in `train.train`.
    Errors: as for `train.train` and `selfsup.two_views`.
    """
    y = torch.arange(len(x), device=x.device) if y is None else y
    size = views_per_step // 2 if images_per_step is None else images_per_step
    return train.train(model, x, y, lr=lr, steps=steps, batch_size=size, seed=seed, loss=loss,
                       transform=functools.partial(selfsup.two_views, **views))


def pretext(task: str, f: nn.Sequential, x: Tensor, labels: Tensor, *, n_features: int, widths: Sequence[int],
            views: Mapping, steps: int, views_per_step: int, lr: float, seed: int, ratio: float = 0.5, patch: int = 4,
            piece: int = 10) -> tuple[nn.Module, list[float]]:
    """Pretrain the encoder f in place by a task; return the whole network, f and what was put behind it, and losses.

    supervised: the class of a view. rotation: which of four turns. pair: where the second of two pieces lies, `piece`
    pixels wide. imputation: the colours of hidden squares, a share `ratio` of those of `patch` pixels.
    Shapes: x (n, 3, side, side); labels (n,), below 0 where there is none: "supervised" alone reads them, and learns
        from the images that have one. n_features and widths are those of f, a `models.conv_encoder`.
    Convention: views as in `pretrain`, but both pieces of a pair come from the whole image, upright, and imputation
        keeps colours. Every task sees views_per_step images a step; rotation turns each view four times.
    Errors: ValueError for a task that is not in TASKS.
    """
    y, images_per_step = None, None
    if task == "supervised":
        x, y = x[labels >= 0], labels[labels >= 0]
        model, loss = nn.Sequential(f, nn.Linear(n_features, int(y.max()) + 1)), supervised_loss
    elif task == "rotation":
        model, loss = nn.Sequential(f, nn.Linear(n_features, 4)), rotation_loss
        images_per_step = views_per_step // 8                      # two views of each, and each view four times
    elif task == "pair":
        model, loss = selfsup.Siamese(f, n_features, 4), functools.partial(pair_loss, size=piece)
        views = {**views, "area": (1.0, 1.0), "rotate": 0.0, "flip": 0.0}
    elif task == "imputation":
        model = nn.Sequential(f, selfsup.decoder(n_features=n_features, widths=widths, side=x.shape[-1]))
        loss, views = functools.partial(filling_loss, ratio=ratio, patch=patch), {**views, **COLOURS_KEPT}
    else:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
    model.to(x.device)
    return model, pretrain(model, loss, x, y, views=views, steps=steps, views_per_step=views_per_step, lr=lr,
                           seed=seed, images_per_step=images_per_step)


def supervised_loss(model: nn.Module, batch) -> Tensor:
    """Return the loss of telling the class of both views of a batch."""
    views, y = batch
    return F.cross_entropy(model(torch.cat(views)), torch.cat([y, y]))


def rotation_loss(model: nn.Module, batch) -> Tensor:
    """Return the loss of telling which way the views of a batch were turned: every view four times."""
    return train.classify(model, selfsup.rotation_batch(torch.cat(batch[0])))


def pair_loss(model: nn.Module, batch, size: int) -> Tensor:
    """Return the loss of telling where the second of two pieces lies, one from each view, `size` pixels wide."""
    pieces, answer = selfsup.pair_batch(*batch[0], size)
    return F.cross_entropy(model(pieces), answer)


def filling_loss(model: nn.Module, batch, ratio: float, patch: int) -> Tensor:
    """Return the loss of filling in hidden patches of both views."""
    images = torch.cat(batch[0])
    seen, hidden = selfsup.mask_patches(images, ratio, patch)
    return selfsup.imputation_loss(model(seen).float(), images, hidden)
