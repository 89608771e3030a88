"""Where a chapter runs: device, seeds, scale, versions, and the greeting of the first cell."""
import importlib.metadata
import json
import operator
import os
import platform
import random
import sys
import time

import numpy as np
import torch

from tlutils.results import RESULTS

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


def calibrate() -> float:
    """Return the seconds of a small fixed piece of training, by which run times are translated between machines.

    Convention: eight times the best of forty steps, or of as many as half a second holds; one step is so short
        that the best is nearly undisturbed on a busy machine too. The global random state is left as it was.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 16, 24, 24, generator=generator).to(device())
    weight = torch.randn(32, 16, 3, 3, generator=generator).to(device()).requires_grad_()
    steps = []
    while len(steps) < 3 or (len(steps) < 40 and sum(steps[1:]) < 0.5):  # the first one warms up
        start = time.perf_counter()
        torch.nn.functional.conv2d(x, weight).relu().sum().backward()
        float(weight.grad.sum())  # waits for a GPU
        steps.append(time.perf_counter() - start)
    return 8 * min(steps)


def setup(chapter: str, since: str = "0") -> None:
    """Print the device, the scale, and the minutes and memory that `chapter` will take here.

    Convention: the minutes are those of the recorded run of this chapter at this scale and kind of device
        (results/chapters.json), times the ratio of `calibrate()` here and there: an estimate. Without such a run
        the nearest recorded one is told as it was; where the file is damaged, a note says so and nothing stops.
        `since` is the version of tlutils that the chapter needs.
    Errors: ValueError if chapter is not a number of two digits, such as "02".
    """
    if not (isinstance(chapter, str) and len(chapter) == 2 and chapter.isdigit()):
        raise ValueError(f'chapter must be its number in two digits, such as "02", got {chapter!r}')
    loaded = sys.modules["tlutils"].__version__
    if [int(part) for part in loaded.split(".")] < [int(part) for part in since.split(".")]:
        print(f"note:   this chapter needs tlutils {since}, and {loaded} is loaded. With a network connection, restart "
              "the session\n        (menu Runtime or Kernel), run the pip line of this cell, then this cell again.")
    print(f"device: {device_name()}")
    hint = '  (os.environ["TLUTILS_SCALE"] = "full" for the larger one)' if scale() == "laptop" else ""
    print(f"scale:  {scale()}{hint}")
    path = RESULTS / "chapters.json"
    try:
        recorded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        told = _expected(recorded.get(chapter, {}), chapter)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        print(f"note:   {path} is damaged ({type(error).__name__}: {error}): restore it with git,\n"
              "        or install the package again. The chapter runs without it.")
        told = "not known"
    print(f"time:   {told}")


def _expected(recorded: dict[str, dict], chapter: str) -> str:
    if run := recorded.get(f"{scale()}/{device().type}"):
        ratio = max(calibrate() / run["calibration_s"], 0.1)
        told = f"about {max(1, round(run['minutes'] * ratio))} min here"
        if ratio > 4:
            told = f"more than {max(1, round(run['minutes'] * 4))} min here (this machine is slow, or busy just now)"
        return f"{told}; memory: about {run['memory_gb']:.1f} GB"
    for key, run in sorted(recorded.items(), key=lambda item: not item[0].startswith(scale())):
        missing = f"on this kind of device ({device().type})" if key.startswith(scale()) else f"at scale {scale()}"
        took = f"{max(1, round(run['minutes']))} min and {run['memory_gb']:.1f} GB on {run['device']}"
        return f"not yet measured {missing}; scale {key.split('/')[0]} took {took}"
    return f"chapter {chapter} has no recorded run"
