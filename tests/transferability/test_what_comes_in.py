"""Features of any type and unit give the same score, and whatever a function was lent comes back as it was."""
import copy
import importlib

import numpy as np
import pytest
import torch
from torch import nn
from transfer_cases import labelled, softmax

from tlutils import transferability as T

X, Y = labelled(1, 90, 6, 3, spread=1.5)
FROM_FEATURES = {
    "transrate": lambda z: T.transrate(z, Y, eps=0.01), "rank": lambda z: T.transrate(z, Y, normalize="rank"),
    "coding_rate": lambda z: T.coding_rate(z, eps=0.01), "h_score": lambda z: T.h_score(z, Y),
    "shrinkage": lambda z: T.h_score(z, Y, shrinkage=True), "lfc": lambda z: T.lfc(z, Y),
    "logme": lambda z: T.logme(z, Y), "logme of numbers": lambda z: T.logme(z, z[:, 0]),
    "logme of columns": lambda z: T.logme(z, z[:, :2]),
    "nleep": lambda z: T.nleep(z, Y), "scores": lambda z: T.scores(z, Y),
    "moments": lambda z: T.scores(T.ClassMoments(6, 3).update(z, Y)), "rsa": lambda z: T.rsa(z, z[:, :4]),
    "domain_similarity": lambda z: T.domain_similarity(z, Y, z[:45], Y[:45]),
    "taskonomy": lambda z: T.taskonomy([z, z[:, :3]], Y),
    "rank_correlation": lambda z: {k: c.value for k, c in T.rank_correlation(z[:9, 0], z[:9, 1], n_boot=9).items()}}
KINDS = {"bfloat16": lambda z: z.bfloat16(), "half": lambda z: z.half(), "float8": lambda z: z.to(torch.float8_e5m2),
         "a graph": lambda z: z * torch.ones(1, requires_grad=True), "a parameter": lambda z: nn.Parameter(z),
         "bfloat16 with a graph": lambda z: z.bfloat16().requires_grad_()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FROM_FEATURES)
def test_tensors_of_any_type_or_with_a_graph_are_their_values(name, kind):
    given = KINDS[kind](torch.from_numpy(X).float())
    with torch.autocast("cpu", torch.bfloat16):
        found = FROM_FEATURES[name](given)
    assert found == pytest.approx(FROM_FEATURES[name](given.detach().double().numpy()), rel=1e-12)


def test_lists_of_tensors():
    rows = list(torch.from_numpy(X).bfloat16().requires_grad_())
    whole = torch.from_numpy(X).bfloat16()
    labels = list(torch.from_numpy(Y))
    for measure in (T.transrate, T.h_score, T.nleep, T.scores):
        assert measure(rows, labels) == measure(whole, Y) == measure([list(row) for row in rows], [int(v) for v in Y])
    assert T.logme(rows, [row[0] for row in rows]) == T.logme(whole, whole[:, 0])
    a, b = [row[0] for row in rows[:9]], tuple(row[1].float() for row in rows[:9])
    assert T.rank_correlation(a, b) == T.rank_correlation(whole[:9, 0], whole[:9, 1])
    assert T.nce(labels, labels) == 0


@pytest.mark.parametrize("n_source", [6, 400])
def test_probabilities_in_half_precision_miss_a_sum_of_one(n_source):
    probs = torch.from_numpy(softmax(np.random.default_rng(0).standard_normal((90, n_source)))).float()
    for dtype in (torch.bfloat16, torch.float16):
        low = probs.to(dtype)
        for given in (low, list(low)):
            assert T.leep(given, Y) == pytest.approx(T.leep(probs, Y), abs=0.01)
        assert T.scores(X, Y, source_probs=low)["leep"] == T.leep(low, Y)
    assert T.leep(probs.half().numpy(), Y) == T.leep(probs.half(), Y)
    with pytest.raises(ValueError, match="a sum of 1.00"):
        T.leep(probs * 1.005, Y)


@pytest.mark.parametrize("unit", 10.0 ** np.arange(-8, 9, 4))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_unit_of_the_features_does_not_matter(unit, dtype):
    x = (unit * X).astype(dtype)
    for name in ("rank", "h_score", "shrinkage", "lfc", "logme", "nleep", "rsa", "taskonomy", "rank_correlation"):
        assert FROM_FEATURES[name](x) == pytest.approx(FROM_FEATURES[name](X.astype(dtype)), rel=1e-5, abs=1e-9), name
    for scale in (3.0, 1e3):
        assert T.logme(x, scale * unit * X[:, 1]) == pytest.approx(T.logme(X, X[:, 1]) - np.log(scale * unit), abs=1e-5)


