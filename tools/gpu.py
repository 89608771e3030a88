"""Try the whole package on the device at hand:  python tools/gpu.py [--device cuda] [--quick] [--out FILE]

Three kinds of items, a line each: checks (values on the device beside those on the CPU), presets (every recorded
experiment for a few steps) and benchmarks (training steps a second, seconds on the CPU beside seconds on the device).
Needs torch, numpy, scipy, scikit-learn, matplotlib and Pillow; no network, nothing installed or built. What needs a
package or data that is not there is skipped with a word, and so is what the time (--budget) no longer holds. The
findings go to one JSON, results/devices/<device>.json, written anew after each item; it is no recorded run. The exit
status is 1 if an item failed.
"""
import argparse
import contextlib
import copy
import dataclasses
import datetime
import functools
import importlib
import importlib.metadata
import importlib.util
import math
import os
import platform
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from pathlib import Path

try:
    import numpy as np
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F
except ModuleNotFoundError as absent:
    sys.exit(f"{absent}: tools/gpu.py runs where torch and numpy are, such as  .venv/bin/python tools/gpu.py  "
             "after  make book")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
CPU = torch.device("cpu")
CHECKS, SPEEDS = {}, {}
SHARES = {"check": 0.5, "preset": 0.8, "benchmark": 1.0}  # of the budget, by the end of which items of a kind may begin


class Skip(Exception):
    """Raised where something that an item needs is not there; the text says what."""


class OutOfTime(BaseException):
    """Raised by the clock, past every `except Exception` of the code that runs."""


def check(function):
    """Make function(where) an item that compares the device with the CPU; it returns what was found, by name."""
    return CHECKS.setdefault(function.__name__.replace("_", " "), function)


def speed(function):
    """Make function(where, quick) an item that measures; it returns numbers by name."""
    return SPEEDS.setdefault(function.__name__.replace("_", " "), function)


# ---- the device


def has_bfloat16(where: torch.device) -> bool:
    """Return whether a device multiplies in bfloat16 itself: GPUs before Ampere only imitate it, many times slower."""
    return where.type == "cpu" or where.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def has_float64(where: torch.device) -> bool:
    """Return whether a device knows float64; Apple's GPUs do not."""
    return where.type != "mps"


def wait(where: torch.device) -> None:
    """Wait until the device has done what it was asked for."""
    if where.type != "cpu":
        getattr(torch, where.type).synchronize()


def facts(where: torch.device) -> dict:
    """Return what the numbers depend on: device, memory, precisions, versions."""
    from tlutils import env
    found = {"name": env.device_name(), "type": where.type, "bfloat16": has_bfloat16(where),
             "float64": has_float64(where), "platform": platform.platform(), "threads": torch.get_num_threads()}
    if where.type == "cuda":
        card = torch.cuda.get_device_properties(where)
        found |= {"memory_gb": round(card.total_memory / 1e9, 1), "capability": f"{card.major}.{card.minor}",
                  "cuda": torch.version.cuda or torch.version.hip, "cudnn": torch.backends.cudnn.version()}
    found["versions"] = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "matplotlib", "pillow", "safetensors"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found["versions"][name] = importlib.metadata.version(name)
    return found


@contextlib.contextmanager
def full_float32():
    """Multiply float32 in float32: a comparison with the CPU is to show mistakes, not the ten bits of TF32."""
    def switch(matmul, convolutions):
        with warnings.catch_warnings():  # newer versions of torch would have it asked for in other words
            warnings.simplefilter("ignore")
            before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, convolutions
        return before

    before = switch(False, False)
    try:
        yield
    finally:
        switch(*before)


def autocast(where: torch.device, mixed: bool):
    """Return a context of mixed precision in bfloat16, or one that changes nothing."""
    return torch.autocast(where.type, torch.bfloat16) if mixed else contextlib.nullcontext()


# ---- comparisons


def apart(here, there) -> float:
    """Return the largest difference of two values, arrays, tensors or nests of them, as a part of the largest entry."""
    if isinstance(here, dict):
        assert list(here) == list(there), f"keys {list(here)} on the CPU, {list(there)} on the device"
        return max(apart(here[key], there[key]) for key in here)
    if isinstance(here, tuple | list):
        assert len(here) == len(there), f"{len(here)} values on the CPU, {len(there)} on the device"
        return max(apart(a, b) for a, b in zip(here, there, strict=True))
    a, b = (v.detach().cpu().double().numpy() if isinstance(v, Tensor) else np.asarray(v, dtype=float)
            for v in (here, there))
    assert a.shape == b.shape, f"shape {a.shape} on the CPU, {b.shape} on the device"
    assert np.isfinite(a).all() and np.isfinite(b).all(), "a value is not finite"
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-6)) if a.size else 0.0


def near(name: str, here, there, tolerance: float) -> dict[str, float]:
    """Return {name: difference}; AssertionError if it is over the tolerance."""
    difference = apart(here, there)
    assert difference <= tolerance, f"{name}: CPU and device differ by {difference:.2g}, more than {tolerance:g}"
    return {name: float(f"{difference:.2g}")}


def each(cases) -> dict:
    """Return what the functions of (name, function) find, joined; AssertionError that tells of all that failed."""
    found, wrong = {}, {}
    for name, function in cases:
        try:
            found |= function()
        except Skip:
            raise
        except ModuleNotFoundError:
            raise
        except Exception as error:
            wrong[name] = f"{type(error).__name__}: {str(error)[:200]}"
    assert not wrong, f"{len(wrong)} of {len(wrong) + len(found)}: {wrong}"
    return found


