"""How a chapter begins: what its first cell tells of this machine, and how long the chapter will take here."""
import json
import sys
import time

import torch

from tlutils.env import device, device_name, scale
from tlutils.results import RESULTS


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
