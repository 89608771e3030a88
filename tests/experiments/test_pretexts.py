"""Pretext tasks: the answers that they invent are right, no label is read, and probes ask what they say."""
import dataclasses

import numpy as np
import pytest
import torch

from tlutils import data
from tlutils.experiments import pretexts, pretraining

SMALL = pretexts.Config(n_pool=60, n_classes=3, n_other=3, n_labelled=8, n_test=24, n_probe=8, steps=2,
                        views_per_step=16, widths=(4, 4, 8), n_features=8)


@pytest.fixture(scope="module")
def images():
    return pretraining.pool(SMALL, seed=0)


def where(n=64, s=24):
    """Return images whose first channel is the column and whose second is the row of each pixel."""
    row, column = torch.meshgrid(torch.arange(s), torch.arange(s), indexing="ij")
    return torch.stack([column, row, row])[None].repeat(n, 1, 1, 1).float()


@pytest.mark.parametrize("size", [4, 10, 12])
def test_the_second_piece_lies_where_the_answer_says(size):
    x = where()
    (first, second), answer = pretexts.pair_batch(x, x, size, torch.Generator().manual_seed(0))
    right, down = (second - first).mean((2, 3))[:, :2].T
    assert set(answer.tolist()) == {0, 1, 2, 3}
    for step, expected in ((right, (1, 0, -1, 0)), (down, (0, -1, 0, 1))):
        expected = torch.tensor(expected)[answer]
        assert (step - 12 * expected).abs().max() <= 12 - size


def test_pieces_stay_inside_of_their_quarter_and_are_enlarged():
    x = where()
    for piece in pretexts.pair_batch(x, x, 10)[0]:
        assert piece.shape == x.shape
        low, high = piece.amin((2, 3)), piece.amax((2, 3))
        torch.testing.assert_close(high - low, torch.full_like(low, 9))
        assert (low // 12 == high // 12).all()


def test_a_whole_quarter_is_that_quarter_enlarged():
    x = torch.randn(40, 3, 24, 24)
    (first, _), answer = pretexts.pair_batch(x, x, 12, torch.Generator().manual_seed(0))
    quarters = [x[:, :, i:i + 12, j:j + 12] for i in (0, 12) for j in (0, 12)]
    near = torch.stack([(torch.nn.functional.interpolate(q, 24, mode="bilinear") - first).abs().amax((1, 2, 3))
                        for q in quarters])
    assert near.amin(0).max() < 1e-6
    allowed = {0: {0, 2}, 1: {2, 3}, 2: {1, 3}, 3: {0, 1}}                     # of the four quarters, row by row
    assert all(quarter in allowed[a] for quarter, a in zip(near.argmin(0).tolist(), answer.tolist(), strict=True))


def test_the_pair_shares_its_encoder_and_knows_which_is_first():
    f = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5))
    model = pretexts.Siamese(f, 5, 4)
    x = torch.randn(2, 6, 3, 2, 2)
    torch.testing.assert_close(model(tuple(x)), model.r(torch.cat([f(x[0]), f(x[1])], 1)))
    assert not torch.allclose(model((x[0], x[1])), model((x[1], x[0])))


def test_a_decoder_gives_an_image_back():
    f = pretraining.encoder(SMALL)
    assert pretexts.decoder(SMALL)(f(torch.zeros(2, 3, 24, 24))).shape == (2, 3, 24, 24)


@pytest.mark.parametrize("method", pretexts.METHODS)
def test_no_label_and_no_test_image_is_read(images, method):
    poisoned = dataclasses.replace(images, x_labelled=images.x_labelled + 9, y_labelled=images.y_labelled * 0,
                                   x_test=images.x_test * torch.nan, y_test=images.y_test * 0 - 7,
                                   other=images.other if method == "supervised" else images.other * 0 - 1)
    f, g = (pretexts.pretrained(method, SMALL, pool, 0)[0] for pool in (images, poisoned))
    for a, b in zip(f.state_dict().values(), g.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_every_task_moves_the_encoder(images):
    start = torch.cat([p.flatten() for p in pretexts.pretrained("random", SMALL, images, 0)[0].parameters()])
    for method in pretexts.METHODS[1:]:
        f, losses, _ = pretexts.pretrained(method, SMALL, images, 0)
        assert len(losses) == SMALL.steps
        assert not torch.allclose(start, torch.cat([p.flatten() for p in f.parameters()]))


def test_questions_are_about_the_same_images(images):
    asked = pretexts.questions(SMALL, images, 0)
    x, y, x_test, _ = asked["class"]
    assert torch.bincount(y).tolist() == [8] * 3
    assert torch.equal(x, asked["ink"][0]) and torch.equal(x_test, images.x_test)
    turned, quarter = asked["turn"][:2]
    back = torch.stack([image.rot90(-int(k), (1, 2)) for image, k in zip(turned, quarter, strict=True)])
    assert torch.equal(back, x) and quarter.min() >= 0 and quarter.max() <= 3
    letters = data.glyph_classes("latin")[:3]
    _, labels, drawn = data.colour_glyphs(letters, 24, 2, return_attributes=True)       # the test images of seed 0
    assert np.array_equal(labels, images.y_test.cpu())
    bits = torch.stack([asked["ink"][3] // 4 % 2, asked["ink"][3] // 2 % 2, asked["ink"][3] % 2], 1)
    assert np.array_equal(bits.numpy() == 1, drawn["ink"] > 0.5)


def test_ink_and_ground_are_the_colours_of_a_picture():
    images, _, drawn = data.colour_glyphs("■", 30, 0, noise=0, gradient=0, return_attributes=True)
    np.testing.assert_allclose(images[:, 12, 12] / 255, drawn["ink"], atol=0.03)
    np.testing.assert_allclose(images[:, 0, 0] / 255, drawn["ground"], atol=0.03)


def test_one_small_run_has_all_rows():
    rows = pretexts.run(SMALL, seed=1)
    accuracy = [row for row in rows if row["metric"] == "accuracy"]
    assert len(accuracy) == len(pretexts.METHODS) * 3 * 4
    assert {row["layer"] for row in accuracy} == {"conv1", "conv2", "conv3", "fc"}
    assert all(0 <= row["value"] <= 1 for row in accuracy)
    assert {row["method"] for row in rows if row["metric"] == "loss"} == set(pretexts.METHODS[1:])


def test_the_larger_scale_asks_the_same_questions_of_photographs(monkeypatch, real_root):
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    config = dataclasses.replace(pretexts.live(), n_pool=200, n_classes=3, n_other=3, n_labelled=30, n_test=12,
                                 n_probe=30, steps=1, views_per_step=16, widths=(4, 4, 8), n_features=8)
    images = pretraining.pool(config, 0)
    asked = pretexts.questions(config, images, 0)
    assert asked["ink"][1].max() < 8 and asked["turn"][0].shape[1:] == (3, 32, 32)
    for method in ("pair", "imputation"):
        assert pretexts.probed(pretexts.pretrained(method, config, images, 0)[0], asked, 0)["class", "fc"] >= 0


def test_guards(images):
    with pytest.raises(ValueError, match="method must be one of .* got 'jigsaw'"):
        pretexts.pretrained("jigsaw", SMALL, images, 0)
    with pytest.raises(ValueError, match="size 13"):
        pretexts.pair_batch(images.x[:4], images.x[:4], 13)
