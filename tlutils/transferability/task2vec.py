"""Task2Vec (Achille et al. 2019): a task as the Fisher information of the filters of a probe network."""
import contextlib

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from tlutils.arrays import at_least_float32, float64, no_autocast


def task2vec(model: nn.Sequential, images: Tensor, *, batch: int = 32) -> Tensor:
    """Return the diagonal Fisher information of the body's filters: the embedding of the task the head was fitted to.

    Equation: F_w = E_x E_{y ~ p(y|x)} (d log p(y | x) / dw)^2, averaged over the weights of a filter
    (Achille et al. 2019)
    Shapes: model ends in a head for the task; images (n, ...) -> float64 (number of filters,), on the images' device
        if that is CUDA, else on the CPU.
    Convention: the head, the last block, is fitted to the task beforehand and left out. The expectation over y is
        exact, not sampled. Filters are the rows of weights of two and more dimensions. Computed in eval mode and in
        float32 (float64 for such a model), whatever the model's type and autocast; the model stays as it was.
        Cost: fitting the head, then n C backward passes; no source data.
    Errors: ValueError if model is no nn.Sequential with a head, images are empty, or batch < 1.
    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> task2vec(model, torch.ones(4, 2)).shape
        torch.Size([3])
    """
    if not isinstance(model, nn.Sequential) or len(model) < 2:
        raise ValueError(f"model must be an nn.Sequential of a body and a head, got {type(model).__name__}")
    if not isinstance(images, Tensor) or not len(images) or batch < 1:
        raise ValueError("images must not be empty and batch must be >= 1, got "
                         f"{type(images).__name__} {tuple(images.shape)} and {batch}")
    head = list(model._modules)[-1] + "."  # named_children leaves out a module that stands at two places
    dtype = torch.float64 if any(p.dtype == torch.float64 for p in model.parameters()) else torch.float32

    def raised(x):
        return x.detach().to(dtype) if x.is_floating_point() else x.detach()

    held = {name: raised(p) for name, p in [*model.named_parameters(), *model.named_buffers()]}
    filters = {name: held[name] for name, p in model.named_parameters() if p.ndim > 1 and not name.startswith(head)}
    if not filters:
        raise ValueError(f"model must have filters below its head {head[:-1]}, got none")

    def log_p(weights, image):
        return functional_call(model, {**held, **weights}, (image[None],))[0].log_softmax(-1)

    def fisher(image):  # sum_y p(y) (d log p(y) / dw)^2, averaged per filter
        p = log_p(filters, image).exp()
        gradients = jacrev(log_p)(filters, image)
        return {name: torch.tensordot(p, g.square(), 1).flatten(1).mean(1) for name, g in gradients.items()}

    with eval_mode(model), no_autocast(images.device):
        parts = (torch.cat(list(vmap(fisher)(raised(part)).values()), 1) for part in images.split(batch))
        found = sum(float64(part).sum(0) for part in parts) / len(images)
    if not found.isfinite().all():
        raise ValueError("images and the weights of model must be finite, got NaN or infinity in the embedding")
    return found


@contextlib.contextmanager
def eval_mode(model):
    """Put a network in eval mode for a while; each of its blocks gets its own mode back, after an error too."""
    modes = {module: module.training for module in model.modules()} if isinstance(model, nn.Module) else {}
    try:
        if modes:
            model.eval()
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def task2vec_similarity(a: Tensor, b: Tensor) -> float:
    """Return cos(a / (a + b), b / (a + b)) of two embeddings, 1 for the same task; filters unused by both count 0.

    Errors: ValueError unless both are vectors of one length, not negative and not zero.
    """
    for name, x in (("a", a), ("b", b)):
        if not isinstance(x, Tensor) or x.ndim != 1 or x.shape != a.shape:
            raise ValueError(f"{name} must be ({len(a)},), got a {type(x).__name__} {tuple(x.shape)}")
        if not (x >= 0).all() or not x.any() or x.isinf().any():
            raise ValueError(f"{name} must be finite, not negative and not zero, got entries up to {float(x.max())}")
    a, b = at_least_float32(a.detach()), at_least_float32(b.detach())
    total = float64(torch.where(a + b > 0, a + b, 1.0))
    return float(torch.nn.functional.cosine_similarity(float64(a) / total, float64(b) / total, dim=0, eps=1e-150))
