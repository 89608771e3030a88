"""The measures of the table that need more than features and labels; and the table itself."""
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr, wasserstein_distance
from torch import nn
from transfer_cases import labelled, softmax

from tlutils import transferability as T

RNG = np.random.default_rng(0)


def test_rsa_is_its_equation():
    a, b = RNG.standard_normal((12, 6)), RNG.standard_normal((12, 9))
    above = np.triu_indices(12, 1)
    expected = spearmanr((1 - np.corrcoef(a))[above], (1 - np.corrcoef(b))[above]).statistic
    assert T.rsa(a, b) == pytest.approx(expected, abs=1e-12) == T.rsa(b, a)
    assert T.rsa(a, 3 * a - 2) == pytest.approx(1)


def test_domain_similarity_in_one_dimension_is_the_wasserstein_distance():
    (x, y), (u, v) = labelled(0, 40, 1, 5), labelled(1, 30, 1, 3)
    means = [np.array([a[b == c].mean() for c in np.unique(b)]) for a, b in ((x, y), (u, v))]
    shares = [np.bincount(y) / 40, np.bincount(v) / 30]
    emd = wasserstein_distance(*means, *shares)
    assert -100 * np.log(T.domain_similarity(x, y, u, v)) == pytest.approx(emd, rel=1e-9)
    assert T.domain_similarity(x, y, u, v, gamma=1) == pytest.approx(np.exp(-emd))
    assert T.domain_similarity(x, y, u + 1, v) == pytest.approx(T.domain_similarity(x - 1, y, u, v))
    assert T.domain_similarity(x, y, x, y) == 1.0


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4), nn.Tanh(),
                         nn.Linear(4, 3))


def test_task2vec_is_its_equation():
    model, images = network(), torch.randn(5, 1, 6, 6)
    model(images)
    found = T.task2vec(model, images, batch=2)
    assert model.training
    model.eval()
    weights = [model[0].weight, model[4].weight]
    expected = 0
    for image in images:
        log_p = model(image[None])[0].log_softmax(0)
        for value in log_p:
            gradients = torch.autograd.grad(value, weights, retain_graph=True)
            filters = torch.cat([(g**2).flatten(1).mean(1) for g in gradients])
            expected = expected + value.exp().detach() * filters / len(images)
    assert torch.allclose(found, expected.double(), rtol=1e-4)
    assert T.task2vec_similarity(found, found) == pytest.approx(1)
    one = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.0, 1.0, 2.0])
    assert T.task2vec_similarity(*one) == pytest.approx(0.25 / 1.25)


def test_depara_is_its_equation():
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 5), nn.Tanh())
    other = nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.Tanh())
    images = torch.randn(6, 1, 3, 3)
    nodes, edges = [], []
    for net in (model, other):
        z = net(images).detach()
        w = net[1].weight.detach()
        a = images.flatten(1) * ((1 - z**2) @ w)
        nodes.append(a / a.norm(dim=1, keepdim=True))
        e = torch.nn.functional.cosine_similarity(z[:, None], z[None], dim=2)
        edges.append(e[np.triu_indices(6, 1)].numpy())
    expected = float((nodes[0] * nodes[1]).sum(1).mean()), spearmanr(*edges).statistic
    assert T.depara(model, other, images, lam=0.5) == pytest.approx(expected[0] + 0.5 * expected[1], abs=1e-5)
    assert T.depara(model, model, images) == pytest.approx(2, abs=1e-6)


def test_taskonomy_prefers_the_source_that_knows_the_task():
    x, y = labelled(0, 200, 6, 3, spread=2.0)
    noise = np.random.default_rng(1).standard_normal((200, 6))
    good, half, bad = T.taskonomy([x, x + 2 * noise, noise], y)
    assert good > half > bad > 0 and good + half + bad == pytest.approx(1)
    assert T.taskonomy([x, x], y) == pytest.approx([0.5, 0.5])
    assert T.taskonomy([bad * noise, x], y)[1] > 0.9


