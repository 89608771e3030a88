"""Contrast: gradients flow past the queue, no label is touched, and each variant changes what it names."""
import dataclasses
import math

import pytest
import torch
from torch import nn

from tlutils.experiments import contrast, pretexts, pretraining

TINY = contrast.Config(n_pool=240, n_classes=4, n_other=6, n_labelled=8, n_test=40, steps=3, views_per_step=32, dim=8,
                       widths=(4, 8, 8), n_features=16, labels_per_class=(5, 8), tune_steps=2, tune_batch=8, queue=64,
                       methods=("random", "SimCLR", "MoCo"), tuned=("random",), long_scratch=2)


@pytest.fixture(scope="module")
def images():
    return pretraining.pool(TINY, 0)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("name", [name for name in contrast.METHODS if not name.startswith("random")])
def test_no_label_of_the_target_is_touched_and_all_learn(images, name):
    here = dataclasses.replace(TINY, **{k: v for k, v in contrast.METHODS[name].items() if k != "steps"})
    poisoned = dataclasses.replace(images, y_labelled=images.y_labelled * 0 - 7, y_test=images.y_test * 0 - 7)
    found = [contrast.pretrained(here, one, 0) for one in (images, poisoned)]
    assert found[0][2] == found[1][2] and len(found[0][2]) == 3
    assert torch.equal(weights(found[0][0]), weights(found[1][0]))
    assert not torch.equal(weights(found[0][0]), weights(pretraining.random_encoder(here, 0)))


def test_moco_reads_the_queue_before_it_writes_and_follows_slowly(images):
    torch.manual_seed(0)
    model = nn.Sequential(*contrast.encoder_and_projection(TINY))
    loss = contrast.MoCoLoss(model, TINY, len(images.x))
    before = loss.queue.keys.clone()
    value = loss(model.train(), (pretraining.two_views(images.x[:16], torch.Generator(images.x.device), TINY), None))
    value.backward()                                            # would raise if push had written into the graph
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert not torch.equal(loss.queue.keys[:32], before[:32]) and torch.equal(loss.queue.keys[32:], before[32:])
    assert not any(p.requires_grad for p in loss.slow.parameters())


def test_pull_only_is_satisfied_by_a_constant(images):
    constant = nn.Linear(4, 3)
    nn.init.zeros_(constant.weight)
    batch = ((torch.randn(6, 4), torch.randn(6, 4)), None)
    assert contrast.pull_loss(constant, batch).item() == pytest.approx(0, abs=1e-6)
    assert contrast.simclr_loss(constant, batch, tau=0.2).item() == pytest.approx(math.log(11), abs=1e-5)


def test_spread_of_one_direction_and_of_all():
    assert contrast.spread(torch.ones(50, 8)) == pytest.approx(0, abs=1e-6)
    assert contrast.spread(torch.randn(5000, 8)) == pytest.approx(1, abs=0.02)


def test_tint_names_the_largest_channel():
    x = torch.zeros(3, 3, 4, 4)
    x[0, 2], x[1, 0], x[2, 1] = 1, 1, 1
    assert contrast.tint(x).tolist() == [2, 0, 1]


def test_run_gives_every_number_of_every_method():
    rows = contrast.run(TINY, 0)
    keys = {(row["method"], row["metric"], row["reader"], row["labels_per_class"]) for row in rows}
    assert len(keys) == len(rows) and all(math.isfinite(row["value"]) for row in rows)
    assert ("random", "accuracy", "scratch, long", 5) in keys and ("SimCLR", "accuracy", "probe z", 8) in keys
    assert ("MoCo", "spread of z", "", 0) in keys and ("MoCo", "loss", "", 0) in keys
    assert ("random", "accuracy", "probe z", 8) not in keys
    assert not [key for key in keys if key[0] == "SimCLR" and key[2] == "fine-tune"]


def test_repainted_pictures_have_no_colour_and_even_ones_no_brightness(images):
    assert contrast.repainted(images, "colour") is images
    for paint in ("grey", "even"):
        done = contrast.repainted(images, paint)
        for x in (done.x, done.x_labelled, done.x_test):
            assert torch.equal(x[:, 0], x[:, 1]) and torch.equal(x[:, 0], x[:, 2])
    torch.testing.assert_close(done.x.mean((2, 3)), torch.zeros_like(done.x[:, :, 0, 0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(done.x.std((2, 3)), torch.full_like(done.x[:, :, 0, 0], 0.8))
    with pytest.raises(ValueError, match="'sepia'"):
        contrast.repainted(images, "sepia")


def test_controls_judge_pictures_in_their_own_paint_and_fine_tune_on_views(images):
    methods = ("random in views", "random, grey", "crop only, even")
    rows = contrast.run(dataclasses.replace(TINY, methods=methods, tuned=("random in views",)), 0)
    readers = {(row["method"], row["reader"]) for row in rows}
    assert ("random in views", "fine-tune") in readers and ("random, grey", "fine-tune") not in readers
    assert ("random, grey", "probe") in readers and ("random, grey", "tint h") not in readers
    f = pretraining.random_encoder(TINY, 0)
    plain, views = (pretraining.fine_tuned(f, dataclasses.replace(TINY, tune_views=v), images, 5, 0) for v in (0, 1))
    assert not torch.equal(weights(plain), weights(views))


@pytest.mark.parametrize("name", contrast.PRETEXTS)
def test_tasks_of_chapter_6_are_trained_by_its_code_with_steps_and_views_of_this_one(images, name):
    here = dataclasses.replace(TINY, **contrast.METHODS[name])
    shared = pretexts.Config(**{field.name: getattr(TINY, field.name) for field in dataclasses.fields(TINY)
                                if field.name in pretexts.Config.__dataclass_fields__})
    f, g, losses = contrast.pretrained(here, images, 0)
    theirs, same, _ = pretexts.pretrained(name, shared, images, 0)
    assert g is None and losses == same and len(losses) == TINY.steps
    assert torch.equal(weights(f), weights(theirs))


def test_pretexts_are_judged_like_the_other_kinds():
    methods, tuned = contrast.OTHERS.methods, contrast.OTHERS.tuned
    assert dataclasses.replace(contrast.OTHERS, methods=contrast.KINDS.methods, tuned=contrast.KINDS.tuned,
                               long_scratch=contrast.KINDS.long_scratch) == contrast.KINDS
    found = {(row["method"], row["metric"], row["reader"], row["labels_per_class"])
             for row in contrast.run(dataclasses.replace(TINY, methods=methods, tuned=tuned), 0)}
    for name in ("imputation", "pair"):
        for reader in ("probe", "fine-tune", "fit"):
            assert {(name, "accuracy", reader, n) for n in (5, 8)} <= found
        assert (name, "loss", "", 0) in found and (name, "accuracy", "probe z", 8) not in found


def test_another_kind_is_named(images):
    with pytest.raises(ValueError, match="'magic'"):
        contrast.pretrained(dataclasses.replace(TINY, kind="magic"), images, 0)


def test_a_larger_scale(monkeypatch):
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    assert contrast.live().world == "photographs" and contrast.live().tau == contrast.LIVE.tau