def value_and_gradients(function, tensors, where: torch.device, mixed: bool = False) -> list[Tensor]:
    """Return function(*tensors) on a device, and the gradients of those that are numbers."""
    leaves = [t.detach().to(where) for t in tensors]
    wanted = [leaf.requires_grad_() for leaf in leaves if leaf.is_floating_point()]
    with autocast(where, mixed):
        value = function(*leaves)
    assert value.device.type == where.type, f"the value came back on {value.device}"
    value.backward()
    return [value, *(leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in wanted)]


def fixed(*shape: int, seed: int = 0) -> Tensor:
    """Return normal numbers that are the same on every device."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pictures(n: int = 32, channels: int = 3, side: int = 24, seed: int = 0) -> np.ndarray:
    """Return uint8 images (n, side, side[, 3]) of noise."""
    shape = (n, side, side, 3) if channels == 3 else (n, side, side)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def on_both(build, where: torch.device) -> tuple[nn.Module, nn.Module]:
    """Return the same network, made by build() from one seed, on the CPU and on the device."""
    torch.manual_seed(0)
    model = build()
    return model, copy.deepcopy(model).to(where)


@contextlib.contextmanager
def same_draws():
    """Let torch.rand and torch.randn draw on the CPU and move: so that two devices change images in the same way."""
    kept, generator = (torch.rand, torch.randn), torch.Generator().manual_seed(0)

    def moved(draw):
        def drawn(*shape, device=None, **_):
            return draw(*shape, generator=generator).to(device)
        return drawn

    torch.rand, torch.randn = map(moved, kept)
    try:
        yield
    finally:
        torch.rand, torch.randn = kept


# ---- checks


def losses() -> dict:
    """Return {name: (loss, tensors)} of every loss of `selfsup` and `domain`."""
    from tlutils import domain, selfsup
    a, b, many = fixed(24, 16, seed=1), fixed(24, 16, seed=2), fixed(40, 16, seed=3)
    images, hidden = fixed(6, 3, 8, 8, seed=4), torch.arange(6 * 64).view(6, 1, 8, 8) % 3 == 0
    return {"nt_xent": (lambda x, y: selfsup.nt_xent(x, y, temperature=0.2), (a, b)),
            "info_nce": (lambda q, k, queue: selfsup.info_nce(q, k, queue, 0.2), (a, b, many)),
            "clip_loss": (lambda x, y, s: selfsup.clip_loss(F.normalize(x), F.normalize(y), s.exp()),
                          (a, b, torch.tensor(2.0))),
            "imputation_loss": (selfsup.imputation_loss, (images, images.roll(1, 0), hidden)),
            "coral": (domain.coral, (a, 2 * b)), "mmd": (domain.mmd, (a, b + 0.3)),
            "domain_loss": (domain.domain_loss, (a[:, 0], b[:, 0])),
            "grad_reverse": (lambda x: domain.grad_reverse(x, 0.7).square().sum(), (a,))}


@check
def losses_and_gradients(where):
    def compare(name, loss, tensors):
        return near(name, value_and_gradients(loss, tensors, CPU), value_and_gradients(loss, tensors, where), 1e-4)

    return each((name, functools.partial(compare, name, *case)) for name, case in losses().items())


@check
def losses_under_autocast(where):
    if not has_bfloat16(where):
        raise Skip("no bfloat16 on this device")

    def compare(name, loss, tensors, kind):
        given = [t.to(kind) if t.is_floating_point() else t for t in tensors]
        exact = value_and_gradients(loss, [t.float() if t.is_floating_point() else t for t in given], CPU)
        return near(name, exact, value_and_gradients(loss, given, where, mixed=True), 0.05)

    return each((f"{name}, {str(kind)[6:]}", functools.partial(compare, f"{name}, {str(kind)[6:]}", *case, kind))
                for name, case in losses().items() for kind in (torch.float32, torch.bfloat16))


@check
def augmentations(where):
    from tlutils import data, selfsup
    images = pictures()
    x = data.to_tensor(images, where)
    assert x.device.type == where.type, f"to_tensor put the images on {x.device}"
    exact = data.to_tensor(images)
    found = near("to_tensor", exact, x, 1e-6) | {"to_tensor, the same bits": torch.equal(exact, x.cpu())}
    everything = {"flip": True, "shift": 2, "rotate": 0.2, "scale": 0.1, "brightness": 0.2, "contrast": 0.2,
                  "saturation": 0.2}
    ways = {"augment": lambda x, g: data.augment(x, g, **everything),
            "two_views": lambda x, g: torch.cat(selfsup.two_views(x, g, rotate=0.2, mix=0.3))}
    for name, way in ways.items():
        both = []
        for each in (CPU, where):
            with same_draws():
                both.append(way(data.to_tensor(images, each), 0))
        found |= near(name, *both, 1e-3)
        state = torch.get_rng_state()
        first = way(x, 5)
        assert torch.equal(first, way(x, torch.Generator(where).manual_seed(5))), f"{name}: one seed, two results"
        assert not torch.equal(first, way(x, 6)), f"{name}: two seeds, one result"
        assert first.device.type == where.type and bool(first.isfinite().all()) and float(first.abs().max()) <= 2.001
        assert torch.equal(state, torch.get_rng_state()), f"{name} changed the global random state"
    turned = selfsup.rotation_batch(x)
    found |= near("rotation_batch", selfsup.rotation_batch(x.cpu()), turned, 0)
    for generator in (None, torch.Generator().manual_seed(0), torch.Generator(where).manual_seed(0)):
        masked, hidden = selfsup.mask_patches(x, 0.5, 4, generator)
        assert masked.device == hidden.device == x.device and hidden.float().mean().item() == 0.5
    if where.type != "cpu":
        with contextlib.suppress(ValueError):
            data.augment(x, torch.Generator())
            raise AssertionError("augment took a generator of another device")
    return found


@check
def a_queue_and_a_slow_encoder(where):
    from tlutils import models, selfsup
    one, other = on_both(lambda: models.conv8(8), where)
    both = []
    for model in (one, other):
        slow, device = selfsup.MomentumEncoder(model, 0.9), next(model.parameters()).device
        queue = selfsup.Queue(16, 8, device=device)
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1.1)
        slow.update(model)
        keys = slow.eval()(fixed(16, 1, 24, 24).to(device))
        queue.push(keys)
        assert queue.keys.device.type == device.type
        both.append((keys, queue.keys))
    scale = selfsup.LogitScale().to(where)()
    assert scale.device.type == where.type
    return near("keys and queue", *both, 1e-3)


@check
def a_step_of_dann(where):
    from tlutils import domain, models
    both = on_both(lambda: nn.ModuleList([models.conv8(5), domain.DomainClassifier(64)]), where)
    found = []
    for model, critic in both:
        device = next(model.parameters()).device
        x_s, x_t = (fixed(16, 1, 24, 24, seed=k).to(device) for k in (1, 2))
        loss = domain.dann_loss(model.train(), (x_s, torch.arange(16, device=device) % 5, x_t, 0.5), critic)
        loss.backward()
        found.append([loss, model[0][0].weight.grad, critic[0].weight.grad])
    return near("loss and gradients", *found, 5e-3)


def labelled(n: int = 300, d: int = 24, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return features in classes that overlap, float32, and their labels."""
    rng = np.random.default_rng(3)
    y = rng.permutation(np.arange(n) % k)
    return (rng.normal(size=(n, d)) + rng.normal(size=(k, d))[y]).astype(np.float32), y


