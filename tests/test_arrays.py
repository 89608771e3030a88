"""What callers hand over: every type and device becomes an array that NumPy knows; losses compute in full precision."""
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tlutils import arrays, domain, selfsup
from tlutils import transferability as T

X = torch.tensor([[1.0, -2.5], [0.25, 8.0], [3.0, 0.0]])


class Apple(Tensor):
    """A tensor that says it lies on Apple's MPS: it comes to the CPU when asked, and has no float64."""

    device = property(lambda self: torch.device("mps"))

    def cpu(self):
        return self.as_subclass(Tensor)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        out = super().__torch_function__(func, types, args, kwargs or {})
        if isinstance(out, cls) and out.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return out


@pytest.mark.parametrize("given", [
    X, X.half(), X.bfloat16(), X.double(), X.to(torch.float8_e5m2), X * torch.ones(1, requires_grad=True),
    nn.Parameter(X), X.T.contiguous().T, torch.view_as_complex(torch.stack([X, -X], -1)).conj().real, X.numpy(),
    X.tolist(), list(X), list(X.bfloat16().requires_grad_()), [list(row) for row in X],
    (tuple(X[0]), X[1].numpy(), X[2].tolist())])
def test_everything_becomes_an_array(given):
    assert np.array_equal(np.asarray(arrays.array(given), np.float64), X)
    assert isinstance(arrays.storage(given), np.ndarray)


def test_what_numpy_can_share_is_not_copied():
    for given in (X, X.half(), X.double(), torch.arange(3)):
        assert np.shares_memory(arrays.storage(given), given.numpy())
    x = X.numpy()
    assert arrays.storage(x) is x
    assert arrays.array(torch.arange(3)).dtype == np.int64 and arrays.array(X > 0).dtype == bool


def test_rows_of_different_lengths_are_refused_by_name():
    with pytest.raises(ValueError, match="^scores must be an array or lists of one length"):
        arrays.array([[1.0], [1.0, 2.0]], "scores")
    with pytest.raises(ValueError, match="^features must"):
        T.h_score([[1.0], [1.0, 2.0]], [0, 1])
    with pytest.raises(ValueError, match="^labels must"):
        T.h_score(X, [0, [1], 2])


def test_float64_is_never_asked_of_a_device_without_it():
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)) + torch.eye(5)[torch.arange(40) % 4]
    y = torch.arange(40) % 4
    apple, labels = x.as_subclass(Apple), y.as_subclass(Apple)
    with pytest.raises(TypeError):
        apple.double()
    assert arrays.float64(apple).dtype == torch.float64
    for measure in (T.transrate, T.h_score, T.logme, T.lfc, T.nleep):
        assert measure(apple, labels) == measure(x, y)
    probs = x.softmax(1)
    assert T.scores(apple, labels, source_probs=probs.as_subclass(Apple)) == T.scores(x, y, source_probs=probs)
    assert T.scores(T.ClassMoments(5, 4).update(apple, labels)) == T.scores(T.ClassMoments(5, 4).update(x, y))
    assert T.logme(apple, apple[:, 0]) == T.logme(x, x[:, 0]) and T.rsa(apple, apple) == pytest.approx(1)
    assert T.taskonomy([apple, apple], labels) == pytest.approx([0.5, 0.5])
    similar = T.task2vec_similarity(apple[0].abs(), apple[1].abs())
    assert similar == T.task2vec_similarity(x[0].abs(), x[1].abs())


def test_full_precision_raises_and_lets_masks_and_scalars_be():
    @arrays.full_precision
    def types(a, b, *, mask=None):
        return [v.dtype if isinstance(v, Tensor) else v for v in (a, b, mask, a @ a.T)]

    low, full = torch.float32, torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert types(X.half(), 2.0, mask=X > 0) == [low, 2.0, torch.bool, low]
        assert types(X.double(), X.bfloat16(), mask=X[0].half()) == [full, full, full, full]
        assert (X @ X.T).dtype == torch.bfloat16                        # and outside it is as it was
    assert types(X, torch.tensor(2.0, dtype=full)) == [low, low, None, low]
    assert types(X.long(), "b") == [low, "b", None, low]
    with pytest.raises(ValueError, match="^b must be a tensor of real numbers, got ndarray of float32"):
        types(X, X.numpy())
    with pytest.raises(ValueError, match="^mask must be a tensor of real numbers, got Tensor of torch.complex64"):
        types(X, 1.0, mask=X + 1j)


def test_a_device_without_autocast_is_left_alone():
    with arrays.no_autocast(torch.device("meta")):
        assert torch.ones(2, device="meta").dtype == torch.float32


def test_a_loss_names_what_is_no_tensor():
    rows = [[1.0, 2.0], [3.0, 4.0]]
    for wrong in (rows, None, np.array(rows), 3.0):
        with pytest.raises(ValueError, match="target_features must be a tensor"):
            domain.mmd(torch.tensor(rows), wrong)
        with pytest.raises(ValueError, match="z2 must be a tensor"):
            selfsup.nt_xent(torch.tensor(rows), z2=wrong)
