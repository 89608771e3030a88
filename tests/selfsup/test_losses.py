"""Contrastive losses against the reference implementations, their laws, and what they refuse."""
import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tlutils import selfsup

# lightly 1.6.0, float64: loss, then |gradient|, its first and its last entry, for the first views
NT_XENT = [(301, 4, 8, 0.5, 0.3, 0.5986430377615334, (0.09166045776163911, 0.02916918333393645, 0.005456780762722419)),
           (302, 32, 64, 0.1, 0.5, 0.020500957706636312,
            (0.003546837098706178, 4.0459051606017975e-05, 4.272957806858546e-05))]
# open_clip 3.3.0, float64: loss, then |gradient| and its first entry for the normalised images, and for the scale
CLIP = [(301, 4, 8, 0.5, 0.3, 0.3475711404222315, (0.3329636488890404, 0.050639371654003396, -0.27554041340034163)),
        (302, 32, 64, 0.1, 0.5, 0.010296869707347972,
         (0.018904600240421957, 0.0002260044740200216, -0.007329631083870819))]


def draw(seed, n, d, noise):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, d))
    return torch.from_numpy(a), torch.from_numpy(a + noise * rng.standard_normal((n, d)))


@pytest.mark.parametrize(("seed", "n", "d", "tau", "noise", "value", "gradient"), NT_XENT)
def test_nt_xent_of_the_reference(seed, n, d, tau, noise, value, gradient):
    a, b = draw(seed, n, d, noise)
    loss = selfsup.nt_xent(a.requires_grad_(), b, temperature=tau)
    assert float(loss.detach()) == pytest.approx(value, rel=1e-12)
    g, = torch.autograd.grad(loss, a)
    assert (float(g.norm()), float(g[0, 0]), float(g[-1, -1])) == pytest.approx(gradient, rel=1e-9)


def test_nt_xent_is_its_equation_in_value_and_gradient():
    a, b = (z.requires_grad_() for z in draw(0, 6, 5, 0.5))

    def slowly(a, b):
        z = F.normalize(torch.cat([a, b]), dim=1)
        s = (z @ z.T / 0.3).masked_fill(torch.eye(12, dtype=torch.bool), -torch.inf)
        return F.cross_entropy(s, torch.arange(12).roll(6))
    theirs, ours = slowly(a, b), selfsup.nt_xent(a, b, temperature=0.3)
    torch.testing.assert_close(ours, theirs)
    for g, h in zip(torch.autograd.grad(3 * ours, (a, b)), torch.autograd.grad(3 * theirs, (a, b)), strict=True):
        torch.testing.assert_close(g, h)


def test_nt_xent_laws():
    a, b = draw(1, 8, 6, 1.0)
    loss = selfsup.nt_xent(a, b)
    torch.testing.assert_close(selfsup.nt_xent(b, a), loss)
    order = torch.randperm(8)
    torch.testing.assert_close(selfsup.nt_xent(a[order], b[order]), loss)
    torch.testing.assert_close(selfsup.nt_xent(7 * a, 0.1 * b), loss)
    assert float(selfsup.nt_xent(a[:1], b[:1])) == 0
    collapsed = torch.ones(8, 6, dtype=torch.float64)
    assert float(selfsup.nt_xent(collapsed, collapsed)) == pytest.approx(math.log(15))
    assert torch.isfinite(selfsup.nt_xent(a, b, temperature=1e-3))


@pytest.mark.parametrize(("seed", "n", "d", "tau", "noise", "value", "gradient"), CLIP)
def test_clip_loss_of_the_reference(seed, n, d, tau, noise, value, gradient):
    images, texts = (F.normalize(z, dim=1) for z in draw(seed, n, d, noise))
    scale = torch.tensor(1 / tau, dtype=torch.float64, requires_grad=True)
    loss = selfsup.clip_loss(images.requires_grad_(), texts, scale)
    assert float(loss.detach()) == pytest.approx(value, rel=1e-12)
    g, g_scale = torch.autograd.grad(loss, (images, scale))
    assert (float(g.norm()), float(g[0, 0]), float(g_scale)) == pytest.approx(gradient, rel=1e-9)


def test_clip_loss_laws_and_the_learned_scale():
    images, texts = draw(2, 8, 6, 1.0)
    torch.testing.assert_close(selfsup.clip_loss(images, texts, 3.0), selfsup.clip_loss(texts, images, 3.0))
    assert float(selfsup.clip_loss(torch.ones(8, 6), torch.ones(8, 6), 2.0)) == pytest.approx(math.log(8))
    scale = selfsup.LogitScale()
    assert float(scale().detach()) == pytest.approx(1 / 0.07, rel=1e-6)
    nn.init.constant_(scale.t, 50.0)
    assert float(scale().detach()) == pytest.approx(100, rel=1e-5)


