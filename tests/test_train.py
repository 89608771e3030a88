"""Train: the loop learns, repeats itself to the bit, respects what is frozen, and stops at a bad loss."""
import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tlutils import data, models, surgery, train

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def blobs(n=200, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 2
    return (torch.randn(n, 4, generator=generator) + 4 * y[:, None]).to(device), y.to(device)


def small(device="cpu"):
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU()), nn.Linear(16, 2)).to(device)


def run(model, steps=60, seed=0, x=None, y=None, **options):
    x, y = blobs(device=next(model.parameters()).device) if x is None else (x, y)
    optimizer, scheduler = train.adamw([p for p in model.parameters() if p.requires_grad], 1e-2, steps)
    batches = train.batches(x, y, 32, steps, seed)
    return train.fit(model, batches, train.classify, optimizer, scheduler=scheduler, **options)


def test_fit_learns_and_returns_one_loss_a_step():
    model = small()
    losses = run(model)
    assert len(losses) == 60 and losses[-1] < losses[0] / 5 and not model.training
    assert train.evaluate(model, *blobs()) > 0.97


def test_same_seed_same_bits_other_seed_other():
    assert run(small(), seed=1) == run(small(), seed=1)
    assert run(small(), seed=1) != run(small(), seed=2)


def test_frozen_blocks_do_not_move():
    model = surgery.freeze(small(), 1)
    before = copy.deepcopy(model[0].state_dict())
    run(model)
    assert all(torch.equal(value, before[key]) for key, value in model[0].state_dict().items())


def test_training_on_stored_features_equals_training_through_the_frozen_body():
    x, y = blobs()
    through, stored = surgery.freeze(small(), 1), surgery.freeze(small(), 1)
    run(through)
    run(stored[1:], x=train.features(stored, x, 1), y=y)
    torch.testing.assert_close(through[1].weight, stored[1].weight, rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_not_finite_stops_and_names_the_first_step():
    x, y = blobs(64)
    x[40] = float("inf")
    first = next(k for k, (batch, _) in enumerate(train.batches(x, y, 4, 40, seed=5)) if not batch.isfinite().all())
    optimizer, _ = train.adamw((model := small()).parameters(), 1e-2, 40)
    with pytest.raises(FloatingPointError, match=f"nan at step {first}:"):
        train.fit(model, train.batches(x, y, 4, 40, seed=5), train.classify, optimizer)


def test_fit_wants_at_least_one_batch():
    model = small()
    with pytest.raises(ValueError, match="empty"):
        train.fit(model, [], train.classify, torch.optim.SGD(model.parameters(), 0.1))


def test_batches_visit_every_row_once_an_epoch_and_are_full():
    x = torch.arange(10)
    drawn = [xb for xb, _ in train.batches(x, x, 4, 5, seed=0)]
    assert all(len(b) == 4 for b in drawn)
    seen = torch.cat(drawn)
    assert sorted(seen[:10].tolist()) == list(range(10)) and sorted(seen[10:].tolist()) == list(range(10))


def test_batches_augment_with_their_own_generator():
    x = torch.zeros(10, 1)

    def jitter(batch, generator):
        return batch + torch.randn(batch.shape, generator=generator)

    torch.manual_seed(0)
    a = [xb for xb, _ in train.batches(x, x[:, 0], 5, 2, 0, jitter)]
    torch.manual_seed(1)
    b = [xb for xb, _ in train.batches(x, x[:, 0], 5, 2, 0, jitter)]
    assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True)) and a[0].abs().sum() > 0


@pytest.mark.parametrize("call, says", [
    (lambda x, y: list(train.batches(x, y[:3], 2, 1, 0)), "same length"),
    (lambda x, y: list(train.batches(x[:0], y[:0], 2, 1, 0)), "length > 0"),
    (lambda x, y: list(train.batches(x, y, 0, 1, 0)), "batch_size and steps"),
    (lambda x, y: train.adamw(small().parameters(), 0, 5), "lr must be > 0"),
    (lambda x, y: train.evaluate(small(), x, y[:3]), "same length"),
    (lambda x, y: train.evaluate(small(), x, y + 1), "labels must be in 0..1, got 1..2"),
    (lambda x, y: run(small(), x=x, y=y + 5), "labels must be in 0..1, got 5..6; data.select_classes"),
    (lambda x, y: train.predict(small(), x[:0]), "must not be empty"),
    (lambda x, y: train.features(small(), x, 3), "n must be in 0..2"),
])
def test_bad_input_is_named(call, says):
    with pytest.raises(ValueError, match=says):
        call(*blobs(20))


