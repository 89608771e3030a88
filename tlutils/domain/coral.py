"""CORAL (Sun & Saenko 2016): the distance between the covariances of two domains."""
from torch import Tensor

from tlutils.arrays import full_precision


@full_precision
def coral(source_features: Tensor, target_features: Tensor) -> Tensor:
    """Return the CORAL loss: 0 where the two covariances agree; means are not compared.

    Equation: ||C_s - C_t||_F^2 / (4 d^2)                                              (Sun & Saenko 2016, eq. 1)
    Shapes: (n_s, d) and (n_t, d) -> a scalar.
    Convention: covariances divide by n - 1. Computed in float32 at least, whatever the inputs' type and autocast.
    Errors: ValueError unless both are matrices of one width with at least two rows.
    """
    for name, z in (("source_features", source_features), ("target_features", target_features)):
        if z.ndim != 2 or len(z) < 2 or z.shape[1] != source_features.shape[-1] or not z.shape[1]:
            raise ValueError(f"{name} must be (n, d) with n >= 2 and the same d > 0, got {tuple(z.shape)}")
    d = source_features.shape[1]
    difference = source_features.T.cov() - target_features.T.cov()                  # (d, d)
    if d == 1:
        difference = difference.reshape(1, 1)
    return difference.square().sum() / (4 * d**2)
