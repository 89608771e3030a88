"""Probe, fine-tune, scratch: each does what its name says, and the probe minimises what it claims to."""
import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tlutils import models
from tlutils.experiments import few_labels

SMALL = few_labels.Config(n_source_classes=4, n_source=80, source_steps=8, n_test=40, labels_per_class=(2, 4),
                          steps=(3, 3), batch_size=16)


@pytest.fixture(scope="module")
def source():
    return few_labels.source(SMALL, seed=0)


@pytest.fixture(scope="module")
def digits(source):
    return few_labels.target("digits", SMALL, 0, source[1])


def body(model):
    return torch.cat([p.detach().flatten() for block in model[:-1] for p in block.parameters()])


@pytest.mark.parametrize("name", ["similar", "symbols", "texture", "digits"])
def test_targets_are_balanced_and_fit_the_network(source, name):
    x, y, x_test, y_test = few_labels.target(name, SMALL, 0, source[1])
    assert x.shape[1:] == x_test.shape[1:] == (1, 24, 24)
    assert torch.bincount(y).min() >= max(SMALL.labels_per_class)
    assert y.unique().tolist() == y_test.unique().tolist() == list(range(10))


def test_similar_letters_were_never_seen_by_the_source():
    full = few_labels.LAPTOP
    letters = np.random.default_rng(3).permutation(few_labels.data.glyph_classes("letters"))
    quick = dataclasses.replace(full, n_source=120, source_steps=1)
    assert not set(few_labels.source(quick, seed=3)[1]) & set(letters[: full.n_source_classes])


def test_scratch_owes_nothing_to_the_source(source, digits):
    x, y = digits[0][:30], digits[1][:30]
    other = models.conv8(4)
    a, b = (few_labels.trained("scratch", net, x, y, 3, SMALL, 0) for net in (source[0], other))
    assert torch.equal(body(a), body(b))


def test_partial_keeps_its_first_blocks_and_the_others_move(source, digits):
    x, y = digits[0][:30], digits[1][:30]
    model = few_labels.trained("partial", source[0], x, y, 3, SMALL, 0)
    same = [all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
            for a, b in zip(model[:-1], source[0][:-1], strict=True)]
    assert same == [True] * SMALL.partial + [False] * (7 - SMALL.partial)


def test_a_slow_body_moves_less_and_the_source_not_at_all(source, digits):
    x, y = digits[0][:30], digits[1][:30]
    before = copy.deepcopy(body(source[0]))
    moved = {how: (body(few_labels.trained(how, source[0], x, y, 3, SMALL, 0)) - before).norm()
             for how in ("fine-tune", "slow body")}
    assert 0 < moved["slow body"] < 0.3 * moved["fine-tune"]
    assert torch.equal(body(source[0]), before)


def test_all_ways_start_from_the_same_head(source, digits):
    x, y = digits[0][:30], digits[1][:30]
    still = dataclasses.replace(SMALL, lr=1e-9, body_lr=1e-9)
    heads = [few_labels.trained(how, source[0], x, y, 1, still, 0).head.weight
             for how in ("scratch", "fine-tune", "slow body", "partial")]
    for head in heads[1:]:
        torch.testing.assert_close(head, heads[0])


def test_the_softmax_probe_minimises_the_penalised_cross_entropy():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(60, 5)), np.arange(60) % 3
    z += y[:, None] * np.array([1.0, -1, 0, 0, 0])
    inputs, truth = torch.from_numpy((z - z.mean(0)) / z.std(0)), torch.from_numpy(y)
    w = torch.zeros(6, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def loss():
        optimizer.zero_grad()
        value = F.cross_entropy(inputs @ w[:5] + w[5], truth, reduction="sum") + w[:5].square().sum() / (2 * 0.1)
        value.backward()
        return value

    optimizer.step(loss)
    test = rng.normal(size=(500, 5)) * 2
    guess = (torch.from_numpy((test - z.mean(0)) / z.std(0)) @ w[:5] + w[5]).argmax(1).numpy()
    assert few_labels.linear_probe(z, y, test, guess) >= 0.996  # the solver stops early: a point or two on a border


@pytest.mark.parametrize("kind", ["softmax", "svm"])
def test_a_probe_separates_what_can_be_separated(kind):
    z, y = np.repeat(np.eye(3), 10, 0), np.repeat(np.arange(3), 10)
    assert few_labels.linear_probe(z, y, z, y, C=10.0, kind=kind) == 1


def test_probe_features_are_pixels_at_zero_and_pooled_maps_above(source, digits):
    x = digits[0][:4]
    np.testing.assert_array_equal(few_labels.probe_features(source[0], x, 0), x.flatten(1).cpu().numpy())
    assert few_labels.probe_features(source[0], x, 2).shape == (4, 24 * 9)
    assert few_labels.probe_features(source[0], x, 7).shape == (4, 64)


def test_one_small_run_skips_sizes_that_a_target_does_not_have():
    config = dataclasses.replace(SMALL, targets=("digits",), labels_per_class=(2, 500), probe_layers=(2, 7))
    rows = few_labels.run(config, seed=1)
    assert {row["labels_per_class"] for row in rows} == {2}
    assert {row["method"] for row in rows} == {"probe 2", "probe 7", "random 2", "random 7", "pixels", "svm", "scratch",
                                               "fine-tune", "slow body", "partial"}
    assert all(0 <= row["value"] <= 1 for row in rows)


def test_guards(source):
    with pytest.raises(ValueError, match="target must be .* got 'faces'"):
        few_labels.target("faces", SMALL, 0, source[1])
    with pytest.raises(ValueError, match="how must be .* got 'gently'"):
        few_labels.trained("gently", source[0], torch.zeros(2, 1, 24, 24), torch.tensor([0, 1]), 1, SMALL, 0)
    with pytest.raises(ValueError, match="kind must be .* got 'tree'"):
        few_labels.linear_probe(np.eye(2), [0, 1], np.eye(2), [0, 1], kind="tree")


def test_the_larger_scale_is_the_same_experiment_on_photographs(monkeypatch, real_root):
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    config = dataclasses.replace(few_labels.at_scale(few_labels.LAPTOP), n_source=120, source_steps=2, widths=(4,) * 6,
                                 labels_per_class=(5,), steps=(2,), n_test=50, probe_layers=(2, 7))
    names = {row["target"] for row in few_labels.run(config, seed=0)}
    assert config.world == "photographs" and names == {"similar", "digits", "symbols", "texture"}
    with pytest.raises(ValueError, match="no class"):
        few_labels.pictures(config, ["unicorn"], 10, 0)
    with pytest.raises(ValueError, match="world must be"):
        few_labels.pictures(dataclasses.replace(config, world="sounds"), ["bark"], 10, 0)


def test_the_laptop_scale_is_the_default(monkeypatch):
    monkeypatch.setenv("TLUTILS_SCALE", "laptop")
    assert few_labels.at_scale(few_labels.LIVE) is few_labels.LIVE
