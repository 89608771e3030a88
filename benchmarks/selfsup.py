"""Speed of what chapters 4 to 8 lean on: side by side, in one run and one thread.

    OMP_NUM_THREADS=1 python benchmarks/selfsup.py            (about two minutes, 3 GB)
    OMP_NUM_THREADS=1 python benchmarks/selfsup.py --quick    (seconds: sizes that only show that it runs)

Times are CPU seconds of this process (on another device wall seconds), the median of interleaved repetitions; what
travels from one machine to another is the ratio. NT-Xent is measured in memory: the largest amount that a forward and a
backward pass hold beyond what was there before, in units of the (2N, 2N) matrix of similarities. On a GPU: see
`tools/gpu.py`.
"""
import argparse
import inspect
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from tlutils import adapters, data, env, models, selfsup, train

CPU = torch.device("cpu")
TARGETS = {"two_views": 10.0, "cached features, head": 5.0, "cached features, adapter": 5.0, "NT-Xent, copies": 2.0}


@dataclass(frozen=True)
class Line:
    """One figure: what was measured, for theirs and ours, and the ratio. For memory less is better."""

    name: str
    case: str
    theirs: float
    ours: float
    unit: str = "s"

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours

    @property
    def met(self) -> bool:
        return self.ours < TARGETS[self.name] if self.unit == "matrices" else self.ratio >= TARGETS[self.name]


def interleaved(one, other, repeats, device=CPU):
    """Return the median seconds of two actions, run in turns after one round that does not count."""
    def now():
        if device.type == "cpu":
            return time.process_time()
        getattr(torch, device.type).synchronize()
        return time.perf_counter()

    seconds: tuple[list[float], list[float]] = ([], [])
    for k in range(repeats + 1):
        for kept, action in zip(seconds, (one, other), strict=True):
            start = now()
            action()
            took = now() - start
            if k:
                kept.append(took)
    return tuple(float(torch.tensor(kept, dtype=torch.float64).median()) for kept in seconds)


def views(quick, repeats, device=CPU):
    """Two views of a batch, against torchvision's transforms of one image after the other, with the same operations."""
    from torchvision.transforms import v2
    n = 16 if quick else 256
    images, _ = data.colour_glyphs("abcdefgh", n, seed=0, side=32)
    x = data.to_tensor(images, device)
    levels = [picture * 0.25 + 0.5 for picture in x]
    each = v2.Compose([v2.RandomResizedCrop(32, antialias=False), v2.RandomHorizontalFlip(),
                       v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8), v2.RandomGrayscale(0.2),
                       v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], 0.5)])
    generator = torch.Generator(device).manual_seed(0)

    def theirs():
        return [torch.stack([each(picture) for picture in levels]) for _ in range(2)]

    one, other = interleaved(theirs, lambda: selfsup.two_views(x, generator), repeats, device)
    return Line("two_views", f"{n} images of 32 x 32 RGB", one, other)


def frozen(quick, repeats, adapter, device=CPU):
    """Train what lies above a frozen body: through the whole network in each step, or on features computed once."""
    n, steps = (64, 5) if quick else (2000, 400)
    network, width = (models.tiny_vit, 48) if adapter else (models.conv8, 64)
    images, labels = data.glyphs("abcdefghij", n, seed=0)
    x, y = data.to_tensor(images, device), torch.from_numpy(labels).to(device)

    def top():
        env.seed_everything(0)
        head = nn.Linear(width, 10)
        return (nn.Sequential(adapters.BottleneckAdapter(width, 8), head) if adapter else head).to(device)

    env.seed_everything(1)
    body = network(10)[:-1].to(device).eval().requires_grad_(False)
    found = {}

    def trained(cached):
        above = top()
        model = above if cached else nn.Sequential(body, above)
        inputs = train.predict(body, x) if cached else x
        optimizer, scheduler = train.adamw(above.parameters(), 1e-3, steps)
        losses = []
        for a, b in train.batches(inputs, y, 64, steps, seed=0):
            loss = F.cross_entropy(model(a), b)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step(), scheduler.step()
            losses.append(float(loss.detach()))
        found[cached] = losses

    one, other = interleaved(lambda: trained(False), lambda: trained(True), repeats, device)
    torch.testing.assert_close(found[True], found[False], atol=1e-3, rtol=1e-3)    # the same training
    case = f"{network.__name__}, {n} images, {steps} steps"
    return Line(f"cached features, {'adapter' if adapter else 'head'}", case, one, other)


