"""Pairs of pieces: the answers that they invent are right, and one encoder reads both."""
import pytest
import torch

from tlutils.selfsup import Siamese, pair_batch


def where(n=64, s=24):
    """Return images whose first channel is the column and whose second is the row of each pixel."""
    row, column = torch.meshgrid(torch.arange(s), torch.arange(s), indexing="ij")
    return torch.stack([column, row, row])[None].repeat(n, 1, 1, 1).float()


@pytest.mark.parametrize("size", [4, 10, 12])
def test_the_second_piece_lies_where_the_answer_says(size):
    x = where()
    (first, second), answer = pair_batch(x, x, size, torch.Generator().manual_seed(0))
    right, down = (second - first).mean((2, 3))[:, :2].T
    assert set(answer.tolist()) == {0, 1, 2, 3}
    for step, expected in ((right, (1, 0, -1, 0)), (down, (0, -1, 0, 1))):
        expected = torch.tensor(expected)[answer]
        assert (step - 12 * expected).abs().max() <= 12 - size


def test_pieces_stay_inside_of_their_quarter_and_are_enlarged():
    x = where()
    for piece in pair_batch(x, x, 10)[0]:
        assert piece.shape == x.shape
        low, high = piece.amin((2, 3)), piece.amax((2, 3))
        torch.testing.assert_close(high - low, torch.full_like(low, 9))
        assert (low // 12 == high // 12).all()


def test_a_whole_quarter_is_that_quarter_enlarged():
    x = torch.randn(40, 3, 24, 24)
    (first, _), answer = pair_batch(x, x, 12, torch.Generator().manual_seed(0))
    quarters = [x[:, :, i:i + 12, j:j + 12] for i in (0, 12) for j in (0, 12)]
    near = torch.stack([(torch.nn.functional.interpolate(q, 24, mode="bilinear") - first).abs().amax((1, 2, 3))
                        for q in quarters])
    assert near.amin(0).max() < 1e-6
    allowed = {0: {0, 2}, 1: {2, 3}, 2: {1, 3}, 3: {0, 1}}                     # of the four quarters, row by row
    assert all(quarter in allowed[a] for quarter, a in zip(near.argmin(0).tolist(), answer.tolist(), strict=True))


def test_the_pair_shares_its_encoder_and_knows_which_is_first():
    f = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5))
    model = Siamese(f, 5, 4)
    x = torch.randn(2, 6, 3, 2, 2)
    torch.testing.assert_close(model(tuple(x)), model.r(torch.cat([f(x[0]), f(x[1])], 1)))
    assert not torch.allclose(model((x[0], x[1])), model((x[1], x[0])))


@pytest.mark.parametrize("second, size, says", [
    (torch.zeros(4, 3, 24, 24), 13, "size 13"), (torch.zeros(4, 3, 24, 24), 0, "size 0"),
    (torch.zeros(4, 3, 12, 12), 4, r"\(4, 3, 12, 12\)")])
def test_guards(second, size, says):
    with pytest.raises(ValueError, match=f"need two views .*{says}"):
        pair_batch(torch.zeros(4, 3, 24, 24), second, size)
