"""Put adapters into a network, count what is trained, and fold them into its weights."""
import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tlutils.adapters.layers import BottleneckAdapter, LoRALinear, LowRank, ParallelAdapter, SeriesAdapter

KINDS = ("series", "parallel", "bottleneck", "lora")
ADAPTERS = (SeriesAdapter, ParallelAdapter, BottleneckAdapter, LowRank)
NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.LayerNorm, nn.GroupNorm)


class Beside(nn.Module):
    """A convolution and the parallel adapter whose output is added to its own."""

    def __init__(self, conv: nn.Conv2d, adapter: ParallelAdapter):
        super().__init__()
        self.conv, self.adapter = conv, adapter

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.adapter(x)


class AfterAttention(nn.Module):
    """Attention whose output goes through an adapter; called like nn.MultiheadAttention."""

    def __init__(self, attention: nn.MultiheadAttention, adapter: BottleneckAdapter):
        super().__init__()
        self.attention, self.adapter = attention, adapter

    def forward(self, *args, **kwargs) -> tuple[Tensor, Tensor | None]:
        out, weights = self.attention(*args, **kwargs)
        return self.adapter(out), weights


def insert(model: nn.Sequential, kind: str, *, bottleneck: int = 8, rank: int = 4, scale: float = 1.0) -> nn.Sequential:
    """Return a copy of model with adapters; of its parameters only adapters, norms and the head can be trained.

    Convention: "series" and "parallel" go to every convolution that they can be folded into (no groups, no dilation;
        for parallel an odd kernel, padded to the middle); "bottleneck" behind attention and behind the feed-forward
        part of every transformer block; "lora" to the query, key and value weights of every attention and to all other
        linear layers but the head. Before training the copy computes exactly what model does; model stays as it is.
    Errors: ValueError for another kind, a size below 1, or a model with no place for this kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    adapted = copy.deepcopy(model).requires_grad_(False)
    body, found = adapted[:-1], 0
    for parent in [module for module in body.modules() if not isinstance(module, nn.MultiheadAttention)]:
        for name, child in list(parent.named_children()):
            new = _adapted(kind, child, name, bottleneck, rank, scale)
            if new is not None:
                (adapted if parent is body else parent).register_module(name, new)
                found += 1
    if not found:
        kinds = sorted({type(module).__name__ for module in body.modules()})
        raise ValueError(f"model has no place for a {kind} adapter, it holds {', '.join(kinds)}")
    for module in adapted.modules():
        if isinstance(module, (*ADAPTERS, *NORMS)):
            module.requires_grad_(True)
    adapted[-1].requires_grad_(True)
    return adapted


def merge(model: nn.Sequential) -> nn.Sequential:
    """Return a copy of an adapted model with series, parallel and LoRA adapters folded into the original weights.

    Equation: series (I + alpha) W;  parallel: W with alpha added at its middle;  LoRA: W + (scale / rank) B A.
    Convention: the outputs are those of model up to rounding. Bottleneck adapters are not linear and stay.
    Errors: ValueError if there is nothing to fold.
    """
    merged, found = copy.deepcopy(model), 0
    for parent in list(merged.modules()):
        for name, child in list(parent.named_children()):
            new = _folded(child)
            if new is not None:
                parent.register_module(name, new)
                found += 1
    if not found:
        raise ValueError("model has no series, parallel or LoRA adapter to fold into its weights")
    return merged


def trainable_parameters(model: nn.Sequential) -> dict[str, int]:
    """Return how many parameters are trained, in "adapters", "norms" and "head", their "total", and "all" there are.

    Convention: counts parameters that require a gradient; what is trained in no adapter, norm or head is in "total".
    """
    def count(modules) -> int:
        seen = {id(p): p.numel() for module in modules for p in module.parameters() if p.requires_grad}
        return sum(seen.values())
    body = list(model[:-1].modules())
    return {"adapters": count(m for m in body if isinstance(m, ADAPTERS)),
            "norms": count(m for m in body if isinstance(m, NORMS)), "head": count([model[-1]]),
            "total": count([model]), "all": sum(p.numel() for p in model.parameters())}


def _adapted(kind: str, child: nn.Module, name: str, bottleneck: int, rank: int, scale: float) -> nn.Module | None:
    """Return what takes the place of child, None if it stays."""
    plain = isinstance(child, nn.Conv2d) and child.groups == 1 and child.dilation == (1, 1)
    if plain and kind in ("series", "parallel"):
        where = child.weight.device
        if kind == "series":
            return nn.Sequential(child, SeriesAdapter(child.out_channels).to(where))
        if all(k % 2 and p == k // 2 for k, p in zip(child.kernel_size, child.padding, strict=True)):
            return Beside(child, ParallelAdapter(child.in_channels, child.out_channels, child.stride).to(where))
    if kind == "bottleneck" and isinstance(child, nn.MultiheadAttention):
        return AfterAttention(child, BottleneckAdapter(child.embed_dim, bottleneck).to(child.in_proj_weight.device))
    if kind == "bottleneck" and name == "mlp":
        last = [m for m in child.modules() if isinstance(m, nn.Linear)][-1]
        return nn.Sequential(child, BottleneckAdapter(last.out_features, bottleneck).to(last.weight.device))
    if kind == "lora" and isinstance(child, nn.MultiheadAttention):
        change = LowRank(*child.in_proj_weight.shape, rank, scale).to(child.in_proj_weight.device)
        parametrize.register_parametrization(child, "in_proj_weight", change)
        return child
    return LoRALinear(child, rank, scale) if kind == "lora" and isinstance(child, nn.Linear) else None


@torch.no_grad()
def _folded(child: nn.Module) -> nn.Module | None:
    """Return the plain layer that computes the same, None if child holds no adapter that can be folded."""
    if isinstance(child, LoRALinear):
        child.linear.weight.copy_(child.change(child.linear.weight))
        return child.linear
    if isinstance(child, nn.MultiheadAttention) and parametrize.is_parametrized(child, "in_proj_weight"):
        plain = nn.MultiheadAttention(child.embed_dim, child.num_heads, child.dropout, child.in_proj_bias is not None,
                                      batch_first=child.batch_first).to(child.in_proj_weight)
        values = {key: value for key, value in child.state_dict().items() if not key.startswith("parametrizations")}
        plain.load_state_dict(values | {"in_proj_weight": child.in_proj_weight})
        return plain.train(child.training)
    if isinstance(child, Beside):
        middle = [k // 2 for k in child.conv.kernel_size]
        child.conv.weight[:, :, middle[0], middle[1]] += child.adapter.alpha
        return child.conv
    if isinstance(child, nn.Sequential) and len(child) == 2 and isinstance(child[1], SeriesAdapter):
        conv, mix = child[0], torch.eye(len(child[1].alpha), device=child[1].alpha.device) + child[1].alpha
        conv.weight.copy_(torch.einsum("oc,cihw->oihw", mix, conv.weight))
        if conv.bias is not None:
            conv.bias.copy_(mix @ conv.bias)
        return conv
    return None
