"""Put adapters into a network, count what is trained, and fold them into its weights (merge, of LoRA too)."""
import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tlutils import surgery
from tlutils.adapters.layers import BottleneckAdapter, LoRALinear, LowRank, ParallelAdapter, SeriesAdapter

KINDS = ("series", "parallel", "bottleneck", "lora")
ADAPTERS = (SeriesAdapter, ParallelAdapter, BottleneckAdapter, LowRank)
NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")  # one for all, or one for each


class Behind(nn.Sequential):
    """A convolution and the series adapter behind it."""

    @property
    def weight(self) -> Tensor:
        """The weight of the one convolution that computes the same."""
        mix, weight = self._mix(), self[0].weight
        return torch.einsum("oc,cihw->oihw", mix, weight.to(mix)).to(weight)

    @property
    def bias(self) -> Tensor | None:
        """The bias of the one convolution that computes the same."""
        mix, bias = self._mix(), self[0].bias
        return None if bias is None else (mix @ bias.to(mix)).to(bias)

    def _mix(self) -> Tensor:
        alpha = self[1].alpha
        alpha = alpha.to(torch.promote_types(alpha.dtype, torch.float32))  # in bfloat16 1 + 0.003 is 1
        return torch.eye(len(alpha), device=alpha.device, dtype=alpha.dtype) + alpha


