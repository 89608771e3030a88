"""Gram matrices and log-determinants in float64, at half the work that general products take.

On the CPU only the upper triangle is written; `symmetric` fills in the other one.
"""
from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg import blas, eigh_tridiagonal, lapack
from torch import Tensor


def add_gram(total: Tensor, z: np.ndarray | Tensor) -> None:
    """Add z^T z to the upper triangle of total (d, d), in place. On a GPU the whole matrix is written."""
    if total.device.type == "cpu":  # row-major upper is column-major lower
        blas.dsyrk(1.0, np.asarray(z).T, 1.0, total.numpy().T, lower=1, overwrite_c=1)
    else:
        total.addmm_(z.T, z)


def outer_gram(z: Tensor) -> Tensor:
    """Return z z^T (n, n), on the CPU its upper triangle."""
    if z.device.type == "cpu":
        return torch.from_numpy(blas.dsyrk(1.0, z.numpy().T, trans=1, lower=1).T)
    return z @ z.T


def symmetric(upper: Tensor) -> Tensor:
    """Return the symmetric matrix whose upper triangle this is."""
    return upper.triu().add_(upper.triu(1).mT)


def eigen_components(gram: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Return the eigenvalues s (d,) of a symmetric matrix, ascending, V^T p (d, k) of their vectors V, and c -> V c.

    Convention: on the CPU the vectors stay in two factors, those of the tridiagonal matrix and Householder's: k columns
        are turned instead of d.
    """
    if gram.device.type != "cpu" or len(gram) < 3:
        s, v = torch.linalg.eigh(gram)
        return s, v.T @ p, lambda c: v @ c
    a, diagonal, beside, tau, _ = lapack.dsytrd(gram.numpy().T, lower=1, lwork=64 * len(gram))
    s, v = eigh_tridiagonal(diagonal, beside)

    def turned(c: np.ndarray, transposed: str) -> np.ndarray:
        c = np.array(c, order="F")
        c[1:] = lapack.dormqr("L", transposed, a[1:, :-1], tau, c[1:], lwork=64 * c.shape[1])[0]
        return c

    return (torch.from_numpy(s), torch.from_numpy(v.T @ turned(p.numpy(), "T")),
            lambda c: torch.from_numpy(turned(v @ c.numpy(), "N")))


def logdet_plus_identity(upper: Tensor, scale: float) -> float:
    """Return log det(I + G / scale) of a positive semidefinite G, given at least its upper triangle."""
    if upper.device.type != "cpu":
        return float(batched_logdet([upper], [scale])[0])
    a = np.multiply(upper.numpy(), 1.0 / scale)
    a.reshape(-1)[:: len(a) + 1] += 1.0
    factor, failed = lapack.dpotrf(a.T, lower=1, clean=0, overwrite_a=1)
    return _by_eigenvalues(upper, scale) if failed else 2.0 * float(np.log(factor.diagonal()).sum())


def batched_logdet(uppers: list[Tensor], scales: list[float]) -> list[float]:
    """Return the same for many matrices in one call, the smaller ones filled up with zeros: what a GPU needs."""
    k = max(len(upper) for upper in uppers)
    a = torch.stack([torch.nn.functional.pad(u / scale, (0, k - len(u), 0, k - len(u)))
                     for u, scale in zip(uppers, scales, strict=True)])
    a.diagonal(dim1=1, dim2=2).add_(1.0)
    factors, failed = torch.linalg.cholesky_ex(a, upper=True)
    values = 2.0 * factors.diagonal(dim1=1, dim2=2).log().sum(1)
    return [_by_eigenvalues(u, scale) if bad else value
            for u, scale, bad, value in zip(uppers, scales, failed.tolist(), values.tolist(), strict=True)]


def _by_eigenvalues(upper: Tensor, scale: float) -> float:
    """Return the same where rounding of a huge G has swallowed the identity."""
    return float(torch.linalg.eigvalsh(symmetric(upper)).clamp(min=0).div(scale).log1p().sum())