@pytest.mark.parametrize("d", [6, 200])
def test_the_unit_does_not_matter_to_nleep_where_clusters_hold_few_points(d):
    x, y = labelled(2, 60, d, 6)
    scores = [T.nleep(unit * x, y) for unit in (1.0, 1e-8, 1e-3, 0.01, 100.0, 1e8)]
    assert max(scores) - min(scores) < 1e-4


def test_ordinary_features_reach_the_mixture_of_nleep_to_the_bit(monkeypatch):
    """A record's features lie within 1/8 to 1024: they are not divided by anything."""
    seen = []

    class Seen:
        def __init__(self, *settings, **more):
            pass

        def fit_transform(self, x):
            seen.append(x.copy())
            return x
    monkeypatch.setattr(importlib.import_module("tlutils.transferability.nleep"), "PCA", Seen)
    for unit in (0.1, 1.0, 100.0, 1e-6, 1e6):
        T.nleep(unit * X, Y)
    assert all(np.array_equal(z, unit * X) for z, unit in zip(seen[:3], (0.1, 1.0, 100.0), strict=True))
    assert all(0.5 < np.sqrt(z.var(0).sum()) < 2 for z in seen[3:])
    assert all((np.log2(z / (unit * X)) % 1 == 0).all() for z, unit in zip(seen[3:], (1e-6, 1e6), strict=True))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5),
                         nn.Linear(48, 4), nn.Tanh(), nn.Linear(4, 3))


