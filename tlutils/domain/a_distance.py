"""The proxy A-distance (Ben-David et al. 2007): how well a linear classifier tells two domains apart."""
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlutils.arrays import array
from tlutils.env import check_seed


def proxy_a_distance(source_features, target_features, *, seed: int) -> float:
    """Return 2 (1 - 2 error) of a linear classifier between the domains: 0 for a coin toss, 2 for no mistake.

    Equation: d_A = 2 (1 - 2 epsilon)                                                  (Ganin et al. 2016, eq. 4)
    Shapes: features (n_s, d) and (n_t, d), arrays or tensors -> a float, clipped to 0..2.
    Convention: logistic regression on standardised features; epsilon is the mean of the two domains' error rates on
        folds that it was not trained on (two folds, shuffled by seed), so domains of different size count the same.
    Errors: ValueError unless both are finite matrices of one width with at least four rows, or for a bad seed.
    """
    seed, parts = check_seed(seed), []
    for name, part in {"source_features": source_features, "target_features": target_features}.items():
        part = array(part, name)
        numbers = part.dtype.kind in "fiub" and part.ndim == 2 and part.shape[1] > 0
        if not numbers or len(part) < 4 or not np.isfinite(part).all():
            raise ValueError(f"{name} must be a finite matrix of at least 4 rows, got {part.dtype} {part.shape}")
        parts.append(part.astype(np.float64))
    if parts[0].shape[1] != parts[1].shape[1]:
        raise ValueError(f"both domains need the same features, got {parts[0].shape[1]} and {parts[1].shape[1]}")
    z, domain = np.concatenate(parts), np.repeat([1, 0], [len(part) for part in parts])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced"))
    guess = cross_val_predict(model, z, domain, cv=StratifiedKFold(2, shuffle=True, random_state=seed))
    error = np.mean([np.mean(guess[domain == k] != k) for k in (0, 1)])
    return float(np.clip(2 * (1 - 2 * error), 0, 2))
