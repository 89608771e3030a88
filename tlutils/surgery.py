"""Take a network apart: look at its blocks, copy them, freeze them, give it a new head, see how its norms have drifted.

Every network of this book is an `nn.Sequential` of named blocks, and its last block is the head. Where one is handed in
inside `torch.compile`, `nn.DataParallel` and the like, the functions work on the network inside.
"""
import contextlib
import copy
import functools
import sys
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from tlutils import env


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside `torch.compile`, `nn.DataParallel` or another such wrapper, else model itself."""
    while not isinstance(model, nn.Sequential) and list(dict(model.named_children())) in (["_orig_mod"], ["module"]):
        model, = model.children()
    return model


def layers(model: nn.Sequential) -> dict[str, nn.Module]:
    """Return the named blocks of a network in order, the head last.

    Convention: a module that stands at two places is two blocks, as it is two steps of the forward pass.
    Errors: ValueError if model is not an `nn.Sequential` of at least two blocks.

    >>> from tlutils.models import conv8
    >>> list(layers(conv8(n_classes=10)))
    ['conv1', 'conv2', 'conv3', 'conv4', 'conv5', 'conv6', 'fc7', 'head']
    """
    network = unwrap(model)
    if not isinstance(network, nn.Sequential) or len(network) < 2:
        raise ValueError(f"model must be an nn.Sequential of at least two blocks, got {type(network).__name__}")
    return dict(network._modules)


def part(model: nn.Sequential, start: int | None = None, stop: int | None = None) -> nn.Sequential:
    """Return blocks start to stop of a network as a plain `nn.Sequential` of the same modules, under their names.

    Convention: start and stop as in model[start:stop]; but that slice of a subclass would call the subclass, which
        builds a new network with random weights.
    Errors: ValueError if model is no `nn.Sequential`, or runs its blocks in a way of its own.

    >>> from tlutils.models import conv8
    >>> list(layers(part(conv8(n_classes=10), -2)))
    ['fc7', 'head']
    """
    network = unwrap(model)
    if not isinstance(network, nn.Sequential) or type(network).forward is not nn.Sequential.forward:
        raise ValueError("model must be an nn.Sequential that runs its blocks one after another, to be cut in parts, "
                         f"got {type(network).__name__}")
    return nn.Sequential(OrderedDict(list(network._modules.items())[start:stop]))


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
        `model.train()`, in copies and in what `torch.save` wrote of the whole model. `unfreeze` takes it back. A module
        that a later block uses too is frozen there as well.
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
            # a partial and no bound method: deepcopy and pickle take its arguments along, so a copy holds the copy
            vars(module)["train"] = functools.partial(_stay_in_eval, module)
            if hasattr(module, "reset_running_stats"):  # `torch.optim.swa_utils.update_bn` calls it on every norm
                vars(module)["reset_running_stats"] = functools.partial(_stay_in_eval, module)
    return model


def unfreeze(model: nn.Module) -> nn.Module:
    """Make every parameter trainable and every block follow `model.train()` again. Return model.

    Convention: what was frozen takes the mode that model is in; other modules keep theirs.
    """
    model.requires_grad_(True)
    for module in [module for module in model.modules() if vars(module).pop("train", None) is not None]:
        vars(module).pop("reset_running_stats", None)
        module.train(model.training)
    return model


def replace_head(model: nn.Sequential, n_classes: int) -> nn.Sequential:
    """Put a new linear head for n_classes in place of the last block: W2 becomes W3 on the same h(x; theta_1).

    Convention: a head that was a convolution (SqueezeNet) becomes average pooling, flattening and a linear layer; what
        a head flattens or pools before its linear layer, the new one does too. The head lands on the device, in the
        type and in the mode of the old one; its initial values come from the global generator.
    Errors: ValueError if n_classes < 1 or the old head has neither a linear layer nor a convolution.

    >>> from tlutils.models import conv8
    >>> replace_head(conv8(n_classes=60), n_classes=10).head
    Linear(in_features=64, out_features=10, bias=True)
    """
    if n_classes < 1:
        raise ValueError(f"n_classes must be >= 1, got {n_classes}")
    name, head = list(layers(model).items())[-1]
    old = next((m for m in head.modules() if isinstance(m, nn.Linear | nn.Conv2d)), None)
    if old is None or nn.parameter.is_lazy(old.weight):
        raise ValueError(f"the head {name} has no linear layer or convolution of known size to replace: {head}")
    if isinstance(old, nn.Linear):
        new = nn.Linear(old.in_features, n_classes)
        before = list(head._modules.values()) if isinstance(head, nn.Sequential) else []
        before = before[:before.index(old)] if old in before else []
        if any(isinstance(module, nn.Flatten) for module in before):
            new = nn.Sequential(*before, new)
    else:
        new = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(old.in_channels, n_classes))
    setattr(unwrap(model), name, new.to(device=old.weight.device, dtype=old.weight.dtype).train(head.training))
    return model


def new_head(model: nn.Sequential, n_classes: int, seed: int) -> nn.Sequential:
    """Return a copy of a network with a new head whose initial values are fixed by seed; model stays as it is.

    Convention: the body is that of model, in the mode that model is in; the head is that of `replace_head`.
    Errors: ValueError as for `replace_head` and `env.seed_everything`.
    """
    env.seed_everything(seed)
    return replace_head(copy.deepcopy(model), n_classes)


def with_head(body: nn.Sequential, head: nn.Sequential) -> nn.Sequential:
    """Return the body of one network under the head of another, in eval mode; no weight is copied.

    Convention: blocks keep the names that they have in body. A later change of either network is seen here too.
    Errors: ValueError if either is no `nn.Sequential` of at least two blocks.
    """
    return nn.Sequential(OrderedDict(layers(body) | {list(layers(body))[-1]: list(layers(head).values())[-1]})).eval()


def adapt_statistics(model: nn.Sequential, x: Tensor) -> nn.Sequential:
    """Replace the BatchNorm statistics of model by those of images x, without labels (AdaBN). Return model.

    Equation: mean and variance of each channel over x, layer by layer: adaptive BatchNorm (Li et al. 2016).
    Convention: one pass with all of x as a single batch; weights do not change; the model is left in eval mode.
    Errors: ValueError if x has fewer than two images, or model has no BatchNorm whose statistics can move.
    """
    if len(x) < 2:
        raise ValueError(f"x must hold at least two images to have a variance, got {len(x)}")
    norms = _norms(model)
    momenta = [norm.momentum for norm in norms]
    try:
        model.train()
        if frozen := sum(not norm.training for norm in norms):
            raise ValueError(f"model must not be frozen for its statistics to move, {frozen} of {len(norms)} norms are")
        for norm in norms:
            norm.momentum = 1.0                                   # running value = value of this batch
        with torch.no_grad():
            model(x)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.eval()
    return model


def drift(before: nn.Sequential, after: nn.Sequential) -> float:
    """Return how far the running means of BatchNorm moved: mean over channels of |change| in old deviations.

    Equation: mean of |mu_after - mu_before| / sqrt(var_before + eps).
    Errors: ValueError if a network has no BatchNorm with statistics, or the two differ in their norms.
    """
    old, new = _norms(before), _norms(after)
    if [norm.num_features for norm in old] != [norm.num_features for norm in new]:
        raise ValueError(f"before and after must have the same norms, got {[norm.num_features for norm in old]} and "
                         f"{[norm.num_features for norm in new]} channels")
    moved = [(b.running_mean - a.running_mean).abs() / (a.running_var + a.eps).sqrt()
             for a, b in zip(old, new, strict=True)]
    return torch.cat(moved).mean().item()


def reinitialise(model: nn.Sequential, names: str | Sequence[str]) -> nn.Sequential:
    """Give the named blocks fresh initial values, each module by its own `reset_parameters`. Return model.

    Convention: inner modules first, so that attention, which sets values of its output layer, has the last word.
    Errors: ValueError for a name that is no block of model, and for weights that no module can set anew: a position
        or class token that is a bare parameter, or a weight that is computed from others. Nothing is changed then.
    """
    blocks = _named(model, names)
    values = {f"{name}.{key}": value for name, block in blocks.items()
              for key, value in (*block.named_parameters(), *block.named_buffers())
              if not nn.parameter.is_lazy(value)}
    weights = {key: value for key, value in values.items()
               if isinstance(value, nn.Parameter) and (value.is_floating_point() or value.is_complex())}
    before = {key: value.detach().clone() for key, value in values.items()}
    with torch.no_grad():
        try:
            for value in weights.values():
                value.fill_(float("nan"))  # what is still NaN afterwards was not set anew
            for module in dict.fromkeys(module for block in blocks.values() for module in _inside_out(block)):
                for key in ("reset_parameters", "_reset_parameters"):  # the second is what nn.MultiheadAttention has
                    if hasattr(type(module), key):
                        getattr(module, key)()
                        break
                if "reset_running_stats" in vars(module):  # a frozen norm, which keeps its statistics otherwise
                    type(module).reset_running_stats(module)
            if stale := [key for key, value in weights.items() if value.isnan().any()]:
                raise ValueError(f"model holds weights that reset_parameters of no module sets anew: {stale}")
        except Exception:
            for key, value in values.items():
                value.copy_(before[key])
            raise
    return model


def param_groups(model: nn.Sequential, lr: float, body_lr: float) -> list[dict]:
    """Return two parameter groups for an optimiser: the body at body_lr, the head at lr.

    Convention: parameters that are frozen are left out; a group that would be empty too. What body and head share
        belongs to the body.
    Errors: ValueError if a rate is not positive or nothing is left to train.

    >>> from tlutils.models import conv8
    >>> [(len(group["params"]), group["lr"]) for group in param_groups(freeze(conv8(10), n=6), lr=3e-3, body_lr=3e-4)]
    [(2, 0.0003), (2, 0.003)]
    """
    if min(lr, body_lr) <= 0:
        raise ValueError(f"lr and body_lr must be > 0, got {lr} and {body_lr}")
    *body, head = layers(model).values()
    shared = dict.fromkeys(p for block in body for p in block.parameters() if p.requires_grad)
    groups = [{"params": list(shared), "lr": body_lr},
              {"params": [p for p in head.parameters() if p.requires_grad and p not in shared], "lr": lr}]
    if not any(group["params"] for group in groups):
        raise ValueError("nothing to train: every parameter of model is frozen")
    return [group for group in groups if group["params"]]


@contextlib.contextmanager
def capture(model: nn.Sequential, names: str | Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within the context, collect what the named blocks put out at the latest forward pass.

    Shapes: the dictionary maps each name to the block's output, batch first; it is filled by calling model.
    Convention: a copy, detached from the graph; the hooks are removed on leaving, also after an error. A compiled
        model runs uncompiled within the context, since compiled code knows nothing of the hooks.
    Errors: ValueError for a name that is no block of model, and where a block's output is no tensor, cannot be told
        from another's or did not come.

    >>> import torch
    >>> from tlutils.models import conv8
    >>> model = conv8(n_classes=10)
    >>> with capture(model, ["conv2", "fc7"]) as seen:
    ...     scores = model(torch.zeros(5, 1, 24, 24))
    >>> {name: tuple(output.shape) for name, output in seen.items()}
    {'conv2': (5, 24, 12, 12), 'fc7': (5, 64)}
    """
    network, blocks, wanted = unwrap(model), layers(model), _named(model, names)
    if not wanted:
        raise ValueError(f"names must hold a block at least, of {list(blocks)}")
    places = {name: [key for key, other in blocks.items() if other is block] for name, block in wanted.items()}
    everywhere = Counter(module for _, module in network.named_modules(remove_duplicate=False))
    for name, block in wanted.items():
        in_order = type(network).forward is nn.Sequential.forward or len(places[name]) == 1
        if everywhere[block] > len(places[name]) or not in_order:
            raise ValueError(f"block {name} is used at other places too: its outputs cannot be told apart")
    found: dict[str, Tensor] = {}
    calls: Counter = Counter()  # of each block in this forward pass: one that stands at two places is called twice
    handles = [network.register_forward_pre_hook(lambda *_: calls.clear())]
    handles += [block.register_forward_hook(functools.partial(_keep, found, calls, name, places[name]))
                for name, block in wanted.items()]
    try:
        with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else contextlib.nullcontext():
            yield found
    finally:
        for handle in handles:
            handle.remove()
    if missing := [name for name in wanted if name not in found]:
        raise ValueError(f"no output of {missing} came: model was not called, or not in a way that calls these blocks")


