"""Are filters Gabor functions? The first layer as pictures, its fit by Gabor functions, and a control without shape."""
import itertools
from functools import lru_cache

import numpy as np
from torch import nn

from tlutils.env import check_seed

# The grid that is searched, in pixels and cycles a pixel: 14,400 pairs of functions.
DIRECTIONS = np.pi * np.arange(12) / 12        # a half turn; the other half gives the same functions
FREQUENCIES = (0, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 3)
WIDTHS = (1, 1.5, 2.2, 3.2)
ASPECTS = (1, 2)
SHIFTS = (-2, -1, 0, 1, 2)


def filters(model: nn.Module) -> np.ndarray:
    """Return the first convolution's filters as grey pictures (n, k, k) of unit energy.

    Convention: a colour filter (3, k, k) gives its main pattern, the first right singular vector of its (3, k k)
        matrix; its sign is that of the largest entry, made positive. A filter that is zero stays zero.
    Errors: ValueError if model has no convolution.
    """
    conv = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if conv is None:
        raise ValueError(f"model must have a convolution, got a {type(model).__name__} without one")
    weight = conv.weight.detach().float().cpu().numpy()                          # (n, c, k, k)
    flat = weight.reshape(*weight.shape[:2], -1)
    if weight.shape[1] > 1:
        main = np.linalg.svd(flat, full_matrices=False)[2][:, 0]                 # (n, k k)
        flat = main * np.sign(np.take_along_axis(main, np.abs(main).argmax(1)[:, None], 1))
    flat = flat.reshape(len(weight), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return (flat / np.where(length > 0, length, 1)).reshape(-1, *weight.shape[2:])


@lru_cache(maxsize=2)
def gabor_dictionary(side: int) -> np.ndarray:
    """Return orthonormal pairs (m, 2, side * side) that span an even and an odd Gabor function of equal parameters.

    Equation: exp(-(u^2 + (v / a)^2) / (2 s^2)) * cos or sin(2 pi f u), (u, v) the pixel, shifted and turned.
    Units: pixels; s 1 to 3.2, f 0 (a blob) to 1/3 cycles a pixel, a 1 or 2, 12 directions, 25 centres.
    Convention: the odd member of f = 0 is zero.
    Errors: ValueError if side < 1.
    """
    if side < 1:
        raise ValueError(f"side must be >= 1, got {side}")
    ticks = np.arange(side) - (side - 1) / 2                                     # the middle of the picture is 0
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    grid = np.array(list(itertools.product(DIRECTIONS, FREQUENCIES, WIDTHS, ASPECTS, SHIFTS, SHIFTS)))
    theta, f, s, a, cx, cy = grid.T[..., None, None]                             # each (m, 1, 1), to meet (side, side)

    u = (x - cx) * np.cos(theta) + (y - cy) * np.sin(theta)                      # along the wave
    v = (y - cy) * np.cos(theta) - (x - cx) * np.sin(theta)                      # along its crests
    envelope = np.exp(-(u**2 + (v / a) ** 2) / (2 * s**2))
    even = (envelope * np.cos(2 * np.pi * f * u)).reshape(len(grid), -1)
    odd = (envelope * np.sin(2 * np.pi * f * u)).reshape(len(grid), -1)

    # A wave of any phase is a sum of the two. With an orthonormal basis of their plane its best fit to a filter is a
    # projection, no system of equations. On few pixels they are not quite orthogonal: Gram-Schmidt.
    even /= np.linalg.norm(even, axis=1, keepdims=True)
    odd -= (even * odd).sum(1, keepdims=True) * even
    length = np.linalg.norm(odd, axis=1, keepdims=True)
    # Where f = 0 nothing but rounding is left of the odd one, which must not be blown up to length 1.
    odd = np.where(length > 1e-6, odd / np.maximum(length, 1e-6), 0)
    return np.stack([even, odd], 1)


def gabor_fit(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best Gabor function for each filter, and the share of the filter's energy that it explains.

    Equation: share = max over parameters p of |P_p w|^2 / |w|^2, P_p the projection on the even and odd function of p.
    Shapes: pictures (n, k, k) -> fits (n, k, k), share (n,) in [0, 1].
    Convention: a search over the grid of `gabor_dictionary`, phase and amplitude by least squares; noise scores
        above zero too (about 0.23 for 7x7), so compare with an untrained layer.
    Errors: ValueError for another shape, or a filter without energy.
    """
    pictures = np.asarray(pictures, dtype=float)
    _check_square(pictures)
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
    """Return pictures (n, k, k) with the same Fourier amplitudes and random phases: as smooth, but without shape.

    Convention: the phases are those of white noise, so that the result is real; its precision is that of pictures.
    Errors: ValueError for another shape or a bad seed.
    """
    _check_square(pictures)
    noise = np.fft.fft2(np.random.default_rng(check_seed(seed)).normal(size=np.shape(pictures)))
    return np.fft.ifft2(np.abs(np.fft.fft2(pictures)) * noise / np.abs(noise)).real


def _check_square(pictures) -> None:
    shape = np.shape(pictures)
    if len(shape) != 3 or shape[1] != shape[2] or not shape[1]:
        raise ValueError(f"pictures must be (n, k, k), got {shape}")
