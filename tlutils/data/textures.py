"""Textures: warped, noisy gratings, a target on which the shapes of letters are of no use."""
import numpy as np
import torch
from torch.nn import functional as F

from tlutils.env import check_seed

N_ORIENTATIONS, CYCLES = 5, (3.0, 4.5)  # ten classes: five orientations, two frequencies (cycles per image)


def gratings(n: int, seed: int, *, side: int = 24, warp: float = 1.5,
             noise: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """Return n images of gratings in ten classes (five orientations x two frequencies), balanced and shuffled.

    Shapes: images uint8 (n, side, side), labels int64 (n,) = 2 * orientation + frequency.
    Units: warp in pixels (standard deviation of a smooth displacement), noise as a share of full contrast.
    Convention: phase, contrast (0.3 to 1) and displacement are random in each image; orientation varies by 8 degrees.
    Errors: ValueError if n or side < 1, or warp or noise < 0.
    """
    if min(n, side) < 1 or min(warp, noise) < 0:
        raise ValueError(f"need n, side >= 1 and warp, noise >= 0; got {n}, {side}, {warp}, {noise}")
    rng = np.random.default_rng(check_seed(seed))
    labels = rng.permutation(np.arange(n) % (N_ORIENTATIONS * len(CYCLES)))
    angle = np.pi * (labels // 2) / N_ORIENTATIONS + np.deg2rad(rng.uniform(-8, 8, n))
    wave = 2 * np.pi * np.array(CYCLES)[labels % 2] / side
    coarse = torch.from_numpy(rng.normal(0, warp, (n, 2, 4, 4)).astype(np.float32))
    dx, dy = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True).numpy().swapaxes(0, 1)
    y, x = np.mgrid[:side, :side]
    along = (x + dx) * np.cos(angle)[:, None, None] + (y + dy) * np.sin(angle)[:, None, None]
    picture = np.sin(wave[:, None, None] * along + rng.uniform(0, 2 * np.pi, (n, 1, 1)))
    picture = 0.5 * rng.uniform(0.3, 1.0, (n, 1, 1)) * picture + noise * rng.normal(size=picture.shape)
    return np.clip(127.5 * (1 + picture), 0, 255).round().astype(np.uint8), labels.astype(np.int64)