@check
def transferability_measures(where):
    from tlutils import transferability as T
    x, y = labelled()
    probs = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    def streamed(x, y, p):
        first, second = (T.ClassMoments(24, 5).update(x[part], y[part]) for part in (slice(100), slice(100, None)))
        return T.scores(first.merge(second))

    measures = {"scores": lambda x, y, p: T.scores(x, y, source_probs=p),
                "scores, wide": lambda x, y, p: T.scores(x[:10], y[:10]), "ClassMoments": streamed,
                "transrate, uniform": lambda x, y, p: T.transrate(x, y, weights="uniform", class_scale="n"),
                "transrate, rank": lambda x, y, p: T.transrate(x, y, normalize="rank"),
                "coding_rate": lambda x, y, p: T.coding_rate(x, eps=1e-2),
                "logme, fixed point": lambda x, y, p: T.logme(x, y, method="fixed_point"),
                "logme, regression": lambda x, y, p: T.logme(x[:, 1:], x[:, :1]),
                "leep": lambda x, y, p: T.leep(p, y), "nleep": lambda x, y, p: T.nleep(x, y),
                "nce": lambda x, y, p: T.nce(p.argmax(1), y), "rsa": lambda x, y, p: T.rsa(x[:50], p[:50]),
                "domain_similarity": lambda x, y, p: T.domain_similarity(x[:150], y[:150], x[150:], y[150:]),
                "taskonomy": lambda x, y, p: T.taskonomy([x, x[:, :5]], y),
                "rank_correlation": lambda x, y, p: [
                    found.value for found in T.rank_correlation(x[0], x[1], n_boot=0).values()]}

    def compare(name, measure, kind):
        given, found = [v.astype(kind) if v.dtype.kind == "f" else v for v in (x, y, probs)], {}
        here, there = measure(*given), [torch.from_numpy(v).to(where) for v in given]
        for labels in (there[1],) if name == "nce" else (there[1], y):  # those of the device, or the CPU's
            found |= near(f"{name}, {kind.__name__}", here, measure(there[0], labels, there[2]), 1e-7)
        return found

    return each((f"{name}, {kind.__name__}", functools.partial(compare, name, measure, kind))
                for name, measure in measures.items() for kind in (np.float32, np.float64)[: 1 + has_float64(where)])


@check
def measures_of_a_network(where):
    from tlutils import models
    from tlutils import transferability as T
    one, other = on_both(lambda: models.conv8(3, batchnorm=False).eval(), where)
    x = fixed(12, 1, 24, 24)
    found = near("task2vec", T.task2vec(one, x), T.task2vec(other, x.to(where)), 1e-3)
    a, b = T.task2vec(other, x.to(where)), T.task2vec(other, -x.to(where))
    found |= near("task2vec_similarity", T.task2vec_similarity(a.cpu(), b.cpu()), T.task2vec_similarity(a, b), 1e-9)
    both = [T.depara(m[:-1], m, x.to(next(m.parameters()).device)) for m in (one, other)]
    return found | near("depara", *both, 1e-2)  # ranks of cosines: a near tie may turn


