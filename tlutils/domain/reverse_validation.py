"""Reverse validation (Zhong et al. 2010; Ganin et al. 2016): judge an adapted network without a label of the target."""
from collections.abc import Callable

from torch import Tensor

Predictor = Callable[[Tensor], Tensor]  # (n, ...) -> scores (n, k)


def reverse_validation(predict: Predictor, fit: Callable[[Tensor, Tensor, Tensor], Predictor], *, x_s: Tensor,
                       x_t: Tensor, x_held: Tensor, y_held: Tensor) -> float:
    """Return the accuracy on held-out source data after the way there and back: no label of the target is needed.

    Equation: accuracy of fit(x_t, g, x_s) on (x_held, y_held), g = argmax of predict(x_t)
    Shapes: predict(x) gives the scores (n, k) of the network that is judged. fit(x, y, x_other) trains a new one by the
        same recipe, with the labels y of x and without labels of x_other, and returns its predict.
    Convention: the target takes the network's own answers for labels, and the source loses its own
        (Ganin et al. 2016, section 5.1.2). A high value can deceive: a network may come home that never arrived.
    Errors: ValueError unless x_held and y_held are of the same length > 0, or where scores are no matrix.
    """
    if len(x_held) != len(y_held) or len(x_held) == 0:
        raise ValueError(f"x_held and y_held must have the same length > 0, got {len(x_held)} and {len(y_held)}")
    back = fit(x_t, _answers(predict, x_t), x_s)
    return (_answers(back, x_held) == y_held).float().mean().item()


def _answers(predict: Predictor, x: Tensor) -> Tensor:
    scores = predict(x)
    if scores.ndim != 2 or len(scores) != len(x):
        raise ValueError(f"predict must give scores ({len(x)}, k), got {tuple(scores.shape)}")
    return scores.argmax(1)
