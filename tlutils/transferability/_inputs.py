"""What the measures take: guards that name the argument and show what came; rows in float64, block by block."""
import numpy as np
import torch
from scipy.sparse import csc_array
from torch import Tensor

from tlutils.arrays import storage

BLOCK = 2**21  # numbers read at a time: enough for BLAS, and small enough for memory to be used again


class Rows:
    """A matrix (n, d) of any float type on any device; blocks of its rows are read as float64 tensors.

    Convention: wide matrices (n < d) can be turned into their own span, which keeps every inner product.
    Errors: ValueError naming the argument if it is no finite matrix of numbers with at least two rows.
    """

    def __init__(self, x, name: str = "features", least: int = 2):
        first = x[0] if isinstance(x, list | tuple) and len(x) else x
        self.coarse = "float16" in str(getattr(first, "dtype", ""))  # or bfloat16: a row of probabilities misses 1
        x = storage(x, name)
        if x.ndim != 2:
            raise ValueError(f"{name} must be (n, d), got {tuple(x.shape)}{_swapped(x)}")
        if isinstance(x, np.ndarray) and x.dtype.kind not in "fiub" or isinstance(x, Tensor) and x.is_complex():
            raise ValueError(f"{name} must be real numbers, got {x.dtype}")
        if 0 in x.shape or len(x) < least:
            raise ValueError(f"{name} must hold at least {least} samples and one column, got {tuple(x.shape)}")
        self.x, self.name, (self.n, self.d) = x, name, x.shape
        self.device = x.device if isinstance(x, Tensor) else torch.device("cpu")

    def take(self, index: slice | np.ndarray) -> Tensor:
        """Return the rows at index as a new float64 tensor."""
        if isinstance(self.x, Tensor):
            index = index if isinstance(index, slice) else torch.from_numpy(index).to(self.device)
            return self.x[index].to(torch.float64, copy=True)
        if isinstance(index, slice):
            return torch.from_numpy(np.array(self.x[index], dtype=np.float64, order="C"))
        return torch.from_numpy(np.take(self.x, index, axis=0).astype(np.float64, copy=False))

    def blocks(self, rows: int | None = None):
        """Yield (slice, rows) from first to last, float64, arrays on the CPU; they may be the caller's own memory."""
        step = rows or self.step
        for start in range(0, self.n, step):
            part = slice(start, start + step)
            yield part, (self.x[part].to(torch.float64) if isinstance(self.x, Tensor) else
                         np.asarray(self.x[part], dtype=np.float64, order="C"))

    @property
    def step(self) -> int:
        """Rows in a block."""
        return max(256, BLOCK // self.d)

    @property
    def whole(self) -> int | None:
        """All rows, where they can be read as they lie; else None."""
        plain = isinstance(self.x, np.ndarray) and self.x.dtype == np.float64 and self.x.flags.c_contiguous
        return self.n if plain else None

    def argmax(self) -> np.ndarray:
        """Return the column of the largest entry of each row, (n,)."""
        return self.x.argmax(1).cpu().numpy() if isinstance(self.x, Tensor) else self.x.argmax(1)

    def mean(self) -> Tensor:
        """Return the mean row (d,), summed about the first row, so that a constant column gives exactly its value."""
        first = self.take(slice(0, 1))[0]
        origin = first.numpy() if self.device.type == "cpu" else first
        total = sum((z - origin).sum(0) for _, z in self.blocks(256))
        return first + self.finite(torch.as_tensor(total)) / self.n

    def finite(self, total: Tensor) -> Tensor:
        """Return total if it is finite; it sums over all entries, so NaN or infinity anywhere would show in it."""
        if bool(torch.isfinite(total).all()):
            return total
        for part, z in self.blocks():
            ok = (np if isinstance(z, np.ndarray) else torch).isfinite(z).all(1)
            if not ok.all():
                row = part.start + ok.tolist().index(False)
                raise ValueError(f"{self.name} must be finite, got NaN or infinity in row {row}")
        raise ValueError(f"{self.name} must be small enough to square in float64, got values that overflow")

    def narrow(self, origin: Tensor) -> tuple["Rows", Tensor]:
        """Return rows - origin and origin in n + 1 columns with the same inner products: of X^T = QR, R is kept.

        Convention: a narrow matrix (n >= d) comes back as it is, not shifted, beside origin.
        """
        if self.n >= self.d:
            return self, origin
        x = self.take(slice(None)).sub_(origin)
        self.finite(x.abs().sum(0))
        r = torch.linalg.qr(torch.cat([x, origin[None]]).T, mode="r").R.T.contiguous()
        return Rows(r[:-1], self.name), r[-1]


def class_index(labels, n: int, name: str = "labels") -> tuple[np.ndarray, np.ndarray]:
    """Return codes 0..C-1 of integer labels (n,), ordered as the labels are, and the size of each class.

    Errors: ValueError naming the argument if labels are no vector of n integers.
    """
    y = integers(labels, n, name)
    low, span = int(y.min()), int(y.max()) - int(y.min()) + 1
    if span > 4 * n + 1024:  # far apart: sort them
        return np.unique(y, return_inverse=True, return_counts=True)[1:]
    y = y - low
    counts = np.bincount(y, minlength=span)
    if counts.all():
        return y, counts
    return (np.cumsum(counts > 0) - 1)[y], counts[counts > 0]


def integers(labels, n: int | None, name: str) -> np.ndarray:
    """Return labels as a vector of n integers on the CPU; n=None takes any length from 2."""
    if labels is None:
        raise ValueError(f"{name} must be given beside an array, got None")
    y = storage(labels, name)
    y = y.cpu().numpy() if isinstance(y, Tensor) else y
    if y.ndim != 1 or n is not None and len(y) != n or len(y) < 1:
        raise ValueError(f"{name} must be ({n or 'n'},), got {tuple(y.shape)}")
    if y.dtype.kind not in "iub":
        raise ValueError(f"{name} must be integers, got {y.dtype}")
    if n is None and len(y) < 2:
        raise ValueError(f"{name} must hold at least 2 samples, got {len(y)}")
    return y.astype(np.int64, copy=False)


def class_sums(codes: np.ndarray, z: np.ndarray | Tensor, n_classes: int) -> Tensor:
    """Return the sum of the rows of each class, (n_classes, d)."""
    if isinstance(z, Tensor):
        return z.new_zeros(n_classes, z.shape[1]).index_add_(0, torch.from_numpy(codes).to(z.device), z)
    one_hot = csc_array((np.ones(len(codes)), codes, np.arange(len(codes) + 1)), shape=(n_classes, len(codes)))
    return torch.from_numpy(one_hot @ z)


def _swapped(x) -> str:
    integer = not x.is_floating_point() if isinstance(x, Tensor) else x.dtype.kind in "iu"
    return "; were features and labels swapped?" if x.ndim == 1 and integer else ""