@check
def probes(where):
    from tlutils import domain
    from tlutils import probes as readers
    x, y = labelled()
    a, b = torch.from_numpy(x).to(where), torch.from_numpy(y).to(where)
    found = {}
    for probe in (readers.linear_probe, readers.knn_probe):
        both = [probe(x[:200], y[:200], x[200:], y[200:]) for x, y in ((x, y), (a, b))]
        found |= near(probe.__name__, *both, 0)
    here = domain.proxy_a_distance(x[y < 2], x[y > 1], seed=0)
    return found | near("proxy_a_distance", here, domain.proxy_a_distance(a[b < 2].cpu(), a[b > 1].cpu(), seed=0), 0)


def networks() -> dict:
    """Return {name: (build, shape of an image)} of the book's own networks."""
    from tlutils import models
    return {"conv8": (lambda: models.conv8(5), (1, 24, 24)), "conv8, plain": (
        lambda: models.conv8(5, batchnorm=False), (1, 24, 24)),
            "conv8, colour": (lambda: models.conv8(5, channels=3, side=32), (3, 32, 32)),
            "tiny_vit": (lambda: models.tiny_vit(5), (1, 24, 24))}


@check
def models_and_gradients(where):
    def compare(name, build, shape):
        both = []
        for model in on_both(build, where):
            device = next(model.parameters()).device
            x, y = fixed(16, *shape).to(device).contiguous(memory_format=torch.channels_last), torch.arange(16) % 5
            with torch.no_grad():
                scores = model.eval()(x)
            loss = F.cross_entropy(model.train()(x), y.to(device))
            loss.backward()
            both.append([scores, loss, *(p.grad for p in model.parameters())])
        scale = [g.abs().max().clamp(min=1e-2) for g in both[0]]  # what is all but 0 is rounding
        return near(name, *([g.cpu() / s for g, s in zip(side, scale, strict=True)] for side in both), 1e-2)

    return each((name, functools.partial(compare, name, *case)) for name, case in networks().items())


@check
def surgery_on_the_device(where):
    from tlutils import models, surgery, train
    one, other = on_both(lambda: models.conv8(5), where)
    torch.manual_seed(1)
    fresh = models.conv8(7).to(where)
    surgery.copy_layers(one, fresh, 7)  # from the CPU to the device
    found = near("copy_layers", one[:7].state_dict(), fresh[:7].state_dict(), 0)
    for model in (one, other):
        torch.manual_seed(2)
        surgery.replace_head(model, 3)
    assert other.head.weight.device.type == where.type
    found |= near("replace_head", one.head.weight, other.head.weight, 0)  # drawn on the CPU, whatever the device
    x, y = fixed(32, 1, 24, 24).to(where), (torch.arange(32) % 3).to(where)
    surgery.freeze(other, 4)
    before = copy.deepcopy(other[:4].state_dict())
    optimizer, scheduler = train.adamw(surgery.param_groups(other, 1e-2, 1e-3), 1e-2, 4)
    train.fit(other, train.batches(x, y, 16, 4, 0), train.classify, optimizer, scheduler=scheduler)
    found |= near("frozen stays", before, other[:4].state_dict(), 0)
    with surgery.capture(other, ["conv2", "fc7"]) as seen:
        other(x)
    assert all(z.device.type == where.type for z in seen.values())
    found |= near("capture", train.features(other, x), seen["fc7"], 1e-5)
    surgery.reinitialise(surgery.unfreeze(other), ["conv3"])
    assert all(p.device.type == where.type for p in other.parameters())
    return found


@check
def adapters_on_the_device(where):
    from tlutils import adapters
    found = {}
    for kind, name in (("series", "conv8"), ("parallel", "conv8"), ("bottleneck", "tiny_vit"), ("lora", "tiny_vit"),
                       ("lora", "conv8")):
        build, shape = networks()[name]
        model, x = on_both(build, where)[1].eval(), fixed(8, *shape).to(where)
        with torch.no_grad():
            plain, adapted = model(x), adapters.insert(model, kind)
            assert {p.device.type for p in adapted.parameters()} == {where.type}
            found |= near(f"{kind}, {name}: as it was", plain, adapted(x), 1e-5)
            for k, p in enumerate(p for p in adapted.parameters() if p.requires_grad and p.ndim > 1):
                p.add_(0.02 * fixed(*p.shape, seed=k).to(where))
            moved = adapted(x)
            assert apart(plain, moved) > 1e-3
            found |= near(f"{kind}, {name}: on both", copy.deepcopy(adapted).to("cpu")(x.cpu()), moved, 5e-3)
            if kind != "bottleneck":
                found |= near(f"{kind}, {name}: merged", moved, adapters.merge(adapted)(x), 1e-3)
    return found


def blobs(where: torch.device, n: int = 200) -> tuple[Tensor, Tensor]:
    """Return images (n, 1, 24, 24) of two classes that are easy to tell apart."""
    y = torch.arange(n) % 2
    return (fixed(n, 1, 24, 24) + y[:, None, None, None]).to(where), y.to(where)


def trained(where: torch.device, steps: int, **options) -> tuple[nn.Module, list[float], set]:
    """Return a network after some steps on blobs, its losses, and the types of its scores."""
    from tlutils import models, train
    torch.manual_seed(0)
    model, kinds = models.conv8(2).to(where), set()

    def loss(model, batch):
        scores = model(batch[0])
        kinds.add(scores.dtype)
        return F.cross_entropy(scores, batch[1])

    optimizer, scheduler = train.adamw(model.parameters(), 3e-3, steps)
    batches = train.batches(*blobs(where), 32, steps, 0)
    losses = train.fit(model, batches, loss, optimizer, scheduler=scheduler, **options)
    return model, losses, kinds


