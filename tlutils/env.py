"""Where a computation runs: device, seeds, scale, versions."""
import importlib.metadata
import operator
import os
import platform
import random

import numpy as np
import torch

SCALES = ("laptop", "full")
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "matplotlib")


def device() -> torch.device:
    """Return the device that chapters compute on: the first GPU where there is one, else the CPU.

    Convention: asked anew at each call, never stored at import; CUDA before Apple's MPS before CPU.
        The environment variable `TLUTILS_DEVICE` ("cpu", "cuda:1", ...) overrides the choice.
    Errors: ValueError if it names no device, or one that is not here.
    """
    if wanted := os.environ.get("TLUTILS_DEVICE"):
        try:
            chosen = torch.device(wanted.strip().lower())
        except RuntimeError:
            raise ValueError(f'TLUTILS_DEVICE must be "cpu", "cuda", "cuda:1", "mps", ..., got {wanted!r}') from None
        n = {"cuda": torch.cuda.device_count, "mps": lambda: int(torch.backends.mps.is_available())}
        if chosen.type in n and (chosen.index or 0) >= n[chosen.type]():
            raise ValueError(f"TLUTILS_DEVICE must name a device that is here, got {wanted!r}; torch sees "
                             f"{n[chosen.type]()} of the kind {chosen.type}")
        return chosen
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def check_seed(seed, name: str = "seed") -> int:
    """Return seed as a Python int; NumPy's integers are taken like Python's.

    Errors: ValueError that names the argument unless it is a whole number in [0, 2**32); a bool or a float is none.
    """
    try:
        whole = -1 if "bool" in str(getattr(seed, "dtype", type(seed))) else operator.index(seed)
    except TypeError:
        whole = -1
    if not 0 <= whole < 2**32:
        raise ValueError(f"{name} must be in [0, 2**32), a whole number, got {seed!r}")
    return whole


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch (all devices), and ask cuDNN for repeatable kernels.

    Convention: the same seed gives the same numbers on the same machine and versions; across
        machines the last digits may differ.
    Errors: ValueError unless seed is a whole number, of Python or NumPy, in [0, 2**32).
    """
    seed = check_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def scale(value: str | None = None) -> str:
    """Return the scale of the experiments, "laptop" or "full".

    Convention: the argument wins, then the environment variable `TLUTILS_SCALE`, then "laptop".
    Errors: ValueError for any other word.
    """
    value = value or os.environ.get("TLUTILS_SCALE") or "laptop"
    if value not in SCALES:
        raise ValueError(f"scale (TLUTILS_SCALE) must be one of {SCALES}, got {value!r}")
    return value


def pick(laptop, full):
    """Return the first argument at scale "laptop", the second at scale "full".

    >>> pick("five minutes", "an hour")
    'five minutes'
    """
    return full if scale() == "full" else laptop


def versions() -> dict[str, str]:
    """Return the versions that a result depends on: Python and the numerical packages, as far as they are there."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def device_name() -> str:
    """Return a name of the device for people: the GPU's, or the CPU's with its number of threads."""
    if device().type == "cuda":
        return torch.cuda.get_device_name(device())
    if device().type == "mps":
        return f"Apple GPU ({platform.machine()})"
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {torch.get_num_threads()} threads"
