"""What a task keeps beside the backbone that it shares: the trained parameters, and how many bytes they take."""
from torch import Tensor, nn

from tlutils.adapters.insert import NORMS


def norms(model: nn.Module) -> list[nn.Module]:
    """Return the normalisation layers of a network, each once, in order."""
    return [module for module in model.modules() if isinstance(module, NORMS)]


def task_state(model: nn.Module) -> dict[str, Tensor]:
    """Return what a task must store beside the backbone: trained parameters, and statistics of norms that trained.

    Convention: `load_state_dict(..., strict=False)` into a freshly prepared network of the same method brings the
        task back. The tensors are those of model, and change with it.
    """
    state = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    trained = {norm for norm in norms(model) if any(p.requires_grad for p in norm.parameters())}
    for name, module in model.named_modules():
        if module in trained:
            state |= {f"{name}.{key}": value for key, value in module.named_buffers()}
    return state


def stored_bytes(model: nn.Module) -> int:
    """Return the size of a task's file in the safetensors format.

    Units: bytes, of `task_state` in the types that model has, and of the names.
    """
    from safetensors.torch import save as serialise
    return len(serialise({name: value.cpu().contiguous() for name, value in task_state(model).items()}))
