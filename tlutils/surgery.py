"""Take a network apart: look at its blocks, copy them, freeze them, give it a new head.

Every network of this book is an `nn.Sequential` of named blocks, and its last block is the head.
"""
import contextlib
import types
from collections.abc import Iterator, Sequence

from torch import Tensor, nn


def layers(model: nn.Sequential) -> dict[str, nn.Module]:
    """Return the named blocks of a network in order, the head last.

    Errors: ValueError if model is not an `nn.Sequential` of at least two blocks.

    >>> from tlutils.models import conv8
    >>> list(layers(conv8(n_classes=10)))
    ['conv1', 'conv2', 'conv3', 'conv4', 'conv5', 'conv6', 'fc7', 'head']
    """
    if not isinstance(model, nn.Sequential) or len(model) < 2:
        raise ValueError(f"model must be an nn.Sequential of at least two blocks, got {type(model).__name__}")
    return dict(model.named_children())


def copy_layers(source: nn.Sequential, target: nn.Sequential, n: int) -> nn.Sequential:
    """Copy the first n blocks of source into target: weights and BatchNorm statistics. Return target.

    Convention: values are copied, so the two networks stay independent; the other blocks of target are untouched.
    Errors: ValueError if n is not in 0..number of blocks, or if a block differs in names or shapes
        (nothing is copied then).

    >>> from tlutils.models import conv8
    >>> a, b = conv8(n_classes=10), conv8(n_classes=26)
    >>> c = copy_layers(a, b, n=7)
    >>> bool((c.conv1[0].weight == a.conv1[0].weight).all()), c.head.out_features
    (True, 26)
    """
    pairs = list(zip(_first(source, n), _first(target, n), strict=True))
    for (name, a), (_, b) in pairs:
        shapes = [{key: tuple(value.shape) for key, value in block.state_dict().items()} for block in (a, b)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"block {name} differs between source and target: {shapes[0]} against {shapes[1]}")
    for (_, a), (_, b) in pairs:
        b.load_state_dict(a.state_dict())
    return target


def freeze(model: nn.Sequential, n: int | None = None) -> nn.Sequential:
    """Freeze the first n blocks (default: all but the head), weights AND BatchNorm statistics. Return model.

    Convention: `requires_grad=False` alone would let running means and variances drift at every forward pass in
        training mode, and would leave dropout on. Frozen blocks therefore stay in eval mode, also after a later
        `model.train()`. `unfreeze` takes it back.
    Errors: ValueError if n is not in 0..number of blocks.

    >>> from tlutils.models import conv8
    >>> model = freeze(conv8(n_classes=10), n=4).train()
    >>> [block.training for block in model]
    [False, False, False, False, True, True, True, True]
    """
    for _, block in _first(model, len(layers(model)) - 1 if n is None else n):
        block.requires_grad_(False)
        block.eval()
        for module in block.modules():
            module.train = types.MethodType(_stay_in_eval, module)  # a bound method: deepcopy binds it to the copy
    return model


def unfreeze(model: nn.Module) -> nn.Module:
    """Make every parameter trainable and every block follow `model.train()` again. Return model."""
    model.requires_grad_(True)
    for module in model.modules():
        module.__dict__.pop("train", None)
    return model.train(model.training)


def replace_head(model: nn.Sequential, n_classes: int) -> nn.Sequential:
    """Put a new linear head for n_classes in place of the last block: W2 becomes W3 on the same h(x; theta_1).

    Convention: a head that was a convolution (SqueezeNet) becomes average pooling, flattening and a linear layer.
        The head lands on the device and in the type of the old one; its initial values come from the global generator.
    Errors: ValueError if n_classes < 1 or the old head has neither a linear layer nor a convolution.

    >>> from tlutils.models import conv8
    >>> replace_head(conv8(n_classes=60), n_classes=10).head
    Linear(in_features=64, out_features=10, bias=True)
    """
    if n_classes < 1:
        raise ValueError(f"n_classes must be >= 1, got {n_classes}")
    name, head = list(layers(model).items())[-1]
    old = next((m for m in head.modules() if isinstance(m, nn.Linear | nn.Conv2d)), None)
    if old is None:
        raise ValueError(f"the head {name} has no linear layer or convolution to replace: {head}")
    if isinstance(old, nn.Linear):
        new = nn.Linear(old.in_features, n_classes)
    else:
        new = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(old.in_channels, n_classes))
    setattr(model, name, new.to(device=old.weight.device, dtype=old.weight.dtype))
    return model


