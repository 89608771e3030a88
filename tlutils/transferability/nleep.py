"""N-LEEP (Li et al. 2021): LEEP for models without a classifier; clusters of the features stand for source classes."""
import math
import warnings

import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from tlutils.env import check_seed
from tlutils.transferability._inputs import Rows, class_index
from tlutils.transferability.leep import leep


def nleep(features, labels, *, energy: float = 0.8, n_components: int | None = None, seed: int = 0) -> float:
    """Return LEEP of the posteriors of a Gaussian mixture fitted to the leading principal components.

    Equation: LEEP with p_i(z) = P(component z | PCA(x_i))                                          (Li et al. 2021)
    Shapes and units: features (n, d), labels (n,) integers -> a float in nats.
    Convention: the fewest components of PCA that hold the share energy of the variance; a mixture with full covariances
        of n_components Gaussians, 5 per class (at most n) by default. The published codes agree on neither number nor
        covariance, the fit depends on seed, and well separated classes all come out near 0: coarse comparisons only.
        The unit of the features does not matter: a total deviation outside 1/8..1024 is brought to about 1 first.
    Errors: ValueError for bad shapes or values, energy outside (0, 1], n_components outside 1..n, constant features.
    Example:
        >>> nleep([[0.0], [0.1], [0.2], [9.0], [9.1], [9.2]], [0, 0, 0, 1, 1, 1], n_components=2) > -0.01
        True
    """
    rows = Rows(features)
    seed, (_, counts) = check_seed(seed), class_index(labels, rows.n)
    if not 0 < energy <= 1:
        raise ValueError(f"energy must be in (0, 1], got {energy}")
    k = min(5 * len(counts), rows.n) if n_components is None else n_components
    if not 1 <= k <= rows.n:
        raise ValueError(f"n_components must be in 1..{rows.n}, got {n_components}")
    x = rows.take(slice(None))
    spread = rows.finite((x - x[0]).square().sum(0))
    if not float(spread.sum()) > 0:
        raise ValueError(f"features must not be constant, got the same row {rows.n} times")
    # The mixture adds 1e-6 to each variance, which is nothing to features of ordinary size, and bends small ones.
    deviation = float(x.var(0, correction=0).sum()) ** 0.5
    x /= 1.0 if 2**-3 <= deviation <= 2**10 else 2.0 ** round(math.log2(deviation))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than components, 100 steps
        z = PCA(energy if energy < 1 else None, svd_solver="full").fit_transform(x.cpu().numpy())
        posterior = GaussianMixture(k, random_state=seed).fit(z).predict_proba(z)
    return leep(torch.from_numpy(posterior), labels)