def labels(y):
    return {"a column": y[:, None], "one-hot": torch.eye(2)[y], "one-hot integers": torch.eye(2).long()[y],
            "other columns": torch.zeros(len(y), 3).long(), "fractions": y.float()}


@pytest.mark.parametrize("kind", labels(torch.tensor([0])))
def test_labels_that_are_not_one_integer_a_row_are_named(kind):
    x, y = blobs(20)
    for score in (lambda y: train.evaluate(small(), x, y), lambda y: train.classify(small(), (x, y))):
        with pytest.raises(ValueError, match=r"y must be a tensor of integer labels of shape \(20,\), got torch"):
            score(labels(y)[kind])


def test_labels_of_any_integer_type_and_of_every_pixel():
    x, y = blobs(20)
    for kind in (torch.uint8, torch.int32):
        assert train.evaluate(small(), x, y.to(kind)) == train.evaluate(small(), x, y)
        assert torch.equal(train.classify(small(), (x, y.to(kind))), train.classify(small(), (x, y)))
    model, images = nn.Conv2d(1, 3, 1), torch.randn(4, 1, 5, 5)
    pixels = model(images).argmax(1)
    assert train.evaluate(model, images, pixels) == 1 and train.classify(model, (images, pixels)) < 1.2


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize("call, says", [
    (lambda x, y: train.evaluate(small(), x, y.tolist()), r"x and y must be tensors .* got shapes \(20, 4\) and \(\)"),
    (lambda x, y: train.evaluate(small(), x, y.numpy()), "y must be a tensor .* got int64"),
    (lambda x, y: train.evaluate(small(), x[:0], y[:0]), "length > 0"),
    (lambda x, y: train.classify(small(), (x[:0], y[:0])), "length > 0"),
    (lambda x, y: train.classify(small(), (x, y[:7])), r"same length > 0, got shapes \(20, 4\) and \(7,\)"),
    (lambda x, y: train.classify(small(), (x[0], y[0])), r"got shapes \(4,\) and \(\)"),
    (lambda x, y: next(train.batches(x[0], y[0], 1, 1, 0)), r"got shapes \(4,\) and \(\)"),
    (lambda x, y: train.evaluate(nn.Linear(4, 1), x, y), "labels must be in 0..0"),
    (lambda x, y: train.evaluate(nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), x, y), r"scores \(n, k\), got \(20,\)"),
    (lambda x, y: train.evaluate(nn.Identity(), x.index_fill(0, torch.tensor([3, 5]), float("nan")), y),
     "NaN for 2 of 20 rows of x, the first at 3"),
    (lambda x, y: train.predict(Pair(), x), "model must put out one tensor, got tuple"),
    (lambda x, y: train.predict(nn.Flatten(0), x), r"got x \(20, 4\) and an output \(80,\)"),
    (lambda x, y: train.predict(small(), x[0, 0]), r"got x \(\)"),
    (lambda x, y: train.features(small(), x, "1"), "n must be in 0..2, got '1'"),
    (lambda x, y: train.features(nn.Linear(4, 2), x), "model must be an nn.Sequential"),
    (lambda x, y: train.fit(model := small(), [(x, y)], lambda m, b: m(b[0]).mean(1), torch.optim.SGD(
        model.parameters(), 0.1)), r"loss_fn must return a scalar tensor, got \(20,\)"),
    (lambda x, y: train.fit(model := small(), [(x, y)], lambda m, b: 0.5, torch.optim.SGD(model.parameters(), 0.1)),
     "scalar tensor, got float"),
])
def test_odd_shapes_are_named(call, says):
    with pytest.raises(ValueError, match=says):
        call(*blobs(20))


