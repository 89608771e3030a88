"""Probe, fine-tune, scratch: each does what its name says."""
import copy
import dataclasses

import pytest
import torch

from tlutils import env, models, worlds
from tlutils.experiments import few_labels

SMALL = few_labels.Config(n_source_classes=4, n_source=80, source_steps=8, n_test=40, labels_per_class=(2, 4),
                          steps=(3, 3), batch_size=16)


@pytest.fixture(scope="module")
def source():
    return worlds.source_network(SMALL, seed=0)


@pytest.fixture(scope="module")
def digits(source):
    task = worlds.target("digits", SMALL, 0, source[1], most=4)
    return task.x[:30], task.y[:30]


def body(model):
    return torch.cat([p.detach().flatten() for block in model[:-1] for p in block.parameters()])


def test_scratch_owes_nothing_to_the_source(source, digits):
    other = models.conv8(4)
    a, b = (few_labels.trained("scratch", net, *digits, steps=3, seed=0, batch_size=16) for net in (source[0], other))
    assert torch.equal(body(a), body(b))


def test_partial_keeps_its_first_blocks_and_the_others_move(source, digits):
    model = few_labels.trained("partial", source[0], *digits, steps=3, seed=0, batch_size=16)
    same = [all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
            for a, b in zip(model[:-1], source[0][:-1], strict=True)]
    assert same == [True] * SMALL.partial + [False] * (7 - SMALL.partial)


def test_a_slow_body_moves_less_and_the_source_not_at_all(source, digits):
    before = copy.deepcopy(body(source[0]))
    moved = {how: (body(few_labels.trained(how, source[0], *digits, steps=3, seed=0, batch_size=16)) - before).norm()
             for how in ("fine-tune", "slow body")}
    assert 0 < moved["slow body"] < 0.3 * moved["fine-tune"]
    assert torch.equal(body(source[0]), before)


def test_all_ways_start_from_the_same_head(source, digits):
    heads = [few_labels.trained(how, source[0], *digits, steps=1, seed=0, lr=1e-9, body_lr=1e-9).head.weight
             for how in few_labels.WAYS]
    for head in heads[1:]:
        torch.testing.assert_close(head, heads[0])


def test_one_small_run_skips_sizes_that_a_target_does_not_have():
    config = dataclasses.replace(SMALL, targets=("digits",), labels_per_class=(2, 500), probe_layers=(2, 7))
    rows = few_labels.run(config, seed=1)
    assert {row["labels_per_class"] for row in rows} == {2}
    assert {row["method"] for row in rows} == {"probe 2", "probe 7", "random 2", "random 7", "pixels", "svm", "scratch",
                                               "fine-tune", "slow body", "partial"}
    assert all(0 <= row["value"] <= 1 for row in rows)


def test_a_way_that_is_none(source):
    with pytest.raises(ValueError, match="how must be .* got 'gently'"):
        few_labels.trained("gently", source[0], torch.zeros(2, 1, 24, 24), torch.tensor([0, 1]), steps=1, seed=0)


def test_the_larger_scale_is_the_same_experiment_on_photographs(monkeypatch, real_root):
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    config = dataclasses.replace(env.pick(few_labels.LAPTOP, few_labels.FULL), n_source=120, source_steps=2,
                                 widths=(4,) * 6, labels_per_class=(5,), steps=(2,), n_test=50, probe_layers=(2, 7))
    names = {row["target"] for row in few_labels.run(config, seed=0)}
    assert config.world == "photographs" and names == {"similar", "digits", "symbols", "texture"}
