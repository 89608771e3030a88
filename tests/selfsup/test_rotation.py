"""Rotation prediction: four exact turns in a fixed order."""
import pytest
import torch

from tlutils.selfsup import rotation_batch


def test_four_turns_of_a_square_written_out():
    turned, quarter = rotation_batch(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert turned[:, 0].tolist() == [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]
    assert quarter.tolist() == [0, 1, 2, 3]


def test_turning_back_by_the_label_gives_the_image():
    images = torch.randn(5, 3, 8, 8)
    turned, quarter = rotation_batch(images)
    back = torch.stack([x.rot90(-int(k), (1, 2)) for x, k in zip(turned, quarter, strict=True)])
    assert torch.equal(back, images.repeat(4, 1, 1, 1)) and torch.equal(turned[:5], images)


@pytest.mark.parametrize("shape", [(2, 1, 8, 6), (1, 8, 8), (0, 1, 8, 8)])
def test_bad_shapes(shape):
    with pytest.raises(ValueError, match=r"images must be \(n, c, s, s\)"):
        rotation_batch(torch.zeros(shape))