@pytest.mark.parametrize("build", [lambda: models.conv8(3), lambda: models.conv8(3, batchnorm=False),
                                   lambda: models.tiny_vit(3)])
def test_one_picture_instead_of_a_batch_is_named_and_changes_no_mode(build):
    model, picture, label = build().train(), torch.randn(1, 24, 24), torch.tensor([0])
    model[1].eval()
    modes = [module.training for module in model.modules()]
    before = copy.deepcopy(model.state_dict())
    for call in (lambda: train.predict(model, picture), lambda: train.evaluate(model, picture, label),
                 lambda: train.features(model, picture), lambda: train.classify(model, (picture, label))):
        with pytest.raises(ValueError, match=r"x must be a batch \(n, ...\), got one example \(1, 24, 24\)"):
            call()
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with pytest.raises(RuntimeError):  # another fault keeps its own message
        train.predict(model, torch.randn(2, 5, 24, 24))


def test_seeds_of_numpy_are_seeds_and_fractions_are_none():
    x, y = blobs(20)
    drawn = [next(train.batches(x, y, 4, 1, seed))[0] for seed in (3, np.int64(3), np.uint32(3), np.int8(3))]
    assert all(torch.equal(batch, drawn[0]) for batch in drawn)
    for seed in (3.0, np.float64(3), "3", None):
        with pytest.raises(ValueError, match="seed must be an integer, got"):
            next(train.batches(x, y, 4, 1, seed))


def test_predict_leaves_its_input_alone_when_a_layer_works_in_place():
    x, _ = blobs(30)
    given = x.clone()
    assert not (train.predict(nn.ReLU(inplace=True), x) < 0).any() and torch.equal(x, given)


def test_adamw_takes_one_step_and_keeps_the_ratio_of_rates():
    model = models.conv8(3)
    optimizer, _ = train.adamw(surgery.param_groups(model, 1e-2, 1e-3), 1e-2, 1)
    body, head = (group["lr"] for group in optimizer.param_groups)
    assert head / body == pytest.approx(10)


def test_predict_and_features_use_eval_mode_and_put_the_mode_back():
    model = small().train()
    x, _ = blobs(30)
    surgery.freeze(model, 1)
    modes = [m.training for m in model.modules()]
    torch.testing.assert_close(train.predict(model, x, 7), train.predict(model, x, 30))  # training mode would differ
    z = train.features(model, x)
    assert z.shape == (30, 16) and not z.requires_grad and torch.equal(train.features(model, x, 0), x)
    assert [m.training for m in model.modules()] == modes


def test_evaluate_counts():
    model = nn.Sequential(nn.Identity(), nn.Identity())
    scores = torch.tensor([[1.0, 0], [0, 1], [0, 1], [1, 0]])
    assert train.evaluate(model, scores, torch.tensor([0, 1, 0, 1])) == 0.5


@needs_gpu
def test_fit_on_a_gpu_uses_mixed_precision_and_learns():
    model = small("cuda")
    run(model)
    assert train.evaluate(model, *blobs(device="cuda")) > 0.97
    assert run(small("cuda")) == run(small("cuda"))


def test_arrays_and_other_types_than_the_models_are_named():
    model, (x, y) = small(), blobs(20)
    for call in (lambda x: train.predict(model, x), lambda x: train.evaluate(model, x, y),
                 lambda x: train.classify(model, (x, y)), lambda x: next(train.batches(x, y, 4, 1, seed=0))):
        with pytest.raises(ValueError, match="x .*tensor.* ndarray"):
            call(x.numpy())
    for dtype in (torch.float64, torch.bfloat16, torch.uint8):
        with pytest.raises(ValueError, match=f"x must suit model, whose weights are torch.float32, got {dtype}"):
            train.predict(model, x.to(dtype))
    with torch.autocast("cpu", torch.bfloat16):
        assert train.predict(model, x.bfloat16()).shape == (20, 2)
    with pytest.raises(RuntimeError, match="shape"):                    # torch says it better
        train.predict(model, x[:, :3])


def test_nothing_to_train_is_told():
    model, batch = small(), blobs(20)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match="nothing to train"):
        train.fit(model.requires_grad_(False), [batch], train.classify, optimizer)


