"""TransRate (Huang et al. 2022): how many more nats it takes to code all features than to code them class by class."""
import numpy as np
import torch

from tlutils.transferability._blas import add_gram, batched_logdet, logdet_plus_identity, outer_gram
from tlutils.transferability._inputs import Rows, class_index
from tlutils.transferability._summary import Summary, visit_classes
from tlutils.transferability.moments import ClassMoments, summary_of


def coding_rate(features, *, eps: float) -> float:
    """Return the coding rate of features up to a squared distortion of eps.

    Equation: R(Z, eps) = 1/2 log det(I + Z^T Z / (n eps))                                         (Huang et al. 2022)
    Shapes and units: features (n, d), arrays or tensors -> a float in nats.
    Convention: nothing is centred. eps is already the square of the distortion, and no factor d stands before it.
    Errors: ValueError unless features are a finite matrix of at least two rows and eps > 0.
    Example:
        >>> round(coding_rate([[1.0, 0.0], [0.0, 1.0]], eps=0.5), 6)    # 1/2 log det(2 I)
        0.693147
    """
    _check_eps(eps)
    rows = Rows(features)
    if rows.n < rows.d:
        z = rows.take(slice(None))
        gram = outer_gram(z)
    else:
        gram = torch.zeros(rows.d, rows.d, dtype=torch.float64, device=rows.device)
        for _, z in rows.blocks():
            add_gram(gram, z)
    rows.finite(gram.diagonal())
    return 0.5 * float(logdet_plus_identity(gram, rows.n * eps))


def transrate(features, labels=None, *, eps: float = 1e-4, weights: str = "proportional", class_scale: str = "n_c",
              normalize: str | None = None) -> float:
    """Return TransRate: the coding rate of the features less the mean coding rate of their classes.

    Equation: R(Z, eps) - sum_c w_c R(Z_c, eps), Z = X - mean(X)                              (Huang et al. 2022)
    Shapes and units: features (n, d), labels (n,) integers, or ClassMoments alone -> a float in nats.
    Convention: classes keep the global mean. weights "proportional": w_c = n_c / n, as the authors' code; "uniform":
        1 / C, as the paper's listing. class_scale "n_c": determinants of Z_c^T Z_c / (n_c eps); "n": of / (n eps), as
        the authors' slides. normalize "rank": rows of Z to length 1 first, and the result divided by the rank of Z,
        as the authors' experiments. With the defaults never negative, and 0 for one class.
    Errors: ValueError for bad shapes or values, eps <= 0, or normalize beside ClassMoments, which hold no rows.
    Example:
        >>> round(transrate([[0.0], [2.0], [10.0], [12.0]], [0, 0, 1, 1]), 3)
        0.0
        >>> round(transrate([[0.0], [1.0], [10.0], [25.0]], [0, 0, 1, 1], eps=1.0), 4)
        0.0198
    """
    _check_eps(eps)
    for name, value, known in (("weights", weights, ("proportional", "uniform")),
                               ("class_scale", class_scale, ("n_c", "n")), ("normalize", normalize, (None, "rank"))):
        if value not in known:
            raise ValueError(f"{name} must be one of {known}, got {value!r}")
    rates = ClassRates(eps, class_scale)
    if normalize is None:
        return rates.transrate(summary_of(features, labels, visit=rates.add), weights)
    if isinstance(features, ClassMoments):
        raise ValueError(f"normalize must be None with ClassMoments, which hold no rows, got {normalize!r}")
    rows = Rows(features)
    codes, counts = class_index(labels, rows.n)
    z = rows.take(slice(None)).sub_(rows.mean())
    norms = rows.finite(torch.linalg.vector_norm(z, dim=1, keepdim=True))
    z /= norms.clamp(min=torch.finfo(z.dtype).tiny)
    rank = max(1, int(torch.linalg.matrix_rank(z)))
    unit, zero = Rows(z).narrow(torch.zeros_like(z[0]))
    summary = visit_classes(unit, codes, counts, mean=zero, d=rows.d, visit=rates.add)
    summary.scatter += rows.n * torch.outer(summary.mean, summary.mean)  # as the authors: not centred again
    return rates.transrate(summary, weights) / rank


class ClassRates:
    """Gather the coding rates of the classes while a pass visits them; on a GPU 64 Gram matrices at a time."""

    def __init__(self, eps: float, class_scale: str = "n_c"):
        self.eps, self.class_scale = eps, class_scale
        self.sizes, self.logdets, self.waiting = [], [], []

    def add(self, gram: torch.Tensor, n_c: int, n: int) -> None:
        """Take the Gram matrix of a class of n_c samples out of n."""
        scale = self.eps * (n_c if self.class_scale == "n_c" else n)
        self.sizes.append(n_c)
        if gram.device.type == "cpu":
            self.logdets.append(logdet_plus_identity(gram, scale))
            return
        self.waiting.append((gram, scale))
        if len(self.waiting) == 64:
            self.flush()

    def flush(self) -> None:
        """Take the determinants of the matrices that wait."""
        if self.waiting:
            self.logdets += batched_logdet(*map(list, zip(*self.waiting, strict=True)))
            self.waiting = []

    def transrate(self, summary: Summary, weights: str) -> float:
        """Return the rate of all samples less the mean rate of the classes that were added."""
        self.flush()
        if len(self.sizes) == 1:
            return 0.0
        total = 0.5 * logdet_plus_identity(summary.scatter, summary.n * self.eps)
        share = np.array(self.sizes) / summary.n if weights == "proportional" else 1.0 / len(self.sizes)
        value = total - 0.5 * float((share * np.array(self.logdets)).sum())
        law = weights == "proportional" and self.class_scale == "n_c"  # log det is concave: what is below 0 is rounding
        return max(value, 0.0) if law else value


def _check_eps(eps: float) -> None:
    if not (isinstance(eps, int | float | np.number) and 0 < eps < float("inf")):
        raise ValueError(f"eps must be > 0, got {eps!r}")
