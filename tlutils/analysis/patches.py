"""What small patches of pictures are made of, without any label: principal components, ICA, sparse coding."""
import warnings

import numpy as np
from sklearn.decomposition import PCA, FastICA, MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning

from tlutils.env import check_seed

CODINGS = ("PCA", "ICA", "sparse coding")


def patches(images: np.ndarray, side: int, n: int, seed: int) -> np.ndarray:
    """Return n patches of side x side pixels from random places of grey images, each less its mean: (n, side, side).

    Shapes: images uint8 (m, h, w). Units: half the range of grey is 1.
    Errors: ValueError for another shape, a side that does not fit in, n < 1, or a bad seed.
    """
    if np.ndim(images) != 3 or not 1 <= side <= min(np.shape(images)[1:]) or n < 1:
        raise ValueError("images must be (m, h, w), side in 1..min(h, w) and n >= 1, got "
                         f"{np.shape(images)}, {side}, {n}")
    rng = np.random.default_rng(check_seed(seed))
    which = rng.integers(len(images), size=n)
    top, left = (rng.integers(length - side + 1, size=n) for length in images.shape[1:])
    windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))
    found = windows[which, top, left] / 127.5                                   # (n, side, side)
    return found - found.mean((1, 2), keepdims=True)


def patch_basis(found: np.ndarray, coding: str, n: int, seed: int) -> np.ndarray:
    """Return the n pictures of which patches are mixed, learned without labels: (n, side, side), of unit energy.

    Equation: patch = sum_i s_i a_i. "PCA": a_i orthogonal, of most variance; "ICA": s_i as independent as can be, by
        FastICA on the n first principal components (Hyvarinen & Oja 2000); "sparse coding": few s_i at a time,
        min 1/2 |patch - sum|^2 + 1/2 |s|_1 (Olshausen & Field 1996), by online dictionary learning (Mairal 2009).
    Shapes: found (m, side, side), as of `patches`, m > n.
    Errors: ValueError for another coding.
    """
    if coding not in CODINGS:
        raise ValueError(f"coding must be one of {', '.join(CODINGS)}, got {coding!r}")
    flat = found.reshape(len(found), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)                     # the last digits decide nothing here
        if coding == "PCA":
            basis = PCA(n).fit(flat).components_
        elif coding == "ICA":
            basis = FastICA(n, whiten="unit-variance", max_iter=500, tol=1e-3, random_state=seed).fit(flat).mixing_.T
        else:
            basis = MiniBatchDictionaryLearning(n, alpha=0.5, batch_size=256, max_iter=4, fit_algorithm="cd",
                                                random_state=seed).fit(flat).components_
    basis = basis / np.linalg.norm(basis, axis=1, keepdims=True)
    return basis.reshape(n, *found.shape[1:])
