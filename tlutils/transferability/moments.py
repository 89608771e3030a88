"""Class moments: everything that four of the measures need, gathered batch by batch, so that no features are held."""
import numpy as np
import torch
from torch import Tensor

from tlutils.transferability._blas import add_gram, symmetric
from tlutils.transferability._inputs import Rows, class_index, integers
from tlutils.transferability._summary import Summary, centred, summarise, visit_classes


class ClassMoments:
    """Counts, sums and Gram matrix of each class, streamed over batches on CPU or GPU and merged between workers.

    Equation: n_c = sum 1,  s_c = sum x,  G_c = sum x x^T  over the samples of class c
    Shapes: features (b, n_features) in batches, labels (b,) -> counts (C,), sums (C, d), grams (C, d, d).
    Convention: float64, held about the first sample, so that far-off features lose no digits; labels are
        0..n_classes-1, and a class may stay empty. Memory: n_classes * n_features^2 * 8 bytes on the batches' device.
    Errors: ValueError for sizes below 1, a batch of another width, labels outside the range, NaN or infinity.
    Example:
        >>> moments = ClassMoments(n_features=1, n_classes=2).update([[0.0], [2.0]], [0, 1]).update([[4.0]], [1])
        >>> moments.counts.tolist(), moments.sums.tolist()
        ([1.0, 2.0], [[0.0], [6.0]])
    """

    def __init__(self, n_features: int, n_classes: int):
        if min(n_features, n_classes) < 1:
            raise ValueError(f"n_features and n_classes must be >= 1, got {n_features} and {n_classes}")
        self.n_features, self.n_classes = n_features, n_classes
        self._shift: Tensor | None = None  # of the first sample; the moments below are taken about it

    def update(self, features, labels) -> "ClassMoments":
        """Add a batch: features (b, n_features), labels (b,). Return self. A batch that is refused changes nothing."""
        rows = Rows(features, least=1)
        y = integers(labels, rows.n, "labels")
        if rows.d != self.n_features:
            raise ValueError(f"features must be (b, {self.n_features}), got {(rows.n, rows.d)}")
        if y.min() < 0 or y.max() >= self.n_classes:
            raise ValueError(f"labels must be in 0..{self.n_classes - 1}, got {y.min()}..{y.max()}")
        z = rows.take(slice(None))
        rows.finite(z.square().sum(0))
        if self._shift is None:
            self._start(z[0].clone())
        z = z.to(self._shift.device).sub_(self._shift)
        r = z.square().sum(1)
        self._cubic += r @ z
        self._quartic += float(r @ r)
        classes, sizes = np.unique(y, return_counts=True)
        parts = np.split(y.argsort(kind="stable"), np.cumsum(sizes)[:-1])
        for c, part in zip(classes.tolist(), parts, strict=True):
            own = z[torch.from_numpy(part).to(z.device)]
            self._counts[c] += len(own)
            self._sums[c] += own.sum(0)
            add_gram(self._grams[c], own)
        return self

    def merge(self, other: "ClassMoments") -> "ClassMoments":
        """Add the samples that other has seen. Return self; other stays as it was."""
        if (self.n_features, self.n_classes) != (other.n_features, other.n_classes):
            raise ValueError(f"other must have {self.n_features} features and {self.n_classes} classes, "
                             f"got {other.n_features} and {other.n_classes}")
        if other._shift is None:
            return self
        if self._shift is None:
            self._start(other._shift.clone())
        counts, sums, grams, cubic, quartic = other._about(self._shift)
        self._counts += counts
        self._sums += sums
        self._grams += grams
        self._cubic += cubic
        self._quartic += quartic
        return self

    @property
    def counts(self) -> Tensor:
        """Samples seen of each class, (C,)."""
        return self._about_origin()[0]

    @property
    def sums(self) -> Tensor:
        """Sum of the features of each class, (C, d)."""
        return self._about_origin()[1]

    @property
    def grams(self) -> Tensor:
        """Sum of x x^T of each class, (C, d, d)."""
        return symmetric(self._about_origin()[2])

    def _start(self, shift: Tensor) -> None:
        c, d = self.n_classes, self.n_features
        self._shift = shift
        self._counts, self._sums, self._grams = shift.new_zeros(c), shift.new_zeros(c, d), shift.new_zeros(c, d, d)
        self._cubic, self._quartic = shift.new_zeros(d), 0.0  # sum ||x||^2 x and sum ||x||^4, for the shrinkage

    def _about_origin(self):
        if self._shift is None:
            c, d = self.n_classes, self.n_features
            return [torch.zeros(*size, dtype=torch.float64) for size in ((c,), (c, d), (c, d, d))]
        return self._about(torch.zeros_like(self._shift))

    def _about(self, point: Tensor):
        """Return counts, sums, Grams (upper triangles), cubic and quartic about another point: x - p = (x - s) + e."""
        e = self._shift - point.to(self._shift.device)
        n, s, n_all, s_all = self._counts[:, None], self._sums, self._counts.sum(), self._sums.sum(0)
        gram, square = symmetric(self._grams.sum(0)), e @ e
        trace = gram.trace()
        grams = self._grams + s[:, :, None] * e + e[:, None] * s[:, None] + n[:, :, None] * torch.outer(e, e)
        cubic = (self._cubic + trace * e + 2 * gram @ e + 2 * (e @ s_all) * e + square * s_all + n_all * square * e)
        quartic = (self._quartic + 4 * e @ gram @ e + n_all * square ** 2 + 4 * e @ self._cubic
                   + 2 * square * trace + 4 * square * (e @ s_all))
        moved = self._counts, s + n * e, grams.triu(), cubic, quartic
        return [value.to(point.device) for value in moved]

    def _summary(self, visit=None) -> Summary:
        """Return the summary; call visit(Gram about the mean, n_c, n) for each class that occurs."""
        if self._shift is None or self._counts.sum() < 2:
            raise ValueError(f"features must hold at least 2 samples, got moments of {int(self.counts.sum())}")
        n = int(self._counts.sum())
        counts, sums, grams, _, quartic = self._about(self._shift + self._sums.sum(0) / n)
        present = counts > 0
        if visit:
            for gram, m in zip(grams[present], counts[present].tolist(), strict=True):
                visit(gram, int(m), n)
        mean = self._shift + self._sums.sum(0) / n
        return centred(n, self.n_features, counts[present], mean, symmetric(grams.sum(0)), sums[present],
                       float(quartic))


def summary_of(features, labels, *, visit=None, about: str = "first", name: str = "labels") -> Summary:
    """Return the summary of features and labels, or of the ClassMoments given in their place.

    Convention: visit gets the Gram matrix of each class about the mean, and about="mean" gives the summary its quartic:
        both take a first pass for the mean. about="origin" spares the subtraction.
    """
    if isinstance(features, ClassMoments):
        if labels is not None:
            raise ValueError(f"{name} must be left out beside ClassMoments, got {type(labels).__name__}")
        return features._summary(visit)
    rows = Rows(features)
    codes, counts = class_index(labels, rows.n, name)
    wide = rows.n < rows.d
    if visit or wide or about == "mean":
        origin = rows.mean()
    else:
        origin = rows.take(slice(0, 1))[0] if about == "first" else None
    narrow, turned = rows.narrow(origin)
    shift = torch.zeros_like(turned) if wide else turned
    if visit:
        summary = visit_classes(narrow, codes, counts, mean=shift, d=rows.d, visit=visit, quartic=about == "mean")
    else:
        summary = summarise(narrow, codes, counts, shift=shift, d=rows.d, quartic=about == "mean")
    if wide:
        summary.mean += turned
    return summary
