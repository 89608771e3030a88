"""What does the first layer learn? Filters from letters, symbols, textures and photographs, against Gabor functions."""
import dataclasses
import itertools
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tlutils import data, env, models, train
from tlutils.data.textures import gratings
from tlutils.experiments import record

CHAPTER = "01_what_is_transfer_learning"


@dataclass(frozen=True)
class Config:
    """One small network a source, its first layer widened to 7x7 kernels so that there is something to see."""

    sources: tuple[str, ...] = ("letters", "symbols", "texture")
    n_classes: int = 60                                           # of letters and symbols; textures have ten
    n_train: int = 6000
    n_test: int = 2000
    kernel: int = 7
    n_filters: int = 16
    initial_scale: float = 0.1                                    # times the usual initial values of the first layer
    steps: int = 600
    batch_size: int = 64
    lr: float = 3e-3
    pretrained: tuple[str, str] | None = None                     # (torchvision name, file in torch.hub's checkpoints)


def network(n_classes: int, config: Config, seed: int) -> nn.Sequential:
    """Return conv8 with a first layer of config.n_filters large kernels, which start small.

    Convention: BatchNorm undoes any scale of a filter, so its initial noise would outlive a short training;
        initial values a tenth as large leave the shape to what is learned.
    """
    env.seed_everything(seed)
    conv = nn.Conv2d(1, config.n_filters, config.kernel, stride=2, padding=config.kernel // 2, bias=False)
    with torch.no_grad():
        conv.weight.mul_(config.initial_scale)
    model = models.conv8(n_classes, widths=(config.n_filters, 24, 32, 32, 48, 64))
    model[0][0] = conv
    return model.to(device=env.device(), memory_format=torch.channels_last)


def task(name: str, config: Config, seed: int):
    """Return (x, y, x_test, y_test) of a source: "letters", "symbols" or "texture"; ValueError for another name."""
    if name not in ("letters", "symbols", "texture"):
        raise ValueError(f"name must be letters, symbols or texture, got {name!r}")

    def draw(n, part_seed):
        if name == "texture":
            images, labels = gratings(n, part_seed)
        else:
            characters = np.random.default_rng(seed).permutation(data.glyph_classes(name))[: config.n_classes]
            images, labels = data.glyphs(list(characters), n, part_seed)
        return data.to_tensor(images, env.device()), torch.as_tensor(labels, device=env.device())

    return *draw(config.n_train, 3000 + seed), *draw(config.n_test, 4000 + seed)


def filters(model: nn.Sequential) -> np.ndarray:
    """Return the first layer's filters as grey pictures (n, k, k) of unit energy.

    Convention: a colour filter (3, k, k) gives its main pattern, the first right singular vector of its (3, k k)
        matrix; its sign is that of the largest entry, made positive.
    """
    conv = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    weight = conv.weight.detach().float().cpu().numpy()                          # (n, c, k, k)
    flat = weight.reshape(*weight.shape[:2], -1)
    if weight.shape[1] > 1:
        main = np.linalg.svd(flat, full_matrices=False)[2][:, 0]                 # (n, k k)
        flat = main * np.sign(np.take_along_axis(main, np.abs(main).argmax(1)[:, None], 1))
    flat = flat.reshape(len(weight), -1)
    return (flat / np.linalg.norm(flat, axis=1, keepdims=True)).reshape(-1, *weight.shape[2:])


@lru_cache(maxsize=2)
def gabor_dictionary(side: int) -> np.ndarray:
    """Return orthonormal pairs (m, 2, side * side) that span an even and an odd Gabor function of equal parameters.

    Equation: exp(-(u^2 + (v / a)^2) / (2 s^2)) * cos or sin(2 pi f u), (u, v) the pixel, shifted and turned.
    Units: pixels; s 1 to 3.2, f 0 (a blob) to 1/3 cycles a pixel, a 1 or 2, 12 directions, 25 centres.
    Convention: the odd member of f = 0 is zero.
    """
    ticks = np.arange(side) - (side - 1) / 2
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    grid = itertools.product(np.pi * np.arange(12) / 12, (0, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 3), (1, 1.5, 2.2, 3.2),
                             (1, 2), (-2, -1, 0, 1, 2), (-2, -1, 0, 1, 2))
    theta, f, s, a, cx, cy = (p[:, None, None] for p in np.array(list(grid)).T)  # each (m, 1, 1)
    u = (x - cx) * np.cos(theta) + (y - cy) * np.sin(theta)
    v = (y - cy) * np.cos(theta) - (x - cx) * np.sin(theta)
    envelope = np.exp(-(u**2 + (v / a) ** 2) / (2 * s**2))
    even, odd = ((envelope * wave(2 * np.pi * f * u)).reshape(len(f), -1) for wave in (np.cos, np.sin))
    even /= np.linalg.norm(even, axis=1, keepdims=True)
    odd -= (even * odd).sum(1, keepdims=True) * even                             # Gram-Schmidt
    length = np.linalg.norm(odd, axis=1, keepdims=True)
    return np.stack([even, np.where(length > 1e-6, odd / np.maximum(length, 1e-6), 0)], 1)


def gabor_fit(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best Gabor function for each filter, and the share of the filter's energy that it explains.

    Equation: share = max over parameters p of |P_p w|^2 / |w|^2, P_p the projection on the even and odd function of p.
    Shapes: pictures (n, k, k) -> fits (n, k, k), share (n,) in [0, 1].
    Convention: a search over the grid of `gabor_dictionary`, phase and amplitude by least squares; noise scores
        above zero too (about 0.23 for 7x7), so compare with an untrained layer.
    Errors: ValueError for another shape, or a filter without energy.
    """
    pictures = np.asarray(pictures, dtype=float)
    if pictures.ndim != 3 or pictures.shape[1] != pictures.shape[2]:
        raise ValueError(f"pictures must be (n, k, k), got {pictures.shape}")
    w = pictures.reshape(len(pictures), -1)
    energy = (w**2).sum(1)
    if not (energy > 0).all():
        raise ValueError(f"pictures must have energy, but number {int(energy.argmin())} is zero everywhere")
    pairs = gabor_dictionary(pictures.shape[1])
    along = np.einsum("mjp,np->nmj", pairs, w, optimize=True)                    # (n, m, 2)
    best = (along**2).sum(2).argmax(1)
    rows = np.arange(len(w))
    fits = np.einsum("nj,njp->np", along[rows, best], pairs[best])
    return fits.reshape(pictures.shape), (fits**2).sum(1) / energy


def scramble(pictures: np.ndarray, seed: int) -> np.ndarray:
    """Return pictures (n, k, k) with the same Fourier amplitudes and random phases: as smooth, but without shape."""
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=np.shape(pictures)))
    return np.fft.ifft2(np.abs(np.fft.fft2(pictures)) * noise / np.abs(noise)).real


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: share explained by Gabor functions, before, after and scrambled; test accuracy."""
    if config.pretrained:
        return _imagenet(config, seed)
    rows = []
    for name in config.sources:
        x, y, x_test, y_test = task(name, config, seed)
        model = network(int(y.max()) + 1, config, seed)
        before = filters(model)
        optimizer, scheduler = train.adamw(model.parameters(), config.lr, config.steps)
        batches = train.batches(x, y, config.batch_size, config.steps, seed)
        train.fit(model, batches, train.classify, optimizer, scheduler=scheduler)
        after = filters(model)
        for method, pictures in (("untrained", before), ("trained", after), ("scrambled", scramble(after, seed))):
            share = float(gabor_fit(pictures)[1].mean())
            rows.append(_row(method, seed, share, source=name, metric="gabor_share"))
        rows.append(_row("trained", seed, train.evaluate(model, x_test, y_test), source=name, metric="accuracy"))
    return rows


def _imagenet(config: Config, seed: int) -> list[dict]:
    """One row a filter of an ImageNet network, with its picture (8 bits a value, rows of pixels, hexadecimal)."""
    name, file = config.pretrained
    env.seed_everything(seed)
    trained = models.pretrained(name, Path(torch.hub.get_dir()) / "checkpoints" / file)
    rows = []
    for method, model in (("trained", trained), ("untrained", models.pretrained(name, None))):
        weight = next(m for m in model.modules() if isinstance(m, nn.Conv2d)).weight.detach().numpy()
        pictures = filters(model)
        parts = (("", pictures), ("scrambled", scramble(pictures, seed)))[: 1 + (method == "trained")]
        for other, grey in parts:
            for k, share in enumerate(gabor_fit(grey)[1]):
                row = _row(other or method, seed, share, source="imagenet", metric="gabor_share", filter=k)
                if not other and method == "trained":
                    colour = weight[k].transpose(1, 2, 0) / np.abs(weight[k]).max()              # (k, k, 3) in -1..1
                    row["pixels"] = np.round(127.5 * (1 + colour)).astype(np.uint8).tobytes().hex()
                rows.append(row)
    return rows


def describe(config: Config) -> dict:
    """Name the data of a run, with the SHA-256 of the first source's training images (or of the first layer)."""
    from tlutils.results import sha256
    if config.pretrained:
        name, file = config.pretrained
        model = models.pretrained(name, Path(torch.hub.get_dir()) / "checkpoints" / file)
        return {"name": f"{name}, ImageNet weights of its authors (BSD licence), {file}",
                "sha256": sha256(filters(model))}
    x, y, *_ = task(config.sources[0], config, 0)
    return {"name": "glyphs, gratings", "n_train": config.n_train, "n_test": config.n_test,
            "sha256": sha256(x.cpu().numpy(), y.cpu().numpy())}


def _row(method: str, seed: int, value: float, **keys) -> dict:
    return {"method": method, "seed": seed, **keys, "value": round(float(value), 5), "unit": "fraction"}


LAPTOP = Config()
IMAGENET = dataclasses.replace(LAPTOP, pretrained=("squeezenet1_0", "squeezenet1_0-deepcompression.pth"))
PRESETS = {"first_layer": ("Are first-layer filters Gabor-like, whatever the source?", LAPTOP),
           "first_layer_imagenet": ("How Gabor-like are the first filters of an ImageNet network?", IMAGENET)}

if __name__ == "__main__":
    record.main("tlutils.experiments.first_layer", CHAPTER, PRESETS, run, describe)
