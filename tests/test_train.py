"""Train: the loop learns, repeats itself to the bit, respects what is frozen, and stops at a bad loss."""
import copy

import pytest
import torch
from torch import nn

from tlutils import models, surgery, train

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