@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_the_number_of_steps_may_be_numpys(kind):
    _, schedule = train.adamw(small().parameters(), 1e-3, kind(7))
    assert schedule.get_last_lr() == train.adamw(small().parameters(), 1e-3, 7)[1].get_last_lr()
    with pytest.raises(ValueError, match=r"n must be in 0\.\..*got 1\.0"):
        train.features(small(), blobs(4)[0], 1.0)


def test_train_is_the_loop_of_the_book_and_takes_what_changes_a_batch():
    def noisy(batch, generator):
        return batch + torch.randn(batch.shape, generator=generator)

    x, y = blobs()
    for transform in (None, noisy):
        ours, theirs = small(), small()
        losses = train.train(ours, x, y, lr=1e-2, steps=20, batch_size=32, seed=3, transform=transform)
        optimizer, schedule = train.adamw(theirs.parameters(), 1e-2, 20)
        assert losses == train.fit(theirs, train.batches(x, y, 32, 20, 3, transform), train.classify, optimizer,
                                   scheduler=schedule)
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_train_leaves_alone_what_needs_no_gradient_or_is_not_named():
    x, y = blobs()
    frozen, named, before = small(), small(), small()
    frozen[0].requires_grad_(False)
    train.train(frozen, x, y, lr=1e-2, steps=5, batch_size=32, seed=0)
    train.train(named, x, y, lr=1e-2, steps=5, batch_size=32, seed=0, parameters=named[1].parameters())
    for model in (frozen, named):
        assert torch.equal(model[0][0].weight, before[0][0].weight)
        assert not torch.equal(model[1].weight, before[1].weight)


# ---- warm-up, stable, decay


def weights(model):
    return torch.cat([value.flatten().float() for value in model.state_dict().values()])


def shaken(batch, generator):
    return data.augment(batch, generator, shift=2, rotate=0.2, scale=0.15, brightness=0.2, contrast=0.2)