def count_parameters(model: nn.Module, trainable_only: bool = False) -> int:
    """Return the number of parameters (buffers such as running means are none), on request only the trainable ones.

    >>> from tlutils.models import conv8
    >>> model = freeze(conv8(n_classes=10))
    >>> count_parameters(model), count_parameters(model, trainable_only=True)
    (99210, 650)
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable_only)


def _norms(model: nn.Module) -> list[nn.Module]:
    """Return the layers of model that keep running statistics."""
    found = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
             and module.running_mean is not None]
    if not found:
        raise ValueError("model has no BatchNorm2d or other BatchNorm with running statistics to look at")
    return found


def _stay_in_eval(module: nn.Module, mode: bool = True) -> nn.Module:  # saved models refer to it by this name
    module.training = False  # a wrapper around module may just have set it
    return module


def _keep(found: dict[str, Tensor], calls: Counter, name: str, places: list[str], block: nn.Module, _inputs, output):
    """Keep a copy of a block's output: later blocks may write into it."""
    if not isinstance(output, Tensor):
        raise ValueError(f"block {name} puts out a {type(output).__name__}, capture takes blocks that put out a tensor")
    if getattr(block, "_is_replica", False):
        raise ValueError(f"block {name} runs on several devices, each with a part of the batch: call model.module")
    if places[calls[name] % len(places)] == name:
        found[name] = output.detach().clone()
    calls[name] += 1


def _inside_out(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        yield from _inside_out(child)
    yield module


def _first(model: nn.Sequential, n: int) -> list[tuple[str, nn.Module]]:
    blocks = list(layers(model).items())
    if n not in range(len(blocks) + 1) or isinstance(n, float):
        raise ValueError(f"n must be in 0..{len(blocks)}, got {n!r}")
    return blocks[:n]


def _named(model: nn.Sequential, names: str | Sequence[str]) -> dict[str, nn.Module]:
    blocks, one = layers(model), isinstance(names, str) or not isinstance(names, Iterable)
    names = [names] if one else list(names)
    if unknown := [name for name in names if name not in blocks]:
        raise ValueError(f"model has no block {unknown}; its blocks are {list(blocks)}")
    return {name: blocks[name] for name in names}