class Beside(nn.Module):
    """A convolution and the parallel adapter whose output is added to its own."""

    def __init__(self, conv: nn.Conv2d, adapter: ParallelAdapter):
        super().__init__()
        self.conv, self.adapter = conv, adapter

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.adapter(x)

    @property
    def weight(self) -> Tensor:
        """The weight of the one convolution that computes the same."""
        weight, middle = self.conv.weight.clone(), [k // 2 for k in self.conv.kernel_size]
        weight[:, :, middle[0], middle[1]] += self.adapter.alpha
        return weight

    @property
    def bias(self) -> Tensor | None:
        """The bias of the convolution."""
        return self.conv.bias


class AfterAttention(nn.Module):
    """Attention whose output goes through an adapter; called like nn.MultiheadAttention."""

    def __init__(self, attention: nn.MultiheadAttention, adapter: BottleneckAdapter):
        super().__init__()
        self.attention, self.adapter = attention, adapter
        self.in_proj_bias = None  # keeps nn.TransformerEncoderLayer off its fused path, which would pass the adapter by

    def forward(self, *args, **kwargs) -> tuple[Tensor, Tensor | None]:
        out, weights = self.attention(*args, **kwargs)
        return self.adapter(out), weights


def insert(model: nn.Sequential, kind: str, *, bottleneck: int = 8, rank: int = 4, scale: float = 1.0) -> nn.Sequential:
    """Return a copy of model with adapters; of its parameters only adapters, norms and the head can be trained.

    Convention: "series" and "parallel" go to every convolution that they can be folded into (no groups, no dilation;
        for parallel an odd kernel, padded to the middle); "bottleneck" behind attention and behind the feed-forward
        part of every transformer block; "lora" to the query, key and value weights of every attention and to all other
        linear layers but the head. A layer that stands at two places has one adapter. Each has the type and device of
        its layer. Before training the copy computes exactly what model does; model stays as it is.
    Errors: ValueError for another kind, a size below 1, a model with no place for this kind or with adapters already,
        and for a layer whose weight lora cannot be folded into.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if old := {type(module).__name__ for module in model.modules() if isinstance(module, ADAPTERS)}:
        raise ValueError(f"model has adapters already ({', '.join(sorted(old))}): merge them, or begin without them")
    adapted = _copied(model).requires_grad_(False)
    *body, head = surgery.layers(adapted)
    inside = dict.fromkeys(module for name in body for module in adapted._modules[name].modules())
    parents = [module for module in inside if not isinstance(module, nn.MultiheadAttention)]
    places = [(adapted, name) for name in body] + [(parent, name) for parent in parents for name in parent._modules]
    instead: dict[nn.Module, nn.Module | None] = {}
    for parent, name in places:
        child = parent._modules[name]
        if child is not None and child not in instead:
            before = set(child.modules())
            instead[child] = new = _adapted(kind, parent, name, child, bottleneck, rank, scale)
            if new is not None:
                for module in set(new.modules()) - before:
                    module.training = child.training
                for key, value in vars(child).items():  # sizes and the like, which a parent may ask for
                    if isinstance(value, int | float | str | tuple) and not key.startswith("_"):
                        vars(new).setdefault(key, value)
        if instead.get(child) is not None:
            parent._modules[name] = instead[child]
    if all(new is None for new in instead.values()):
        kinds = sorted({type(module).__name__ for module in inside})
        raise ValueError(f"model has no place for a {kind} adapter, it holds {', '.join(kinds)}")
    for module in adapted.modules():
        if isinstance(module, (*ADAPTERS, *NORMS)):
            module.requires_grad_(True)
        if isinstance(module, nn.TransformerEncoder) and kind == "bottleneck":
            module.use_nested_tensor = False  # a part of the fused path
    adapted._modules[head].requires_grad_(True)
    return adapted


def low_rank(model: nn.Sequential, rank: int) -> nn.Sequential:
    """Give every series and parallel adapter of model, in place, an alpha of this rank: alpha = B A. Return model.

    Convention: an adapter with fewer channels has their number as its rank. The factors carry no further scale; B is
        zero, so the network computes what it did if its adapters have not been trained.
    Errors: ValueError if rank < 1, or model has no series or parallel adapter whose alpha is a plain parameter.
    """
    if rank < 1:
        raise ValueError(f"rank must be >= 1, got {rank}")
    found = [module for module in model.modules() if isinstance(module, SeriesAdapter | ParallelAdapter)
             and not parametrize.is_parametrized(module)]
    if not found:
        raise ValueError("model must have series or parallel adapters that are not of low rank already, it has none")
    for module in found:
        fitting = min(rank, *module.alpha.shape)
        module.alpha.requires_grad_(False)
        change = LowRank(*module.alpha.shape, fitting, scale=float(fitting)).to(module.alpha)
        parametrize.register_parametrization(module, "alpha", change)
    return model


def merge(model: nn.Sequential) -> nn.Sequential:
    """Return a copy of an adapted model with series, parallel and LoRA adapters folded into the original weights.

    Equation: series (I + alpha) W;  parallel: W with alpha added at its middle;  LoRA: W + (scale / rank) B A.
    Convention: the outputs are those of model up to rounding. Bottleneck adapters are not linear and stay. A parameter
        that two layers shared is a parameter of each, once an adapter was folded into one of them.
    Errors: ValueError if there is nothing to fold.
    """
    merged = _copied(model)
    instead: dict[nn.Module, nn.Module | None] = {}
    for parent in list(merged.modules()):
        for name, child in parent._modules.items():
            if child is not None and child not in instead:
                instead[child] = _folded(child)
            if instead.get(child) is not None:
                parent._modules[name] = instead[child]
    if all(new is None for new in instead.values()):
        raise ValueError("model has no series, parallel or LoRA adapter to fold into its weights")
    return merged


def trainable_parameters(model: nn.Sequential) -> dict[str, int]:
    """Return how many parameters are trained, in "adapters", "norms" and "head", their "total", and "all" there are.

    Convention: counts parameters that require a gradient; what is trained in no adapter, norm or head is in "total".
    """
    def count(modules) -> int:
        seen = {id(p): p.numel() for module in modules for p in module.parameters() if p.requires_grad}
        return sum(seen.values())
    *blocks, head = surgery.layers(model).values()
    body = [module for block in blocks for module in block.modules()]
    return {"adapters": count(m for m in body if isinstance(m, ADAPTERS)),
            "norms": count(m for m in body if isinstance(m, NORMS)), "head": count([head]),
            "total": count([model]), "all": sum(p.numel() for p in model.parameters())}


def _copied(model: nn.Sequential) -> nn.Sequential:
    try:
        return copy.deepcopy(surgery.unwrap(model))
    except RuntimeError as error:
        raise ValueError("model cannot be copied: it holds weights that are computed from others, as by pruning or the "
                         "former weight_norm; make them plain parameters first") from error


def _adapted(kind: str, parent: nn.Module, name: str, child: nn.Module, bottleneck: int, rank: int,
             scale: float) -> nn.Module | None:
    """Return what takes the place of child, None if it stays."""
    if kind in ("series", "parallel") and isinstance(child, nn.Conv2d):
        if child.groups > 1 or child.dilation != (1, 1) or not _own_weight(child, nn.Conv2d):
            return None
        if kind == "series":
            return Behind(child, SeriesAdapter(child.out_channels).to(child.weight))
        padding = {"same": tuple(k // 2 for k in child.kernel_size), "valid": (0, 0)}.get(child.padding, child.padding)
        if all(k % 2 and p == k // 2 for k, p in zip(child.kernel_size, padding, strict=True)):
            return Beside(child, ParallelAdapter(child.in_channels, child.out_channels, child.stride).to(child.weight))
    if kind == "bottleneck":
        if isinstance(child, nn.MultiheadAttention):
            return AfterAttention(child, BottleneckAdapter(child.embed_dim, bottleneck).to(child.out_proj.weight))
        last = _last_linear(parent, name, child)
        if last is not None:
            return nn.Sequential(child, BottleneckAdapter(last.out_features, bottleneck).to(last.weight))
    if kind == "lora" and isinstance(child, nn.MultiheadAttention):
        weights = {key: child._parameters[key] for key in PROJECTIONS if child._parameters.get(key) is not None}
        if parametrize.is_parametrized(child) or not weights:
            raise ValueError(f"lora cannot be folded into the attention {name}: its weights are computed from others")
        for key, weight in weights.items():
            parametrize.register_parametrization(child, key, LowRank(*weight.shape, rank, scale).to(weight))
        return child
    if kind == "lora" and isinstance(child, nn.Linear):
        if not _own_weight(child, nn.Linear):
            raise ValueError(f"lora cannot be folded into the layer {name}: its weight is computed from others, "
                             f"or {type(child).__name__} uses it in a way of its own")
        return LoRALinear(child, rank, scale)
    return None


def _own_weight(layer: nn.Module, kind: type) -> bool:
    """Tell whether a layer computes what its kind does, with a weight that is a parameter and can be changed."""
    weight = layer._parameters.get("weight")
    return (type(layer).forward is kind.forward and not parametrize.is_parametrized(layer) and weight is not None
            and weight.is_floating_point())


def _last_linear(parent: nn.Module, name: str, child: nn.Module) -> nn.Linear | None:
    """Return the last linear layer of child if it is the attention or the feed-forward part of a transformer block."""
    if isinstance(parent, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) and name == "linear2":
        return child
    if isinstance(getattr(child, "qkv", None), nn.Linear) and isinstance(getattr(child, "proj", None), nn.Linear):
        return child.proj  # attention as Swin has it
    if name != "mlp":
        return None
    linear = [module for module in child.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(f"a bottleneck adapter cannot go behind an mlp without a linear layer, got {child}")
    return linear[-1]


@torch.no_grad()
def _folded(child: nn.Module) -> nn.Module | None:
    """Return the plain layer that computes the same, None if child holds no adapter that can be folded."""
    if isinstance(child, Behind | Beside | LoRALinear):
        # a copy, since the layer or its weight may also be in use where there is no adapter
        layer = copy.deepcopy(child[0] if isinstance(child, Behind) else getattr(child, "conv", None) or child.linear)
        layer.weight.copy_(child.weight)
        if layer.bias is not None:
            layer.bias.copy_(child.bias)
        return layer
    if not (isinstance(child, nn.MultiheadAttention) and parametrize.is_parametrized(child)
            and any(isinstance(module, LowRank) for module in child.parametrizations.modules())):
        return None
    # not remove_parametrizations: it takes the weight from the class, which child shares with the adapted original
    for key in child.parametrizations:
        child.parametrizations[key].original.copy_(getattr(child, key))
    own = {key: weights.original for key, weights in child._modules.pop("parametrizations").items()}
    child.__class__ = type(child).__base__
    child._parameters = {key: own.get(key, child._parameters.get(key)) for key in (*PROJECTIONS, *child._parameters)}
    return child
