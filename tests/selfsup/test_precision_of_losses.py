"""Half precision, autocast and rows of zeros: values and gradients as far as the input's digits go, never NaN."""
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tlutils import selfsup

HIDDEN = selfsup.mask_patches(torch.zeros(4, 3, 8, 8), 0.5, 2, 0)[1]
LOSSES = {
    "nt_xent": selfsup.nt_xent, "cold nt_xent": lambda a, b: selfsup.nt_xent(a, b, temperature=0.001),
    "info_nce": lambda a, b: selfsup.info_nce(a, b, -b.flip(0)),
    "cold info_nce": lambda a, b: selfsup.info_nce(a, b, -b.flip(0), 0.001),
    "clip_loss": lambda a, b: selfsup.clip_loss(a, b, 100.0), "alignment_loss": selfsup.alignment_loss,
    "imputation_loss": lambda a, b: selfsup.imputation_loss(*((300 * z).repeat(2, 8).view(4, 3, 8, 8) for z in (a, b)),
                                                            HIDDEN)}
DIGITS = {torch.float16: 2e-3, torch.bfloat16: 1e-2, torch.float32: 1e-4, torch.float64: 1e-9}


def inputs(dtype, zeros=False):
    """Return two batches (12, 4), rounded to dtype and ready for a gradient."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(12, 4, generator=generator).to(dtype) for _ in range(2))
    if zeros:
        a[3], b[3], b[5] = 0, 0, 0
    return a.requires_grad_(), b.requires_grad_()


def differ(found, expected):
    return float((found.detach().double() - expected.detach()).norm() / expected.detach().norm())


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_are_those_of_float64(name, dtype, zeros, autocast):
    given = inputs(dtype, zeros)
    exact = [z.detach().double().requires_grad_() for z in given]
    expected = LOSSES[name](*exact)
    with torch.autocast("cpu", autocast, enabled=autocast is not None):
        loss = LOSSES[name](*given)
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert differ(loss, expected) < DIGITS[dtype]
    loss.backward(), expected.backward()
    for z, of_double in zip(given, exact, strict=True):
        assert (z.grad is None) == (of_double.grad is None)
        if z.grad is not None:
            assert z.grad.dtype == dtype and z.grad.isfinite().all()
            assert differ(z.grad, of_double.grad) < 5 * DIGITS[dtype]


def test_a_row_of_zeros_gets_no_gradient_and_the_others_theirs():
    a, b = inputs(torch.float32, zeros=True)
    selfsup.nt_xent(a, b).backward()
    assert not a.grad[3].any() and not b.grad[5].any() and a.grad[4].any()
    assert max(a.grad.abs().max(), b.grad.abs().max()) < 1e3


def test_nt_xent_trains_under_autocast_backwards_inside_or_outside():
    generator, layer = torch.Generator().manual_seed(1), nn.Linear(6, 6)
    x1, x2 = torch.randn(2, 10, 6, generator=generator)

    def gradient(inside, mixed=True):
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = selfsup.nt_xent(layer(x1), layer(x2))
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        return layer.weight.grad.clone()
    plain = gradient(False, mixed=False)
    for inside in (True, False):
        assert (gradient(inside) - plain).norm() < 0.05 * plain.norm()
    z = x1.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        inside, = torch.autograd.grad(selfsup.nt_xent(z, x2), z)
    torch.testing.assert_close(inside, torch.autograd.grad(selfsup.nt_xent(z, x2), z)[0], rtol=1e-5, atol=1e-7)


def test_float64_beside_float32_is_float64():
    a, b = (z.detach() for z in inputs(torch.float32))
    assert selfsup.info_nce(a.double(), b.double(), b).dtype == torch.float64
    assert selfsup.clip_loss(a, b, torch.tensor(3.0, dtype=torch.float64)).dtype == torch.float32


def test_the_scale_of_half_a_network_is_not_rounded_twice():
    scale = selfsup.LogitScale().half()
    assert scale().dtype == torch.float32 and float(scale().detach()) == pytest.approx(1 / 0.07, rel=2e-3)
    nn.init.constant_(scale.t, 50.0)
    assert float(scale().detach()) == pytest.approx(100, rel=1e-5)
    assert selfsup.LogitScale().double()().dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_queue_takes_keys_of_any_type(dtype):
    keys = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    keys[1] = 0
    queue = selfsup.Queue(5, 4)
    with torch.autocast("cpu", torch.bfloat16):
        queue.push(keys)
    assert queue.keys.dtype == torch.float32 and not queue.keys[1].any()
    torch.testing.assert_close(queue.keys[[0, 2]], F.normalize(keys[[0, 2]].float(), dim=1))
    assert torch.isfinite(selfsup.info_nce(keys, keys, queue.keys))


def test_a_refused_batch_leaves_the_queue_as_it_was():
    queue = selfsup.Queue(5, 2)
    queue.push(torch.ones(4, 2))
    before = queue.state_dict()
    for bad, message in ((torch.tensor([[1.0, 1.0], [1.0, np.nan]]), "1 rows of NaN or infinity"),
                         (torch.full((2, 2), np.inf).half(), "2 rows of NaN"), (torch.ones(2, 2).long(), "int64"),
                         (torch.ones(6, 2), r"N <= 5, got \(6, 2\)"), (torch.ones(2, 3), r"got \(2, 3\)")):
        with pytest.raises(ValueError, match=message):
            queue.push(bad)
    assert torch.equal(queue.keys, before["keys"]) and queue.next == before["next"] == 4


def test_a_queue_goes_on_from_its_state():
    one, other, keys = selfsup.Queue(5, 2), selfsup.Queue(5, 2), torch.randn(6, 2)
    one.push(keys[:3])
    state = one.state_dict()
    other.load_state_dict(state)
    for queue in (one, other):
        queue.push(keys[3:])
    assert torch.equal(one.keys, other.keys) and one.next == other.next == 1
    assert not torch.equal(state["keys"], one.keys), "the state is a copy"
    with pytest.raises(ValueError, match=r"state must hold keys \(5, 2\) and a place in them, got \(5, 2\) and 5"):
        one.load_state_dict({"keys": state["keys"], "next": 5})
    with pytest.raises(ValueError, match=r"got \(4, 2\) and 0"):
        one.load_state_dict({"keys": state["keys"][:4], "next": 0})


def test_the_slow_encoder_of_half_a_network_keeps_its_types():
    encoder = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).half()
    slow = selfsup.MomentumEncoder(encoder, m=0.5)
    encoder[1].num_batches_tracked += 7
    with torch.no_grad():
        encoder[0].bias.fill_(2.0), slow.encoder[0].bias.fill_(1.0)
    slow.update(encoder)
    assert slow.encoder[0].bias.dtype == torch.float16 and slow.encoder[0].bias.tolist() == [1.5] * 3
    assert slow.encoder[1].num_batches_tracked.dtype == torch.int64 and slow.encoder[1].num_batches_tracked == 7


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.uint8])
def test_turned_and_hidden_images_keep_their_type(dtype):
    images = (40 * torch.rand(2, 3, 8, 8) + 1).to(dtype)
    turned, _ = selfsup.rotation_batch(images)
    shown, hidden = selfsup.mask_patches(images, 0.5, 2, 0)
    assert turned.dtype == shown.dtype == dtype and torch.equal(turned[:2], images)
    assert torch.equal(shown == 0, hidden.expand_as(shown))


def test_views_under_autocast_are_the_same_views():
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    plain = selfsup.two_views(images, 3, mix=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = selfsup.two_views(images, 3, mix=0.1)
    assert all(torch.equal(a, b) for a, b in zip(plain, mixed, strict=True))
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.uint8):
        with pytest.raises(ValueError, match=f"images must be float32.*got {dtype}"):
            selfsup.two_views(images.to(dtype), 3)


@pytest.mark.parametrize("seed", [np.int64(3), np.uint32(3), np.array(3), torch.tensor(3)])
def test_seeds_of_numpy_draw_what_pythons_do(seed):
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(selfsup.two_views(images, seed)[1], selfsup.two_views(images, 3)[1])
    assert torch.equal(selfsup.mask_patches(images, 0.5, 2, seed)[1], selfsup.mask_patches(images, 0.5, 2, 3)[1])
    state = torch.get_rng_state()
    selfsup.mask_patches(images, 0.5, 2, 0)                             # 0 is a seed as well
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("seed", [True, np.bool_(True), 1.0, "1", -1, 2**32, torch.tensor(True)])
def test_what_is_no_seed(seed):
    for call in (selfsup.two_views, lambda x, s: selfsup.mask_patches(x, 0.5, 2, s)):
        with pytest.raises(ValueError, match=r"generator must be in \[0, 2\*\*32\), a whole number, got"):
            call(torch.rand(2, 3, 8, 8), seed)


@pytest.mark.parametrize(("call", "message"), [
    (lambda z: selfsup.nt_xent(z[:, :0], z[:, :0]), r"z1 and z2 must be .* got \(4, 0\)"),
    (lambda z: selfsup.nt_xent(z, z + 1j), "z2 must be a tensor of real numbers"),
    (lambda z: selfsup.info_nce(z, z, z[:0]), r"queue \(K, d\), got .* and \(0, 3\)"),
    (lambda z: selfsup.clip_loss(z, z, torch.ones(2)), "logit_scale must be one number > 0"),
    (lambda z: selfsup.clip_loss(z, z, float("inf")), "logit_scale must be one number > 0, got inf"),
    (lambda z: selfsup.LogitScale(most=0), "most must be > 0, got 0"),
    (lambda z: selfsup.imputation_loss(HIDDEN * 1.0, HIDDEN * 1.0, HIDDEN.float()), "hidden must be bool"),
    (lambda z: selfsup.imputation_loss(z, z, z > 0), "predicted and images must agree"),
    (lambda z: selfsup.mask_patches(torch.zeros(0, 1, 8, 8), 0.5, 4), r"n > 0, got \(0, 1, 8, 8\)")])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.ones(4, 3))