@check
def training(where):
    from tlutils import env, train
    env.seed_everything(0)
    model, losses, kinds = trained(where, 40)
    assert losses[-1] < losses[0] / 3 and train.evaluate(model, *blobs(where)) > 0.97, f"losses {losses[::10]}"
    mixed = where.type == "cuda" and has_bfloat16(where)
    assert kinds == {torch.bfloat16 if mixed else torch.float32}, f"scores are {kinds} by default on {where}"
    found = {"scores by default": str(kinds.pop()), "accuracy": train.evaluate(model, *blobs(where))}
    assert trained(where, 10)[1] == trained(where, 10)[1], "the same seed gave other losses"
    return found | near("ten steps in float32", trained(CPU, 10, mixed_precision=False)[1],
                        trained(where, 10, mixed_precision=False)[1], 0.02)


@check
def training_in_bfloat16(where):
    if not has_bfloat16(where):
        raise Skip("no bfloat16 on this device")
    _, losses, kinds = trained(where, 40, mixed_precision=True)
    assert kinds == {torch.bfloat16} and losses[-1] < losses[0] / 3, f"{kinds}, losses {losses[::10]}"
    return near("first loss", trained(CPU, 3, mixed_precision=False)[1][0], losses[0], 0.05)


@check
def contrast_in_mixed_precision(where):
    """SimCLR and MoCo as chapter 7 trains them, by what `train.fit` chooses on this device and with bfloat16."""
    from tlutils import selfsup, train
    found, images = {}, torch.from_numpy(pictures(64)).permute(0, 3, 1, 2).float().to(where) / 64 - 2
    for kind in ("SimCLR", "MoCo"):
        for mixed in (None, True) if has_bfloat16(where) else (None,):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 32), nn.BatchNorm1d(32), nn.ReLU(),
                                  nn.Linear(32, 16)).to(where)
            slow, queue = selfsup.MomentumEncoder(model).train(), selfsup.Queue(64, 16, device=where)

            def loss(model, batch, kind=kind, slow=slow, queue=queue):
                z1, z2 = (model(view) for view in batch[0])
                if kind == "SimCLR":
                    return selfsup.nt_xent(z1, z2, temperature=0.2)
                keys = slow(batch[0][1])
                value = selfsup.info_nce(z1, keys, queue.keys.clone(), 0.2)
                queue.push(keys.float())
                slow.update(model)
                return value

            optimizer, scheduler = train.adamw(model.parameters(), 3e-3, 20)
            batches = train.batches(images, torch.arange(64, device=where), 32, 20, 0,
                                    functools.partial(selfsup.two_views, area=(0.7, 1.0)))
            losses = train.fit(model, batches, loss, optimizer, scheduler=scheduler, mixed_precision=mixed)
            most = losses[0] if kind == "SimCLR" else 1.2 * math.log(65)  # MoCo's rises while its queue fills
            assert losses[-1] < most, f"{kind}: losses {losses[::5]}"
            found[f"{kind}, {'by default' if mixed is None else 'bfloat16'}"] = [losses[0], losses[-1]]
    return found


@check
def environment_and_records(where):
    from tlutils import env, results, start
    assert env.device().type == where.type
    state = torch.get_rng_state()
    seconds = start.calibrate()
    assert 0 < seconds < 100 and torch.equal(state, torch.get_rng_state())
    rows = [{"method": "probe", "seed": 0, "metric": "accuracy", "value": float(torch.tensor(0.5, device=where)),
             "unit": "fraction"}]
    with tempfile.TemporaryDirectory() as folder:
        results.save("00_device", "trial", rows, question="?", command="none", config={}, seeds=[0], data={},
                     started=time.time(), folder=Path(folder))
        record = results.load("00_device", "trial", folder=Path(folder))
    assert record["device"] == env.device_name() and record["rows"] == rows
    return {"device": record["device"], "calibration_s": seconds}


@check
def the_shelf(where):
    from tlutils import data, train, zoo
    x, found = data.to_tensor(pictures(16, channels=1)), {}
    for name in zoo.names():
        one, other = zoo.load(name), zoo.load(name).to(where)
        found |= near(name, train.predict(one, x), train.predict(other, x.to(where)), 1e-2)
    return found


@check
def networks_of_torchvision(where):
    from tlutils import models, surgery, train
    found, x = {}, fixed(4, 3, 64, 64)
    for name in ("resnet18", "mobilenet_v2", "squeezenet1_1", "efficientnet_b0"):
        one, other = on_both(functools.partial(models.pretrained, name, None), where)
        found |= near(name, train.predict(one, x), train.predict(other, x.to(where)), 1e-2)
        assert surgery.replace_head(other, 5)(x.to(where)).shape == (4, 5)
    return found


# ---- presets


EXPERIMENTS = ("first_layer", "striped_paper", "multi_task", "earlier_moment", "anb", "batchnorm", "few_labels",
               "five_ways", "photographs", "few_parameters", "head_start", "cloze", "pretexts", "contrast", "clip",
               "reversal", "shelf", "photo_shelf")
# The most of each field in a trial, quick and usual. What is not named here stays as recorded: widths, rates, methods.
MOST = {"steps": (3, 20), "source_steps": (3, 20), "target_steps": (3, 20), "tune_steps": (3, 20),
        "tuned_steps": (3, 10), "head_steps": (3, 20), "seen": (8, 300), "batch_size": (16, 512),
        "views_per_step": (32, 1024), "queue": (64, 1024), "n_train": (120, 2000), "n_test": (60, 300),
        "n_source": (120, 2000), "n_target": (120, 2000), "n_held": (50, 200), "n_source_test": (40, 300),
        "n_pool": (240, 2000), "n_labelled": (10, 50), "n_probe": (10, 20), "n_classes": (5, 10), "n_other": (4, 10),
        "n_source_classes": (5, 15), "long_scratch": (0, 2), "pool": (12, 100), "n_patches": (100, 1000),
        "tune_labels": (4, 20)}