def plain(a, b, tau):
    """NT-Xent as one writes it with cross_entropy."""
    z = F.normalize(torch.cat([a, b]), dim=1)
    s = z @ z.T / tau
    s = s.masked_fill(torch.eye(len(s), dtype=torch.bool, device=s.device), -torch.inf)
    return F.cross_entropy(s, torch.arange(len(s), device=s.device).roll(len(a)))


PEAK = f"""
import sys, torch
from torch.nn import functional as F
from tlutils.selfsup import nt_xent
n, which = int(sys.argv[1]), sys.argv[2]
{inspect.getsource(plain)}
a, b = (torch.randn(n, 64, requires_grad=True) for _ in range(2))
small = [t[:8].detach().requires_grad_() for t in (a, b)]
for loss in (plain(*small, 0.5), nt_xent(*small, temperature=0.5)):
    loss.backward()
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
before = status("VmRSS")
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")                                                 # the peak starts anew (Linux)
(plain(a, b, 0.5) if which == "plain" else nt_xent(a, b, temperature=0.5)).backward()
print((status("VmHWM") - before) * 1024 / (4 * (2 * n) ** 2))
"""


def held(n, which, device):
    """Return the matrices that a forward and a backward pass hold at most on a GPU that counts its memory (CUDA)."""
    a, b = (torch.randn(n, 64, device=device).requires_grad_() for _ in range(2))
    loss = plain if which == "plain" else lambda a, b, tau: selfsup.nt_xent(a, b, temperature=tau)
    loss(*(t[:8].detach().requires_grad_() for t in (a, b)), 0.5).backward()            # what a library holds anyway
    torch.cuda.synchronize(device), torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    loss(a, b, 0.5).backward()
    torch.cuda.synchronize(device)
    return (torch.cuda.max_memory_allocated(device) - before) / (4 * (2 * n) ** 2)


def memory(quick, device=CPU):
    """Matrices of (2N, 2N) held by NT-Xent, written with cross_entropy and ours; on the CPU each in its own process."""
    n = 3000 if quick else 4096
    if device.type == "cuda":
        one, other = (held(n, which, device) for which in ("plain", "ours"))
        return Line("NT-Xent, copies", f"N = {n:,}", one, other, "matrices")
    one, other = (float(subprocess.run([sys.executable, "-c", PEAK, str(n), which], capture_output=True, text=True,
                                       check=True).stdout) for which in ("plain", "ours"))
    return Line("NT-Xent, copies", f"N = {n:,}", one, other, "matrices")


def lines(quick=False, repeats=5):
    """Yield one line after the other."""
    yield views(quick, repeats)
    yield frozen(quick, repeats, adapter=False)
    yield frozen(quick, repeats, adapter=True)
    yield memory(quick)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python benchmarks/selfsup.py", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; ratios mean nothing")
    quick = parser.parse_args().quick
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("run it as  OMP_NUM_THREADS=1 python benchmarks/selfsup.py")
    print(f"{'':26}{'case':36}{'plain':>10}{'ours':>10}{'ratio':>8}  target")
    for line in lines(quick, 1 if quick else 5):
        target = f"< {TARGETS[line.name]:g}" if line.unit == "matrices" else f"{TARGETS[line.name]:g} times"
        verdict = "" if quick else ("  met" if line.met else "  MISSED")
        print(f"{line.name:26}{line.case:36}{line.theirs:8.3f} {line.unit[0]}{line.ours:8.3f} {line.unit[0]}"
              f"{line.ratio:8.1f}  {target}{verdict}", flush=True)


if __name__ == "__main__":
    main()
