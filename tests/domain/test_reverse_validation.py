"""Reverse validation: there and back, step by step; it sees no label of the target, and it can be deceived."""
import pytest
import torch

from tlutils import domain


def nearest(x, y):
    """Return the predict of a classifier by the mean of each class."""
    means = torch.stack([x[y == c].mean(0) for c in (0, 1)])
    return lambda x: -torch.cdist(x, means)


@pytest.fixture
def clouds():
    g = torch.Generator().manual_seed(0)
    y = torch.arange(40) % 2
    x_s = torch.randn(40, 2, generator=g) * 0.1 + torch.stack([4.0 * y, torch.zeros(40)], 1)
    return x_s, y, x_s + torch.tensor([0.5, 3.0])


def test_the_way_there_and_back_is_that_of_the_equation(clouds):
    x_s, y_s, x_t = clouds
    steps = []

    def fit(x, y, x_other):
        steps.append((x, y, x_other))
        return nearest(x, y)

    found = domain.reverse_validation(nearest(x_s, y_s), fit, x_s=x_s, x_t=x_t, x_held=x_s[:7], y_held=y_s[:7])
    (x, guess, other), = steps
    assert x is x_t and other is x_s and torch.equal(guess, y_s) and found == 1
    wrong = 1 - y_s[:7]
    assert domain.reverse_validation(nearest(x_s, y_s), fit, x_s=x_s, x_t=x_t, x_held=x_s[:7], y_held=wrong) == 0


def test_the_share_is_counted_on_the_held_out_examples(clouds):
    x_s, y_s, x_t = clouds
    y_held = y_s[:4].clone()
    y_held[0] = 1 - y_held[0]
    found = domain.reverse_validation(nearest(x_s, y_s), lambda x, y, _: nearest(x, y), x_s=x_s, x_t=x_t,
                                      x_held=x_s[:4], y_held=y_held)
    assert found == 0.75


def test_it_can_be_deceived_by_a_network_that_comes_home_without_having_arrived(clouds):
    """All labels of the target turned, on the way there and on the way back: the score is perfect."""
    x_s, y_s, x_t = clouds
    turned = nearest(x_t, 1 - y_s)                                    # wrong for every example of the target

    def fit(x, y, x_other):
        return nearest(x_other, 1 - nearest(x, y)(x).argmax(1))       # and turned back at home

    assert (turned(x_t).argmax(1) == y_s).sum() == 0
    assert domain.reverse_validation(turned, fit, x_s=x_s, x_t=x_t, x_held=x_s, y_held=y_s) == 1


def test_bad_input_is_named(clouds):
    x_s, y_s, x_t = clouds
    predict = nearest(x_s, y_s)
    with pytest.raises(ValueError, match="x_held and y_held must have the same length > 0, got 3 and 2"):
        domain.reverse_validation(predict, None, x_s=x_s, x_t=x_t, x_held=x_s[:3], y_held=y_s[:2])
    with pytest.raises(ValueError, match=r"predict must give scores \(40, k\), got \(40,\)"):
        domain.reverse_validation(lambda x: predict(x)[:, 0], None, x_s=x_s, x_t=x_t, x_held=x_s, y_held=y_s)