# Fields that list what is tried, and how many of them a quick trial keeps; a usual one keeps all. Those beside one
# another (sizes and their steps) are cut alike.
FIRST = {"targets": 1, "layers": 1, "tuned": 1, "probe_layers": 1, "batch_sizes": 1, "sources": 1, "checkpoints": 2,
         "rates": 1, "stages": 1, "variants": 2, "reverse": 1, "methods": 4}
PER_CLASS = (4, 20)                                   # labels per class, in a quick trial one size, usually two
BUDGETS = ((5, 8), (10, 20))                          # of training steps, where an experiment compares some


def shrunk(config, quick: bool):
    """Return the config of a recorded run with the same methods and networks, and few images, classes and steps."""
    k, changes = int(not quick), {}
    keep = slice(None, 1 if quick else 2)
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changes[name] = shrunk(value, quick)
        elif name == "labels_per_class":
            changes[name] = (tuple(min(v, PER_CLASS[k] * 2**i) for i, v in enumerate(value[keep]))
                             if isinstance(value, tuple) else min(value, PER_CLASS[k]))
            if hasattr(config, "trials"):             # each names the size that it belongs to
                sizes = dict(zip(value[keep], changes[name], strict=True))
                changes["trials"] = tuple((way, sizes[size], *more)
                                          for way, size, *more in config.trials if size in sizes)
        elif name == "labels":
            changes[name] = tuple(min(v, 20) for v in value[keep])
        elif name == "budgets":
            changes[name] = BUDGETS[k][-len(value):]
        elif name == "longest":
            changes[name] = tuple(BUDGETS[k][-1] for _ in value[keep])
        elif name == "sources" and value and isinstance(value[0], tuple):  # (classes, images) of a source
            changes[name] = tuple((min(c, 3 + i), 60) for i, (c, _) in enumerate(value[:2]))
        elif name in ("steps", "tuned_labels") and isinstance(value, tuple):
            changes[name] = tuple(min(v, MOST["steps"][k]) for v in value[keep])
        elif name in FIRST and isinstance(value, tuple) and quick:
            changes[name] = value[: FIRST[name]]
        elif name in MOST and isinstance(value, int) and not isinstance(value, bool):
            changes[name] = min(value, MOST[name][k])
    return dataclasses.replace(config, **changes)


def shelf_shrunk(config, quick: bool):
    """Return the same for the shelf, whose empty list of checkpoints means all of them."""
    small = shrunk(config, quick)
    if hasattr(config, "checkpoints") and not config.checkpoints:
        small = dataclasses.replace(small, checkpoints=("letters60", "letters60-vit", "random")[: 2 if quick else 3])
    return small


@contextlib.contextmanager
def offline():
    """Let nothing be fetched: a data set or a file of weights that is not on this machine is missing."""
    from tlutils import data
    load, pretrained, models = data.load, None, None
    data.load = lambda name, root=None, download=False: load(name, root)
    with contextlib.suppress(ImportError):  # without torchvision there is nothing that could fetch
        from tlutils import models
        pretrained = models.pretrained

        def from_here(name, weights="hub", n_classes=None):
            if weights == "hub":
                raise FileNotFoundError(f"weights of {name} are not under {data.data_root()}")
            return pretrained(name, weights, n_classes)
        models.pretrained = from_here
    try:
        yield
    except FileNotFoundError as error:
        places = str(data.data_root()), str(Path(torch.hub.get_dir()))
        if any(place in str(error) for place in places):
            raise Skip(f"no data: {str(error)[:150]}") from None
        raise
    finally:
        data.load = load
        if pretrained is not None:
            models.pretrained = pretrained


def presets(quick: bool):
    """Yield (name, action) of every recorded preset of every experiment; an experiment that cannot be read is one."""
    for name in EXPERIMENTS:
        yield from guarded(name, _presets, name, quick)


def _presets(name: str, quick: bool):
    whole = importlib.import_module(f"tlutils.experiments.{name}").EXPERIMENT
    for preset, (_, config) in whole.presets.items():
        yield f"{name} {preset}", functools.partial(_tried, whole.run, config, quick)


def guarded(name: str, make, *arguments) -> list:
    """Return the (name, action) that make yields; where they cannot even be listed, one item that says why."""
    try:
        return list(make(*arguments))
    except Exception as error:
        def again(error=error):
            raise error
        return [(name, again)]


def _tried(run, config, quick: bool) -> dict:
    from tlutils import results
    with offline(), torch.random.fork_rng(devices=[]):
        rows = run(shelf_shrunk(config, quick), 0)
    results.check_rows(rows)
    return {"rows": len(rows), "methods": len({row["method"] for row in rows})}


# ---- benchmarks


def seconds_of(action, where: torch.device, least: float = 0.3, most: int = 50) -> float:
    """Return the wall seconds of an action: the median after a first time that does not count."""
    taken = []
    while len(taken) < 2 or sum(taken[1:]) < least and len(taken) < most:
        start = time.perf_counter()
        action()
        wait(where)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken[1:]))