def state(model):
    """Return all that a function might leave changed behind it: modes, flags, gradients, hooks, weights and seeds."""
    return ([m.training for m in model.modules()], [p.requires_grad for p in model.parameters()],
            [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
            [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
            {k: v.tolist() for k, v in model.state_dict().items()},
            torch.get_rng_state().tolist(), np.random.get_state()[1].tolist())


def half_held():
    model = network().train()
    model[1].eval(), model[0].weight.requires_grad_(False)
    model[5].weight.grad = torch.ones_like(model[5].weight)
    model[2].register_forward_hook(lambda *a: None)
    return model, torch.randn(5, 1, 6, 6)


@pytest.mark.parametrize("call", [T.task2vec, lambda m, x: T.depara(m, m[:-1], x)], ids=["task2vec", "depara"])
def test_a_network_comes_back_as_it_was_after_an_error_too(call):
    model, images = half_held()
    before = state(model)
    call(model, images)
    assert state(model) == before
    with pytest.raises((RuntimeError, ValueError)):
        call(model, images.repeat(1, 3, 1, 1))
    assert state(model) == before
    with torch.no_grad():
        assert call(model, images) is not None


def test_a_network_in_training_is_seen_as_it_would_be_used():
    model, images = half_held()
    still = copy.deepcopy(model).eval()
    assert torch.equal(T.task2vec(model, images), T.task2vec(still, images))
    assert T.depara(model, model[:-1], images) == T.depara(still, still[:-1], images)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_another_type(dtype):
    low, images = network().eval().to(dtype), torch.randn(5, 1, 6, 6).to(dtype)
    full, exact = copy.deepcopy(low).double(), images.double()
    with torch.autocast("cpu", torch.bfloat16):
        found, similar = T.task2vec(low, images), T.depara(low, low[:-1], images)
    torch.testing.assert_close(found, T.task2vec(full, exact), rtol=1e-4, atol=1e-12)
    assert similar == pytest.approx(T.depara(full, full[:-1], exact), abs=0.1 if dtype == torch.bfloat16 else 0.03)
    with torch.autocast("cpu", torch.bfloat16):
        net = network().eval()
        mixed = T.task2vec(net, images.float())
    torch.testing.assert_close(mixed, T.task2vec(copy.deepcopy(net).double(), exact), rtol=1e-4, atol=1e-12)


def test_similar_tasks_of_very_different_size():
    a = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert T.task2vec_similarity(1e-12 * a, a) == pytest.approx(1)
    low = a.half() * 2e4                                                # a + a overflows half precision
    assert T.task2vec_similarity(low, low) == pytest.approx(1)
    assert T.task2vec_similarity(a.requires_grad_(), a) == pytest.approx(1)


def test_global_random_state_stays_as_it_is():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    for measure in FROM_FEATURES.values():
        measure(X)
    assert torch.equal(torch.get_rng_state(), before[0]) and (np.random.get_state()[1] == before[1]).all()


SEEDED = {"nleep": lambda s: T.nleep(X, Y, seed=s),
          "taskonomy": lambda s: T.taskonomy([X, X[:, :2]], Y, seed=s, steps=3),
          "rank_correlation": lambda s: T.rank_correlation(X[:9, 0], X[:9, 1], n_boot=9, seed=s)}


@pytest.mark.parametrize("name", SEEDED)
def test_seeds(name):
    for seed in (np.int64(5), np.uint32(5), torch.tensor(5), np.array(5)):
        assert SEEDED[name](seed) == SEEDED[name](5)
    for seed in (True, 1.0, np.float32(1), None, -1, 2**32, "5", np.array([5, 6])):
        with pytest.raises(ValueError, match=r"seed must be in \[0, 2\*\*32\), a whole number"):
            SEEDED[name](seed)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: T.rank_correlation([np.nan] * 3, [1, 2, 3]), "scores must be finite numbers"),
    (lambda: T.rank_correlation(np.ones((3, 1)), [1, 2, 3]), r"scores must be \(m,\).* got \(3, 1\)"),
    (lambda: T.rank_correlation([1, 2, 3], []), r"performance must be \(m,\)"),
    (lambda: T.rank_correlation([None, 1], [1, 2]), "scores must be finite numbers"),
    (lambda: T.logme(np.where(X > 2, np.inf, X), X[:, 0]), "features must be finite"),
    (lambda: T.depara(nn.Tanh(), nn.Tanh(), torch.ones(4, 3).long()), "images must be at least 3, of a float type"),
    (lambda: T.depara(lambda x: (x, x), nn.Tanh(), torch.ones(4, 3)), r"encoder must return \(4, d\), got tuple"),
    (lambda: T.depara(lambda x: x.detach(), nn.Tanh(), torch.ones(4, 3)), "encoder must let gradients through"),
    (lambda: T.depara(nn.Tanh(), lambda x: torch.ones(4, 3, requires_grad=True), torch.ones(4, 3).cumsum(0)),
     "target_encoder must react to every image")])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_task2vec_leaves_out_the_last_block_alone_where_it_stands_at_two_places():
    act, x = nn.Tanh(), torch.randn(5, 4)
    shared = nn.Sequential(nn.Linear(4, 3), act, nn.Linear(3, 2), act)
    apart = nn.Sequential(shared[0], nn.Tanh(), shared[2], nn.Tanh())
    assert torch.equal(T.task2vec(shared, x), T.task2vec(apart, x)) and len(T.task2vec(shared, x)) == 5


def test_no_embedding_or_correlation_is_nan():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    with pytest.raises(ValueError, match="images and the weights of model must be finite"):
        T.task2vec(model, torch.full((2, 4), float("nan")))
    for a in (torch.tensor([1.0, float("inf")]), torch.tensor([1.0, float("nan")])):
        with pytest.raises(ValueError, match="a must be finite"):
            T.task2vec_similarity(a, torch.ones(2))
    for scale in (1e-100, 1e100):
        with pytest.raises(ValueError, match="features must be of a size whose fourth power"):
            T.lfc(scale * X, Y)


def test_arrays_in_the_place_of_tensors_are_named():
    model, x = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), np.ones((5, 4), np.float32)
    for call, name in ((lambda: T.task2vec(model, x), "images"), (lambda: T.depara(model, model, x), "images"),
                       (lambda: T.task2vec_similarity(x[0], x[0]), "a")):
        with pytest.raises(ValueError, match=f"{name} must .*ndarray"):
            call()


def test_depara_of_networks_that_begin_in_place_and_within_inference_mode():
    x = torch.randn(6, 4)
    x[:, 0] = 1 + torch.rand(6)
    plain, inplace = (nn.Sequential(nn.ReLU(inplace=inplace), nn.Linear(4, 3)) for inplace in (False, True))
    inplace.load_state_dict(plain.state_dict())
    want, before = T.depara(plain, plain[1], x), x.clone()
    with torch.inference_mode():
        assert T.depara(inplace, plain[1], x) == want
    assert torch.equal(x, before)
