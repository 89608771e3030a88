"""What callers hand over: lists, arrays, tensors of any type and device or with a graph; and what is computed in."""
import contextlib
import functools
import inspect
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

NUMPY_KNOWS = (torch.float16, torch.float32, torch.float64)


def storage(x, name: str = "x") -> np.ndarray | Tensor:
    """Return x as an array, or as a tensor without its graph where it lies on CUDA; copied only where it must be.

    Convention: other devices come to the CPU, for only CUDA is sure to know float64 (Apple's MPS does not).
    Errors: ValueError that names the argument for rows of different lengths.
    """
    return x.detach() if isinstance(x, Tensor) and x.device.type == "cuda" else array(x, name)


def array(x, name: str = "x") -> np.ndarray:
    """Return x as an array on the CPU: a tensor with a graph or in bfloat16 too, and a list of such tensors.

    Errors: ValueError that names the argument for rows of different lengths.
    """
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        known = not x.is_floating_point() or x.dtype in NUMPY_KNOWS
        return (x if known else x.float()).resolve_conj().resolve_neg().numpy()
    try:
        return np.asarray(_without_tensors(x))
    except ValueError as error:
        raise ValueError(f"{name} must be an array or lists of one length, got {str(error)[:80]}") from None


def _without_tensors(x):
    if isinstance(x, Tensor):
        return array(x)
    inside = isinstance(x, list | tuple) and any(isinstance(part, Tensor | list | tuple) for part in x)
    return [_without_tensors(part) for part in x] if inside else x


def at_least_float32(x: Tensor) -> Tensor:
    """Return x in float32 if it is in half precision, else as it is; integers and masks stay too."""
    return x.to(torch.promote_types(x.dtype, torch.float32)) if x.is_floating_point() else x


def float64(x: Tensor) -> Tensor:
    """Return x in float64, on the CPU unless it lies on CUDA: Apple's MPS has no float64."""
    return (x if x.device.type == "cuda" else x.cpu()).double()


def no_autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """Return a context in which operations on device keep the types of what they are given."""
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else contextlib.nullcontext()


def full_precision(function: Callable) -> Callable:
    """Let a function of tensors compute in float32, or in float64 if one of them is that, and with autocast off.

    Convention: half precision holds a loss's input but not its sums and exponentials, so these are raised first;
        gradients come back in the type of each input. Masks stay; a scalar follows the others.
    Errors: ValueError that names the argument for what is no tensor where one is wanted, or complex numbers.
    """
    kinds = {name: parameter.annotation for name, parameter in inspect.signature(function).parameters.items()}

    @functools.wraps(function)
    def in_full(*args, **kwargs):
        given = [*zip(kinds, args, strict=False), *kwargs.items()]
        for name, x in given:
            if isinstance(x, np.ndarray) or isinstance(x, Tensor) and x.is_complex():
                raise ValueError(f"{name} must be a tensor of real numbers, got {type(x).__name__} of {x.dtype}")
            if kinds.get(name) is Tensor and not isinstance(x, Tensor):
                raise ValueError(f"{name} must be a tensor, got a {type(x).__name__}")
        tensors = [x for _, x in given if isinstance(x, Tensor)]
        dtype = torch.float64 if any(x.dtype == torch.float64 and x.ndim for x in tensors) else torch.float32

        def raised(x):
            return x.to(dtype) if isinstance(x, Tensor) and x.dtype != torch.bool else x

        with no_autocast(tensors[0].device) if tensors else contextlib.nullcontext():
            return function(*map(raised, args), **{name: raised(x) for name, x in kwargs.items()})
    return in_full
