"""Filling in words: the hidden word is not read, nor are neighbours beyond the window."""
import pytest
import torch

from tlutils.selfsup import FillIn, mean_vector


@pytest.mark.parametrize("window", [1, 2, 100])
def test_only_visible_neighbours_count(window):
    torch.manual_seed(0)
    model, tokens = FillIn(9, 4, window), torch.tensor([[1, 2, 3, 4, 5, 0]])
    place = torch.tensor([1])
    scores = model(tokens, place)
    for k in range(5):
        changed = tokens.clone()
        changed[0, k] = 9
        assert torch.allclose(model(changed, place), scores) == (not 1 <= abs(k - 1) <= window)


def test_the_mean_leaves_out_what_fills_up():
    model = FillIn(9, 4, 100)
    short, long = mean_vector(model.vectors, torch.tensor([[1, 2], [1, 2]])), torch.tensor([[1, 2, 0, 0]])
    torch.testing.assert_close(mean_vector(model.vectors, long)[0], short[0])
    assert mean_vector(model.vectors, torch.zeros(1, 3, dtype=torch.long)).tolist() == [[0.0] * 4]


@pytest.mark.parametrize("sizes", [(0, 4, 1), (9, 0, 1), (9, 4, 0)])
def test_guards(sizes):
    with pytest.raises(ValueError, match="n_words, dim and window must be >= 1, got {}, {} and {}".format(*sizes)):
        FillIn(*sizes)
