"""What chapters 6 and 7 share: every kind of pretraining sees what it may see, and all are judged alike."""
import dataclasses

import pytest
import torch
from torch import nn

from tlutils import train
from tlutils.experiments import pretraining

TINY = pretraining.Config(n_pool=240, n_classes=4, n_other=6, n_labelled=6, n_test=40, steps=3, views_per_step=32,
                          widths=(4, 8, 8), n_features=16, labels_per_class=(3, 6), tune_steps=3, tune_batch=8)


@pytest.fixture(scope="module")
def images():
    return pretraining.pool(TINY, 0)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_pool_labels_and_test_are_different_pictures_of_the_right_classes(images):
    assert images.x.shape == (240, 3, 24, 24) and images.x_labelled.shape == (24, 3, 24, 24)
    assert set(images.other.tolist()) == {-1, *range(6)} and (images.other < 0).sum() == 96
    assert set(images.y_test.tolist()) == set(images.y_labelled.tolist()) == set(range(4))
    seen = {picture.sum().item() for part in (images.x, images.x_labelled, images.x_test) for picture in part}
    assert len(seen) == 240 + 24 + 40
    assert not torch.equal(images.x, pretraining.pool(TINY, 1).x)


@pytest.mark.parametrize("wrong", [{"world": "clouds"}, {"n_classes": 99}, {"n_other": 99}])
def test_worlds_and_classes_that_do_not_exist(wrong):
    with pytest.raises(ValueError, match="must be"):
        pretraining.pool(dataclasses.replace(TINY, **wrong), 0)


def test_encoder_is_taken_apart_by_name():
    f = pretraining.encoder(TINY)
    assert [name for name, _ in f.named_children()] == ["conv1", "conv2", "conv3", "fc"]
    assert f(torch.zeros(2, 3, 24, 24, device=next(f.parameters()).device)).shape == (2, 16)


@pytest.mark.parametrize("kind", [pretraining.pretrain_rotation, pretraining.pretrain_supervised])
def test_no_label_of_the_target_is_touched(images, kind):
    poisoned = dataclasses.replace(images, y_labelled=images.y_labelled * 0 - 7, y_test=images.y_test * 0 - 7)
    (f, losses), (g, again) = (kind(TINY, one, 0) for one in (images, poisoned))
    assert losses == again and len(losses) == 3 and torch.equal(weights(f), weights(g))
    assert not torch.equal(weights(f), weights(kind(TINY, images, 1)[0]))


def test_supervised_sees_other_classes_alone_and_rotation_no_label(images):
    blank = dataclasses.replace(images, x=torch.where((images.other < 0)[:, None, None, None], 0.0, images.x))
    ours, theirs = (pretraining.pretrain_supervised(TINY, one, 0)[0] for one in (images, blank))
    assert torch.equal(weights(ours), weights(theirs))
    unlabelled = dataclasses.replace(images, other=images.other * 0)
    ours, theirs = (pretraining.pretrain_rotation(TINY, one, 0)[0] for one in (images, unlabelled))
    assert torch.equal(weights(ours), weights(theirs))


def test_every_kind_sees_as_many_views_a_step(images):
    seen = []

    def counting(model, batch):
        seen.append(len(torch.cat(batch[0])))
        return model(torch.cat(batch[0])).square().mean()

    f = pretraining.encoder(TINY)
    pretraining.pretrain(f, counting, TINY, images.x, None, 0)
    assert seen == [32, 32, 32]
    batch = ((images.x[:4], images.x[4:8]), None)
    turned = []
    model = nn.Sequential(f, nn.Linear(16, 4).to(images.x.device))
    model.register_forward_pre_hook(lambda module, x: turned.append(len(x[0])))
    pretraining.rotation_loss(model, batch)
    assert turned == [32]


def test_probes_do_not_change_what_they_read_and_test_labels_change_no_choice(images):
    f = pretraining.random_encoder(TINY, 0)
    before = weights(f).clone()
    found = pretraining.probes(f, TINY, images, 0)
    assert set(found) == {("probe", 3), ("probe", 6), ("knn", 6)} and all(0 <= v <= 1 for v in found.values())
    assert torch.equal(before, weights(f))
    keep = pretraining.few(TINY, images, 3, 0)
    assert torch.bincount(images.y_labelled[keep]).tolist() == [3] * 4


def test_fine_tuning_starts_from_the_encoder_and_leaves_it(images):
    f = pretraining.random_encoder(TINY, 0)
    before = weights(f).clone()
    model = pretraining.fine_tuned(f, TINY, images, 3, 0)
    assert torch.equal(before, weights(f)) and list(dict(model.named_children()))[-1] == "head"
    still = dataclasses.replace(TINY, tune_lr=1e-12)
    same = pretraining.fine_tuned(f, still, images, 3, 0)
    torch.testing.assert_close(weights(same[:-1]), before, atol=1e-9, rtol=0)
    other = pretraining.fine_tuned(pretraining.random_encoder(TINY, 1), still, images, 3, 0)
    assert not torch.allclose(weights(other[:-1]), before) and torch.equal(weights(same[-1]), weights(other[-1]))
    assert 0 <= train.evaluate(model, images.x_test, images.y_test) <= 1


def test_rows_name_method_seed_and_labels():
    (row,) = pretraining.rows("SimCLR", 3, {("probe", 5): 0.5}, tau=0.2)
    assert row["method"] == "SimCLR" and row["seed"] == 3 and row["labels_per_class"] == 5 and row["tau"] == 0.2


def test_a_larger_scale_asks_for_photographs(monkeypatch):
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    assert pretraining.at_scale(TINY).world == "photographs"
    monkeypatch.setenv("TLUTILS_SCALE", "laptop")
    assert pretraining.at_scale(TINY) is TINY