def a_step(build, loss, x: Tensor, lr: float = 1e-3):
    """Return a function of `mixed` that takes one training step of build() on x, as `train.fit` does."""
    torch.manual_seed(0)
    model = build().to(x.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    y = torch.arange(len(x), device=x.device) % 5

    def step(mixed: bool):
        with autocast(x.device, mixed):
            value = loss(model, (x, y))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
    return step


def steps_a_second(where: torch.device, quick: bool, build, loss, shape: tuple[int, ...]) -> dict:
    """Return training steps a second on the CPU, on the device in float32, and there under bfloat16 autocast."""
    x = fixed(min(shape[0], 16) if quick else shape[0], *shape[1:]).clamp(-2, 2)
    x = x.contiguous(memory_format=torch.channels_last)
    least, here, there = 0.02 if quick else 0.5, a_step(build, loss, x), a_step(build, loss, x.to(where))
    found = {"cpu": 1 / seconds_of(lambda: here(False), CPU, least, 5),
             "float32": 1 / seconds_of(lambda: there(False), where, least, 200)}
    if has_bfloat16(where):
        found["bfloat16"] = 1 / seconds_of(lambda: there(True), where, least, 200)
    return {name: float(f"{value:.4g}") for name, value in found.items()} | {"images": len(x)}


def speeds(where: torch.device, quick: bool):
    """Yield (name, action) of training at the sizes of the laptop and at those of scale "full" (small if quick)."""
    from tlutils import models, selfsup, train

    def simclr(model, batch):
        v1, v2 = selfsup.two_views(batch[0], torch.Generator(batch[0].device).manual_seed(0), area=(0.5, 1.0), blur=0.0)
        return selfsup.nt_xent(*model(torch.cat([v1, v2])).chunk(2), temperature=0.2)

    wide, vit = ((8,) * 6, (48, 1, 4)) if quick else ((64, 96, 128, 128, 192, 256), (192, 6, 6))
    for name, build, loss, shape in (
            ("conv8, 24 px", lambda: models.conv8(5), train.classify, (64, 1, 24, 24)),
            ("conv8 wide, 32 px", lambda: models.conv8(5, 3, 32, wide), train.classify, (512, 3, 32, 32)),
            ("tiny_vit, 24 px", lambda: models.tiny_vit(5), train.classify, (64, 1, 24, 24)),
            ("tiny_vit large, 32 px", lambda: models.tiny_vit(5, 3, 32, *vit), train.classify, (512, 3, 32, 32)),
            ("SimCLR wide, 32 px", lambda: models.conv8(64, 3, 32, wide), simclr, (512, 3, 32, 32))):
        yield f"steps a second: {name}", functools.partial(steps_a_second, where, quick, build, loss, shape)


def benchmark(name: str):
    """Return the module benchmarks/<name>.py."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def beside(line, there) -> dict:
    """Return a line of `benchmarks/selfsup.py` as measured on the CPU and on the device."""
    return {"case": line.case, "unit": line.unit, **{
        key: {"plain": side.theirs, "ours": side.ours, "ratio": float(f"{side.ratio:.3g}")}
        for key, side in (("cpu", line), ("device", there))}}


@speed
def two_views(where, quick):
    """Two views of a batch against torchvision's transforms of one image after the other."""
    views = benchmark("selfsup").views
    return beside(views(quick, 1, CPU), views(quick, 1, where))


@speed
def cached_features(where, quick):
    """What lies above a frozen body, trained through it and on stored features."""
    frozen = benchmark("selfsup").frozen
    with full_float32():  # it compares the two trainings
        return {"adapter" if adapter else "head": beside(*(frozen(quick, 1, adapter, each) for each in (CPU, where)))
                for adapter in (False, True)}


@speed
def memory_of_nt_xent(where, quick):
    """Matrices of similarities that NT-Xent holds, plain and ours."""
    if where.type != "cuda":
        raise Skip("only CUDA counts its memory; for the CPU see benchmarks/selfsup.py")
    line = benchmark("selfsup").memory(quick, where)
    return {"case": line.case, "unit": line.unit, "plain": line.theirs, "ours": line.ours}


@speed
def measures_of_transferability(where, quick):
    """Seconds of each measure with features on the CPU and on the device, and of one Gram matrix there."""
    found = {}
    for line in benchmark("transferability").on_device(2000 if quick else 50_000, 64 if quick else 512, where=where):
        found[line.name] = {"case": line.sizes, "cpu": line.published_s, "device": line.ours_s, "gram": line.floor_s}
        assert line.agrees, f"{line.name}: {line.values[0]} on the CPU, {line.values[1]} on the device"
    return found


# ---- running


@contextlib.contextmanager
def at_most(seconds: float):
    """Raise OutOfTime in the block after some seconds, where the system can (not on Windows)."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_):
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempted(action, seconds: float) -> dict:
    """Return the status of an action, ok, skipped or failed, with what it found or why not, and its seconds."""
    start = time.perf_counter()
    try:
        with at_most(seconds), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = action()
        outcome = {"status": "ok", "found": found}
        if said:  # a warning on one device alone tells of trouble to come
            outcome["warnings"] = sorted({str(w.message).splitlines()[0][:200] for w in said})[:5]
    except Skip as reason:
        outcome = {"status": "skipped", "reason": str(reason)}
    except ModuleNotFoundError as error:
        if (error.name or "tlutils").split(".")[0] == "tlutils":
            outcome = {"status": "failed", "reason": str(error), "traceback": last_lines()}
        else:
            outcome = {"status": "skipped", "reason": f"no {error.name.split('.')[0]}"}
    except OutOfTime:
        outcome = {"status": "skipped", "reason": f"stopped after {time.perf_counter() - start:.0f} s: no time left"}
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error)[:2000]}"
        outcome = {"status": "failed", "reason": reason, "traceback": last_lines()}
    return outcome | {"seconds": round(time.perf_counter() - start, 2)}


def last_lines(n: int = 12) -> list[str]:
    """Return the end of the traceback of the exception at hand."""
    return traceback.format_exc().splitlines()[-n:]


def answers(where: torch.device) -> bool:
    """Return whether the device still computes: after some errors it refuses everything that follows."""
    try:
        return float(torch.ones(2, device=where).sum()) == 2
    except Exception:
        return False


def finite(value):
    """Return value with what JSON cannot say, NaN and infinity, as text."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def items(where: torch.device, quick: bool):
    """Yield (kind, name, action) of everything there is to try."""
    def compared(function):
        with full_float32(), torch.random.fork_rng(devices=[]):
            return function(where)

    for name, function in CHECKS.items():
        yield "check", name, functools.partial(compared, function)
    for name, action in presets(quick):
        yield "preset", name, action
    for name, action in (*guarded("steps a second", speeds, where, quick),
                         *((name, functools.partial(function, where, quick)) for name, function in SPEEDS.items())):
        yield "benchmark", name, action


def examine(where: torch.device, budget: float, quick: bool, out: Path | None, only: list[str]) -> dict:
    """Try all items that the budget of seconds holds, print a line each, keep the findings in out; return them."""
    from tlutils import results
    start, dead = time.perf_counter(), None
    record = {"what": "tools/gpu.py", **results.code_version(), "device": facts(where), "quick": quick,
              "date_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "budget_s": budget, "wall_s": 0.0, "finished": False, "items": []}
    out = out or results.RESULTS / "devices" / f"{re.sub(r'[^a-z0-9]+', '-', record['device']['name'].lower())}.json"
    print(f"{record['device']['name']} ({where}), bfloat16: {'yes' if has_bfloat16(where) else 'no'}, "
          f"{budget:.0f} s at most -> {out}", flush=True)
    results.write_json(out, record)  # a place that cannot be written stops it now
    for kind, name, action in items(where, quick):
        if only and not any(word in f"{kind} {name}" for word in only):
            continue
        left = SHARES[kind] * budget - (time.perf_counter() - start)
        if dead:
            outcome = {"status": "skipped", "reason": f"the device no longer answers after: {dead}", "seconds": 0.0}
        elif left <= 0:
            outcome = {"status": "skipped", "reason": "no time left", "seconds": 0.0}
        else:
            outcome = attempted(action, min(left, budget / 5))
        if outcome["status"] == "failed" and not answers(where):
            dead = name
        record["items"].append(finite({"kind": kind, "name": name, **outcome}))
        record["wall_s"] = round(time.perf_counter() - start, 1)
        results.write_json(out, record)
        print(f"{outcome['status']:8}{kind:10} {name:45}{outcome['seconds']:7.1f} s  {outcome.get('reason', '')[:120]}",
              flush=True)
        if where.type == "cuda" and not dead:
            torch.cuda.empty_cache()
    record["finished"] = True
    results.write_json(out, record)
    statuses = [item["status"] for item in record["items"]]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in ("ok", "failed", "skipped"))
    print(f"{counts} in {record['wall_s']:.0f} s: {out}", flush=True)
    return record


def main(arguments=None) -> int:
    """Read the command line; return 1 if an item failed, else 0."""
    parser = argparse.ArgumentParser(prog="python tools/gpu.py", description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="cuda, cuda:1, mps or cpu; else the first GPU, else the CPU")
    parser.add_argument("--budget", type=float, default=450, help="seconds; what no longer fits is skipped")
    parser.add_argument("--quick", action="store_true", help="smallest sizes: does it run?")
    parser.add_argument("--out", type=Path, help="the JSON; else results/devices/<device>.json")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="items whose kind and name hold a word")
    options = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):  # a name that the terminal's encoding lacks stops nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    if not __debug__:
        parser.error("python -O leaves out the comparisons: run it without -O")
    if options.out and (options.out.is_dir() or not options.out.name):
        parser.error(f"--out must be a file, got the folder {options.out}")
    if not 0 <= options.budget < math.inf:
        parser.error(f"--budget must be a number of seconds, got {options.budget}")
    if options.device:
        os.environ["TLUTILS_DEVICE"] = options.device
    from tlutils import env
    try:
        where = env.device()
    except (RuntimeError, ValueError) as error:
        parser.error(str(error))
    os.environ["TLUTILS_DEVICE"] = str(where)
    if where.type == "cuda" and where.index is not None and torch.cuda.is_available():
        torch.cuda.set_device(where)  # so that waiting and counting mean this one
    if not answers(where):
        parser.error(f"the device {where} does not answer: is it there, and torch {torch.__version__} built for it?")
    try:
        record = examine(where, options.budget, options.quick, options.out, options.only)
    except OSError as error:
        raise SystemExit(f"{error}; name another place:  --out FILE") from None
    except KeyboardInterrupt:
        raise SystemExit("Stopped; what was found so far lies in the file named above.") from None
    if not record["items"]:
        raise SystemExit(f"no item's kind and name hold {' or '.join(options.only)}: nothing was tried")
    return int(any(item["status"] == "failed" for item in record["items"]))


if __name__ == "__main__":
    sys.exit(main())