def test_nleep_is_coarse_but_sees_signal():
    x, y = labelled(0, 150, 4, 3, spread=3.0)
    assert -0.3 < T.nleep(x, y) <= 0
    assert T.nleep(x, y) > T.nleep(x, np.random.default_rng(0).permutation(y))
    assert T.nleep(x, y, seed=3) == T.nleep(x.copy(), y, seed=3)
    one_cluster = T.nleep(x, y, n_components=1)
    assert one_cluster == pytest.approx(-np.log(3))
    assert T.nleep(np.repeat(x[:4], 10, axis=0), np.arange(40) % 2, energy=1.0) <= 0


@pytest.mark.parametrize(("call", "message"), [
    (lambda: T.rsa(np.eye(2), np.eye(2)), "features must hold at least 3 samples"),
    (lambda: T.rsa(np.ones((4, 3)), np.eye(4)), "features without the mean of each row must have no zero row"),
    (lambda: T.rsa(np.eye(4), np.eye(4)), "equal similarities"),
    (lambda: T.rsa(RNG.random((4, 3)), RNG.random((5, 3))), "target_features must have 4 rows as features, got 5"),
    (lambda: T.domain_similarity(np.eye(3), [0, 1, 2], np.eye(2), [0, 1]), r"features must be \(m, 3\).*width 2"),
    (lambda: T.domain_similarity(np.eye(3), [0, 1, 2], np.eye(3), [0, 1]), r"labels must be \(3,\)"),
    (lambda: T.domain_similarity(np.eye(3), [0, 1.5, 2], np.eye(3), [0, 1, 1]), "source_labels must be integers"),
    (lambda: T.domain_similarity(np.eye(3), [0, 1, 2], np.eye(3), [0, 1, 2], gamma=0), "gamma must be > 0"),
    (lambda: T.task2vec(nn.Linear(2, 2), torch.ones(3, 2)), "model must be an nn.Sequential"),
    (lambda: T.task2vec(nn.Sequential(nn.Tanh(), nn.Linear(2, 2)), torch.ones(3, 2)), "filters below its head 1"),
    (lambda: T.task2vec(network(), torch.ones(0, 1, 6, 6)), "images must not be empty"),
    (lambda: T.task2vec_similarity(torch.ones(3), torch.ones(2)), r"b must be \(3,\)"),
    (lambda: T.task2vec_similarity(torch.zeros(3), torch.ones(3)), "a must be"),
    (lambda: T.depara(nn.Tanh(), nn.Tanh(), torch.ones(2, 3)), "images must be at least 3"),
    (lambda: T.depara(nn.Tanh(), nn.Tanh(), torch.ones(4, 3, 2)), r"encoder must return \(4, d\), got \(4, 3, 2\)"),
    (lambda: T.depara(nn.Tanh(), nn.Tanh(), torch.zeros(4, 3)), "encoder must react to every image"),
    (lambda: T.taskonomy(np.eye(4), [0, 1, 0, 1]), "features must be a sequence of at least two matrices"),
    (lambda: T.taskonomy([np.eye(4), np.eye(5)], [0, 1, 0, 1]), r"features\[1\] must have 4 rows, got 5"),
    (lambda: T.taskonomy([np.eye(4)] * 2, [0, 0, 0, 0]), "labels must hold at least two classes"),
    (lambda: T.taskonomy([np.eye(4)] * 2, [0, 1, 0, 1], steps=0), "steps must be >= 1")])
def test_guard(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_scores_are_those_of_the_parts():
    x, y = labelled(2, 120, 7, 4)
    p = softmax(x)
    expected = {"transrate": T.transrate(x, y), "h_score": T.h_score(x, y), "logme": T.logme(x, y), "lfc": T.lfc(x, y),
                "h_score_shrinkage": T.h_score(x, y, shrinkage=True), "leep": T.leep(p, y),
                "nce": T.nce(p.argmax(1), y)}
    assert T.scores(x, y, source_probs=p) == pytest.approx(expected, rel=1e-9)
    assert set(T.scores(x, y)) == set(expected) - {"leep", "nce"}


def test_the_table_lists_the_thirteen_measures():
    assert len(T.NEEDS) == 13
    assert all(hasattr(T, name.removesuffix("_shrinkage")) for name in T.NEEDS)
    free = {name for name, needs in T.NEEDS.items() if not (needs.source_data or needs.training or needs.classifier)}
    assert free == {"nleep", "lfc", "h_score", "h_score_shrinkage", "logme", "transrate"}
