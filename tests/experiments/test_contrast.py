"""Contrast: no label is touched, each variant changes what it names, and all are judged alike."""
import dataclasses
import math

import pytest
import torch

from tlutils import env, pretraining, train
from tlutils.experiments import contrast, pretexts

TINY = contrast.Config(n_pool=240, n_classes=4, n_other=6, n_labelled=8, n_test=40, steps=3, views_per_step=32, dim=8,
                       widths=(4, 8, 8), n_features=16, labels_per_class=(5, 8), tune_steps=2, tune_batch=8, queue=64,
                       methods=("random", "SimCLR", "MoCo"), tuned=("random",), long_scratch=2)


@pytest.fixture(scope="module")
def images():
    return contrast.data(TINY, 0)["pool"]


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("name", [name for name in contrast.METHODS if not name.startswith("random")])
def test_no_label_of_the_target_is_touched_and_all_learn(images, name):
    here = dataclasses.replace(TINY, **{k: v for k, v in contrast.METHODS[name].items() if k != "steps"})
    poisoned = dataclasses.replace(images, y_labelled=images.y_labelled * 0 - 7, y_test=images.y_test * 0 - 7)
    found = [contrast.pretrained(here, one, 0) for one in (images, poisoned)]
    assert found[0][2] == found[1][2] and len(found[0][2]) == 3
    assert torch.equal(weights(found[0][0]), weights(found[1][0]))
    assert not torch.equal(weights(found[0][0]), weights(contrast.encoder(here, 0)))


def test_tint_names_the_largest_channel():
    x = torch.zeros(3, 3, 4, 4)
    x[0, 2], x[1, 0], x[2, 1] = 1, 1, 1
    assert contrast.tint(x).tolist() == [2, 0, 1]


def test_run_gives_every_number_of_every_method():
    rows = contrast.run(TINY, 0)
    keys = {(row["method"], row["metric"], row.get("reader"), row.get("labels_per_class")) for row in rows}
    assert len(keys) == len(rows) and all(math.isfinite(row["value"]) for row in rows)
    assert ("random", "accuracy", "scratch, long", 5) in keys and ("SimCLR", "accuracy", "probe z", 8) in keys
    assert ("MoCo", "spread", None, None) in keys and ("MoCo", "loss", None, None) in keys
    assert ("random", "accuracy", "probe z", 8) not in keys
    assert not [key for key in keys if key[0] == "SimCLR" and key[2] == "fine-tune"]


def test_controls_judge_pictures_in_their_own_paint_and_fine_tune_on_views(images):
    methods = ("random in views", "random, grey", "crop only, even")
    rows = contrast.run(dataclasses.replace(TINY, methods=methods, tuned=("random in views",)), 0)
    readers = {(row["method"], row.get("reader")) for row in rows}
    assert ("random in views", "fine-tune") in readers and ("random, grey", "fine-tune") not in readers
    assert ("random, grey", "probe") in readers and ("random, grey", "tint h") not in readers
    f = contrast.encoder(TINY, 0)
    plain, views = (contrast.fine_tuned(f, dataclasses.replace(TINY, tune_views=v), images, 5, 0) for v in (0, 1))
    assert not torch.equal(weights(plain), weights(views))


@pytest.mark.parametrize("name", pretraining.TASKS)
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
    found = {(row["method"], row["metric"], row.get("reader"), row.get("labels_per_class"))
             for row in contrast.run(dataclasses.replace(TINY, methods=methods, tuned=tuned), 0)}
    for name in ("imputation", "pair"):
        for metric, reader in (("accuracy", "probe"), ("accuracy", "fine-tune"), ("train_accuracy", "fine-tune")):
            assert {(name, metric, reader, n) for n in (5, 8)} <= found
        assert (name, "loss", None, None) in found and (name, "accuracy", "probe z", 8) not in found


def test_another_kind_is_named(images):
    with pytest.raises(ValueError, match="'magic'"):
        contrast.pretrained(dataclasses.replace(TINY, kind="magic"), images, 0)


def test_a_larger_scale(monkeypatch):
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    live = env.pick(contrast.LIVE, contrast.FULL)
    assert live.world == "photographs" and live.tau == contrast.LIVE.tau
    assert (live.lr, live.tune_steps, live.labels_per_class) == (2e-3, 1000, (100,))
    monkeypatch.setenv("TLUTILS_SCALE", "laptop")
    assert env.pick(contrast.LIVE, contrast.FULL) is contrast.LIVE


def test_probes_do_not_change_what_they_read_and_test_labels_change_no_choice(images):
    f = contrast.encoder(TINY, 0).eval()
    before = weights(f).clone()
    found = contrast.frozen(f, None, TINY, images, 0)
    assert set(found) == {("probe", 5), ("probe", 8), ("knn", 8), ("tint h", 8)}
    assert all(0 <= v <= 1 for v in found.values()) and found["probe", 5] == contrast.probed(f, images, 5, 0)
    assert torch.equal(before, weights(f))
    keep = images.few(3, 0)
    assert torch.bincount(images.y_labelled[keep]).tolist() == [3] * 4


def test_fine_tuning_starts_from_the_encoder_and_leaves_it(images):
    f = contrast.encoder(TINY, 0).eval()
    before = weights(f).clone()
    model = contrast.fine_tuned(f, TINY, images, 3, 0)
    assert torch.equal(before, weights(f)) and list(dict(model.named_children()))[-1] == "head"
    still = dataclasses.replace(TINY, tune_lr=1e-12)
    same = contrast.fine_tuned(f, still, images, 3, 0)
    torch.testing.assert_close(weights(same[:-1]), before, atol=1e-9, rtol=0)
    other = contrast.fine_tuned(contrast.encoder(TINY, 1), still, images, 3, 0)
    assert not torch.allclose(weights(other[:-1]), before) and torch.equal(weights(same[-1]), weights(other[-1]))
    assert 0 <= train.evaluate(model, images.x_test, images.y_test) <= 1