@pytest.mark.parametrize("transform", [None, shaken])
def test_an_end_is_the_run_that_was_planned_for_its_budget_alone(transform):
    images, labels = data.smears(12, seed=3000)
    x, y = data.to_tensor(images), torch.as_tensor(labels)
    nets = [models.conv8(6, widths=(4,) * 6) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    ends = train.decayed_branches(nets[0], x, y, budgets=(30, 60), lr=3e-3, batch_size=8, seed=0, transform=transform)
    optimizer = torch.optim.AdamW(nets[1].parameters(), weight_decay=0.01)
    for t, (xb, yb) in enumerate(train.batches(x, y, 8, 60, 0, transform)):
        optimizer.param_groups[0]["lr"] = 3e-3 * train.warm_up_stable_decay(t, 60)
        optimizer.zero_grad()
        F.cross_entropy(nets[1].train()(xb), yb).backward()
        optimizer.step()
    torch.testing.assert_close(weights(ends[60]), weights(nets[1]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(weights(ends[30]), weights(ends[60]))


def test_the_rate_rises_once_and_falls_once():
    rates = [train.warm_up_stable_decay(t, 200) for t in range(200)]
    assert max(rates) == 1 and rates[0] == 0.05 and rates[-1] == pytest.approx(0.025)
    turns = np.sign([b - a for a, b in pairwise(rates)])
    assert [sign for sign, after in pairwise([*turns, 2]) if sign != after] == [1, 0, -1]


def test_budgets_that_cannot_be_branched_off():
    for budgets in ((), (10, 5), (2, 10)):
        with pytest.raises(ValueError, match="budgets must be rising"):
            train.decayed_branches(models.conv8(2), torch.zeros(2, 1, 24, 24), torch.tensor([0, 1]), budgets=budgets,
                                   lr=1e-3, batch_size=2, seed=0)


# ---- a head on a body that stays


@pytest.fixture
def net():
    torch.manual_seed(0)
    return models.conv8(5).eval()


@pytest.fixture
def pictures():
    return torch.randn(30, 1, 24, 24, generator=torch.Generator().manual_seed(1)) + 0.7, torch.arange(30) % 3


def head_trained(net, pictures, way, **changes):
    arguments = {"steps": 5, "batch_size": 8, "lr": 1e-2, "seed": 0} | changes
    return train.train_head(surgery.new_head(net, 3, seed=0), *pictures, way=way, **arguments)


def changed(before, after):
    """Return the names of the tensors in the two bodies that differ."""
    pairs = zip(before[:-1].state_dict().items(), after[:-1].state_dict().values(), strict=True)
    return {name for (name, old), new in pairs if not torch.equal(old, new)}


def test_a_frozen_body_does_not_change_by_one_bit(net, pictures):
    assert changed(net, head_trained(net, pictures, "frozen")) == set()


def test_the_tutorial_moves_the_statistics_and_nothing_else(net, pictures):
    names = changed(net, head_trained(net, pictures, "tutorial"))
    assert {name.rsplit(".", 1)[1] for name in names} == {"running_mean", "running_var", "num_batches_tracked"}
    assert len(names) == 3 * 6


def test_the_adapted_body_has_the_statistics_of_the_pictures(net, pictures):
    model = head_trained(net, pictures, "adapted")
    wanted = surgery.adapt_statistics(copy.deepcopy(net), pictures[0])
    assert changed(wanted, model) == set() and len(changed(net, model)) == 3 * 6


@pytest.mark.parametrize("way", train.WAYS)
def test_the_head_is_trained_in_every_way_and_the_source_network_left_alone(net, pictures, way):
    before = copy.deepcopy(net.state_dict())
    model = head_trained(net, pictures, way)
    assert not torch.equal(model.head.weight, surgery.new_head(net, 3, seed=0).head.weight)
    assert all(torch.equal(old, new) for old, new in zip(before.values(), net.state_dict().values(), strict=True))
    assert not any(module.training for module in model.modules())


def test_frozen_agrees_with_training_the_head_image_by_image_in_eval_mode(net, pictures):
    model = head_trained(net, pictures, "frozen")
    naive = surgery.new_head(net, 3, seed=0).eval()
    optimizer, scheduler = train.adamw(naive.head.parameters(), 1e-2, 5)
    for x, y in train.batches(*pictures, 8, 5, 0):
        loss = train.classify(naive, (x, y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    torch.testing.assert_close(model.head.weight, naive.head.weight)


def test_a_way_that_is_none(net, pictures):
    with pytest.raises(ValueError, match="way must be one of .* got 'half'"):
        head_trained(net, pictures, "half")


def test_feature_change_is_relative_and_ignores_the_head(net, pictures):
    doubled = copy.deepcopy(net)
    with torch.no_grad():
        doubled.fc7[1].weight *= 2
        doubled.fc7[1].bias *= 2
        doubled.head.weight.zero_()
    assert train.feature_change(net, net, pictures[0]) == 0
    assert train.feature_change(net, doubled, pictures[0]) == pytest.approx(1)


def test_the_loss_of_several_tasks_is_the_mean_of_their_own_and_sees_no_other_column():
    scores = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[0, 2], [1, 0], [1, 1], [0, 0], [0, 2], [1, 1]])
    loss = train.classify_each((2, 3))
    by_hand = [-(row[a] - row[:2].exp().sum().log()) - (row[2 + b] - row[2:].exp().sum().log())
               for row, (a, b) in zip(scores, y, strict=True)]
    assert loss(nn.Identity(), (scores, y)).item() == pytest.approx(float(sum(by_hand)) / 12, rel=1e-5)
    shifted = scores + torch.tensor([3.0, 3, -7, -7, -7])                # a constant in all columns of a task
    torch.testing.assert_close(loss(nn.Identity(), (shifted, y)), loss(nn.Identity(), (scores, y)))
    one = train.classify_each((5,))(nn.Identity(), (scores, y[:, :1]))
    torch.testing.assert_close(one, train.classify(nn.Identity(), (scores, y[:, 0])))
    for wrong in ((scores[:, :4], y), (scores, y[:, 0]), (scores, y[:, :1])):
        with pytest.raises(ValueError, match="scores and y must be"):
            loss(nn.Identity(), wrong)
