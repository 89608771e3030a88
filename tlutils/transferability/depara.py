"""DEPARA (Song et al. 2020): do two networks look at the same pixels, and see the same images as alike?"""
from collections.abc import Callable

import torch
from torch import Tensor

from tlutils.arrays import at_least_float32, float64, no_autocast
from tlutils.transferability.rsa import cosines, spearman_of_pairs
from tlutils.transferability.task2vec import eval_mode


def depara(encoder: Callable[[Tensor], Tensor], target_encoder: Callable[[Tensor], Tensor], images: Tensor, *,
           lam: float = 1.0) -> float:
    """Return the similarity of two networks' deep attribution graphs on a set of probe images.

    Equation: mean_i cos(A_i, A'_i) + lam Spearman(E_ij, E'_ij), i < j, with attributions A_i = x_i * d sum_k f_k / dx_i
        and edges E_ij = cos(f(x_i), f(x_j))    (Song et al. 2020)
    Shapes: images (n, ...); encoders map them to (n, d), each row from its own image -> a float in [-1 - lam, 1 + lam].
    Convention: networks are in eval mode meanwhile, else BatchNorm would tie the rows together; autocast is off.
        Cost: a forward and a backward pass per network and O(n^2 d), and first of all a network trained on the target.
    Errors: ValueError for fewer than 3 images, lam < 0, outputs that are not (n, d) or let no gradient through, an
        attribution or output of zeros.
    Example:
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 1.0], [0.5, 0.1]])
        >>> round(depara(lambda x: x**2, lambda x: 3 * x**2, x), 6)
        2.0
    """
    if not isinstance(images, Tensor) or len(images) < 3 or not images.is_floating_point() or not lam >= 0:
        raise ValueError("images must be at least 3, of a float type, and lam >= 0, got a "
                         f"{type(images).__name__} of {len(images)} of {getattr(images, 'dtype', None)} and {lam}")
    nodes, edges = [], []
    for encode, name in ((encoder, "encoder"), (target_encoder, "target_encoder")):
        with eval_mode(encode), no_autocast(images.device), torch.inference_mode(False), torch.enable_grad():
            x = images.detach().clone().requires_grad_(True)
            z = encode(x.clone())  # its first layer may work in place
            if not isinstance(z, Tensor) or z.ndim != 2 or len(z) != len(images):
                shape = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
                raise ValueError(f"{name} must return ({len(images)}, d), got {shape}")
            if not z.requires_grad:
                raise ValueError(f"{name} must let gradients through, got an output without a graph")
            gradient, = torch.autograd.grad(z.sum(), x, materialize_grads=True)
        attribution = float64((at_least_float32(x) * at_least_float32(gradient)).detach().flatten(1))
        norms = torch.linalg.vector_norm(attribution, dim=1, keepdim=True)
        if not (norms > 0).all():
            raise ValueError(f"{name} must react to every image, got no attribution at {int(norms.argmin())}")
        nodes.append(attribution / norms)
        edges.append(cosines(float64(z.detach()), f"the output of {name}").cpu())
    return float((nodes[0] * nodes[1]).sum(1).mean()) + lam * spearman_of_pairs(*edges)