def reinitialise(model: nn.Sequential, names: Sequence[str]) -> nn.Sequential:
    """Give the named blocks fresh initial values, each module by its own `reset_parameters`. Return model.

    Errors: ValueError for a name that is no block of model.
    """
    for block in _named(model, names).values():
        for module in block.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return model


def param_groups(model: nn.Sequential, lr: float, body_lr: float) -> list[dict]:
    """Return two parameter groups for an optimiser: the body at body_lr, the head at lr.

    Convention: parameters that are frozen are left out; a group that would be empty too.
    Errors: ValueError if a rate is not positive or nothing is left to train.

    >>> from tlutils.models import conv8
    >>> [(len(group["params"]), group["lr"]) for group in param_groups(freeze(conv8(10), n=6), lr=3e-3, body_lr=3e-4)]
    [(2, 0.0003), (2, 0.003)]
    """
    if min(lr, body_lr) <= 0:
        raise ValueError(f"lr and body_lr must be > 0, got {lr} and {body_lr}")
    *body, head = layers(model).values()
    groups = [{"params": [p for block in blocks for p in block.parameters() if p.requires_grad], "lr": rate}
              for blocks, rate in ((body, body_lr), ([head], lr))]
    if not any(group["params"] for group in groups):
        raise ValueError("nothing to train: every parameter of model is frozen")
    return [group for group in groups if group["params"]]


@contextlib.contextmanager
def capture(model: nn.Sequential, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within the context, collect what the named blocks put out at the latest forward pass.

    Shapes: the dictionary maps each name to the block's output, batch first; it is filled by calling model.
    Convention: detached from the graph; the hooks are removed on leaving, also after an error.
    Errors: ValueError for a name that is no block of model.

    >>> import torch
    >>> from tlutils.models import conv8
    >>> model = conv8(n_classes=10)
    >>> with capture(model, ["conv2", "fc7"]) as seen:
    ...     scores = model(torch.zeros(5, 1, 24, 24))
    >>> {name: tuple(output.shape) for name, output in seen.items()}
    {'conv2': (5, 24, 12, 12), 'fc7': (5, 64)}
    """
    found: dict[str, Tensor] = {}

    def keep(name):
        return lambda _module, _inputs, output: found.__setitem__(name, output.detach())

    handles = [block.register_forward_hook(keep(name)) for name, block in _named(model, names).items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def count_parameters(model: nn.Module, trainable_only: bool = False) -> int:
    """Return the number of parameters (buffers such as running means are none), on request only the trainable ones.

    >>> from tlutils.models import conv8
    >>> model = freeze(conv8(n_classes=10))
    >>> count_parameters(model), count_parameters(model, trainable_only=True)
    (99210, 650)
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable_only)


def _stay_in_eval(self, mode: bool = True):
    return self


_stay_in_eval.__name__ = "train"  # so that pickle finds the method by name


def _first(model: nn.Sequential, n: int) -> list[tuple[str, nn.Module]]:
    blocks = list(layers(model).items())
    if not 0 <= n <= len(blocks):
        raise ValueError(f"n must be in 0..{len(blocks)}, got {n}")
    return blocks[:n]


def _named(model: nn.Sequential, names: Sequence[str]) -> dict[str, nn.Module]:
    blocks = layers(model)
    if unknown := [name for name in names if name not in blocks]:
        raise ValueError(f"model has no block {unknown}; its blocks are {list(blocks)}")
    return {name: blocks[name] for name in names}
