"""Photographs and borrowed networks, tried on a folder of made-up pictures."""
import numpy as np
import pytest
import torch

from tlutils import data
from tlutils.worlds import photographs
from tlutils.worlds.photographs import Borrowed

FILED = Borrowed("filed", "squeezenet1_1", "small.pth")


def test_resizing_leaves_the_right_size_alone():
    x = torch.randn(2, 3, 32, 32)
    assert photographs.resized(x, 32) is x and photographs.resized(x, 48).shape == (2, 3, 48, 48)


def test_a_file_of_weights_is_used_and_random_weights_follow_the_seed(photo_root):
    first = photographs.network(FILED, seed=0), photographs.network(FILED, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first[0].parameters(), first[1].parameters(), strict=True))
    noise = [photographs.network(Borrowed("random", "squeezenet1_1"), seed=seed).stem[1].weight for seed in (0, 0, 1)]
    assert torch.equal(noise[0], noise[1]) and not torch.equal(noise[0], noise[2])


def test_codes_do_not_depend_on_how_the_images_are_parted(photo_root):
    model = photographs.network(FILED, seed=0)
    images = data.image_folder(photo_root / photographs.FOLDER, 48).train_images
    many = photographs.codes(model, np.concatenate([images] * 5))  # 60 images: two parts
    np.testing.assert_allclose(many[:12], photographs.codes(model, images), rtol=1e-4, atol=1e-4)
    assert many.shape == (60, 512)


def test_fine_tuning_moves_weights_and_leaves_the_statistics(photo_root):
    source = Borrowed("mobile", "mobilenet_v2")
    x, y = torch.randn(6, 3, 48, 48), torch.arange(6) % 2
    before, after = photographs.network(source, 0, 2), photographs.fine_tuned(
        source, x, y, steps=2, batch_size=4, lr=2e-3, body_lr=1e-4, seed=0)
    moved = {name for (name, a), b in zip(before.state_dict().items(), after.state_dict().values(), strict=True)
             if not torch.equal(a, b)}
    assert any(name.endswith("weight") for name in moved)
    assert not any("running" in name or "tracked" in name for name in moved)


def test_missing_photographs_say_where_they_come_from(photo_root, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("TLUTILS_DATA", str(tmp_path_factory.mktemp("empty")))
    photographs.ants_and_bees.cache_clear()
    with pytest.raises(FileNotFoundError, match="hymenoptera_data: fetch https://download.pytorch.org"):
        photographs.ants_and_bees(32)
    with pytest.raises(FileNotFoundError, match="no weights of 'gone' at .*absent.pth"):
        photographs.network(Borrowed("gone", "squeezenet1_1", "absent.pth"), seed=0)