def test_info_nce_is_its_equation_and_gives_keys_no_gradient():
    (q, k), (queue, _) = draw(3, 5, 4, 0.5), draw(4, 7, 4, 0.5)
    q, k, queue = q.requires_grad_(), k.requires_grad_(), queue.requires_grad_()
    loss = selfsup.info_nce(q, k, queue, 0.2)
    unit = [F.normalize(z.detach(), dim=1) for z in (q, k, queue)]
    expected = 0
    for i in range(5):
        right, wrong = torch.exp(unit[0][i] @ unit[1][i] / 0.2), torch.exp(unit[2] @ unit[0][i] / 0.2).sum()
        expected -= torch.log(right / (right + wrong)) / 5
    torch.testing.assert_close(loss.detach(), expected)
    loss.backward()
    assert q.grad.abs().sum() > 0 and k.grad is None and queue.grad is None


def test_momentum_encoder_follows_weights_and_statistics():
    encoder = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    slow = selfsup.MomentumEncoder(encoder, m=0.75)
    assert not any(p.requires_grad for p in slow.parameters())
    before = copy.deepcopy(encoder.state_dict())
    encoder(torch.randn(8, 3) + 4)
    with torch.no_grad():
        encoder[0].weight += 1
    slow.update(encoder)
    now, theirs = slow.encoder.state_dict(), encoder.state_dict()
    torch.testing.assert_close(now["0.weight"], before["0.weight"] + 0.25)
    torch.testing.assert_close(now["1.running_mean"], 0.25 * theirs["1.running_mean"])
    assert now["1.num_batches_tracked"] == 1
    assert slow(torch.randn(4, 3)).requires_grad is False


def test_the_queue_goes_round():
    queue, keys = selfsup.Queue(5, 2), F.normalize(torch.randn(7, 2), dim=1)
    queue.push(3 * keys[:4])
    torch.testing.assert_close(queue.keys[:4], keys[:4])
    queue.push(keys[4:])
    torch.testing.assert_close(queue.keys, keys[[5, 6, 2, 3, 4]])
    assert torch.allclose(selfsup.Queue(9, 3).keys.norm(dim=1), torch.ones(9))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: selfsup.nt_xent(torch.ones(3, 2), torch.ones(4, 2)), r"\(3, 2\) and \(4, 2\)"),
    (lambda: selfsup.nt_xent(torch.ones(3, 2), torch.ones(3, 2), temperature=0), "temperature must be > 0"),
    (lambda: selfsup.info_nce(torch.ones(3, 2), torch.ones(3, 2), torch.ones(4, 3)), r"\(4, 3\)"),
    (lambda: selfsup.info_nce(torch.ones(3, 2), torch.ones(3, 2), torch.ones(4, 2), -1.0), "temperature"),
    (lambda: selfsup.clip_loss(torch.ones(3, 2), torch.ones(3, 3), 1.0), r"\(3, 2\) and \(3, 3\)"),
    (lambda: selfsup.clip_loss(torch.ones(3, 2), torch.ones(3, 2), 0.0), "logit_scale"),
    (lambda: selfsup.LogitScale(0), "temperature"), (lambda: selfsup.MomentumEncoder(nn.Linear(1, 1), 1.5), "m must"),
    (lambda: selfsup.Queue(0, 2), "size and dim"), (lambda: selfsup.Queue(50, 2, n_data=40), "at most the 40 images"),
    (lambda: selfsup.Queue(3, 2).push(torch.ones(4, 2)), "N <= 3"),
    (lambda: selfsup.Queue(3, 2).push(torch.ones(2, 3)), r"keys must be \(N, 2\)")])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_temperature_is_learned():
    a, b = (x.requires_grad_() for x in draw(5, 6, 4, 0.5))
    tau = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    for loss in (lambda tau: selfsup.nt_xent(a, b, temperature=tau),
                 lambda tau: selfsup.info_nce(a, b, b.flip(0), tau)):
        assert torch.allclose(loss(tau), loss(0.4), rtol=1e-6)
        found, = torch.autograd.grad(loss(tau), tau)
        assert float(found) == pytest.approx(float((loss(0.4001) - loss(0.3999)).detach()) / 0.0002, rel=1e-4)
        with pytest.raises(ValueError, match="temperature must be > 0 and one number"):
            loss(torch.tensor([0.1, 0.2]))


def test_pictures_that_are_arrays_are_named():
    for call in (lambda x: selfsup.rotation_batch(x), lambda x: selfsup.mask_patches(x, 0.5, 2)):
        with pytest.raises(ValueError, match="images must be .*, ndarray"):
            call(np.zeros((2, 1, 4, 4), np.float32))
