"""The probes: right on cases with a known answer, blind to the test set, clear about bad input."""
import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn
from torch.nn import functional as F

from tlutils import models, surgery, train
from tlutils.probes import choose_layer, knn_probe, linear_probe, probe_features, probe_head


def blobs(n, seed, k=3, d=5, apart=4.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    return apart * np.eye(k, d)[y] + rng.standard_normal((n, d)), y


@pytest.mark.parametrize("probe", [linear_probe, knn_probe])
def test_separated_classes_are_found_and_noise_is_chance(probe):
    assert probe(*blobs(90, 0), *blobs(300, 1))["accuracy"] > 0.95
    x, y = blobs(900, 2, apart=0.0)
    assert abs(probe(x[:300], y[:300], x[300:], y[300:])["accuracy"] - 1 / 3) < 0.1


@pytest.mark.parametrize("probe, chosen", [(linear_probe, "C"), (knn_probe, "k")])
def test_test_labels_choose_nothing(probe, chosen):
    x, y = blobs(60, 3, apart=1.5)
    t, right = blobs(200, 4, apart=1.5)
    honest, poisoned = probe(x, y, t, right), probe(x, y, t, (right + 1) % 3)
    assert honest[chosen] == poisoned[chosen]
    guesses = [np.mean([probe(x, y, t[:40], np.full(40, c))["accuracy"]]) for c in range(3)]
    assert sum(guesses) == pytest.approx(1)                             # the guesses themselves do not move


@pytest.mark.parametrize("probe", [linear_probe, knn_probe])
def test_tensors_arrays_and_other_label_names_give_the_same(probe):
    x, y = blobs(60, 5, apart=2.0)
    t, right = blobs(60, 6, apart=2.0)
    plain = probe(x, y, t, right)
    assert probe(*(torch.from_numpy(a) for a in (x, y, t, right))) == plain
    assert probe(x, y * 10 - 7, t, right * 10 - 7) == plain


def test_the_linear_probe_does_not_mind_scale_or_shift_of_features():
    x, y = blobs(60, 7, apart=2.0)
    t, right = blobs(60, 8, apart=2.0)
    scale, shift = np.array([1, 10, 0.1, 100, 3]), 50.0
    assert linear_probe(x * scale + shift, y, t * scale + shift, right) == linear_probe(x, y, t, right)
    constant = np.concatenate([x, np.ones((60, 1))], 1), np.concatenate([t, 9 * np.ones((60, 1))], 1)
    assert linear_probe(constant[0], y, constant[1], right)["accuracy"] > 0.6


def test_strength_is_chosen_where_it_matters():
    """Many useless features and few examples: the strong penalty is better, and is what the held-out fifth picks."""
    rng = np.random.default_rng(0)
    x, y = blobs(60, 9, apart=2.0)
    noise = 3 * rng.standard_normal((60, 300))
    assert linear_probe(np.concatenate([x, noise], 1), y, np.zeros((3, 305)), np.arange(3))["C"] < 1


def test_strength_is_not_chosen_on_the_images_that_were_fitted():
    """On those a weak penalty is best, always; here it memorises, and the held-out fifth says so."""
    x, y = blobs(240, 13, apart=1.0)
    wide = np.concatenate([x, np.random.default_rng(1).standard_normal((240, 120))], 1)
    by_strength = [linear_probe(wide, y, wide, y, strengths=(C,))["accuracy"] for C in (0.001, 1.0)]
    assert by_strength[1] > by_strength[0] + 0.05
    assert linear_probe(wide, y, wide, y)["C"] < 1.0


def test_knn_is_the_transcription():
    x, y = blobs(30, 10, apart=1.0)
    t, right = blobs(20, 11, apart=1.0)
    cosine = (t / np.linalg.norm(t, axis=1, keepdims=True)) @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T
    guess = []
    for row in cosine:
        near = np.argsort(-row)[:5]
        guess.append(np.argmax([np.exp(row[near] / 0.07)[y[near] == c].sum() for c in range(3)]))
    assert knn_probe(x, y, t, right, neighbours=(5,)) == {"accuracy": np.mean(guess == right), "k": 5}


def test_knn_chooses_k_with_each_example_left_out():
    x, y = blobs(200, 12, apart=1.0)
    assert knn_probe(x, y, x, y, neighbours=(1, 20))["k"] == 20         # its own neighbour would make k = 1 perfect


@pytest.mark.parametrize("probe", [linear_probe, knn_probe])
@pytest.mark.parametrize("change, word", [
    (lambda x, y, t, r: (x[0], y, t, r), "features"), (lambda x, y, t, r: (x[:, :2], y, t, r), "one width"),
    (lambda x, y, t, r: (x, y[:-1], t, r), "labels"), (lambda x, y, t, r: (x, y, t[:0], r[:0]), "labels"),
    (lambda x, y, t, r: (x * np.nan, y, t, r), "^features must be finite"),
    (lambda x, y, t, r: (x, y, t + np.inf, r), "^test_features must be finite"),
    (lambda x, y, t, r: (x.astype(str), y, t, r), "^features must be finite"),
    (lambda x, y, t, r: (x[:, :0], y, t[:, :0], r), "one width"),
    (lambda x, y, t, r: (x, y, t[0], r[:1]), r"test_features must be .* \(5,\)"),
    (lambda x, y, t, r: (x[:1], y[:1], t, r), "features must hold at least two rows"),
    (lambda x, y, t, r: (x[:0], y[:0], t, r), "features must hold at least two rows"),
    (lambda x, y, t, r: (x, y[:, None], t, r), r"^labels must be .*\(30,\).* got int64 \(30, 1\)"),
    (lambda x, y, t, r: (x, np.eye(3)[y], t, r), r"^labels must be .* got float64 \(30, 3\)"),
    (lambda x, y, t, r: (x, y, t, np.eye(3, dtype=int)[r]), r"^test_labels must be .* got int64 \(30, 3\)"),
    (lambda x, y, t, r: (x, y * 1.0, t, r), r"^labels must be integers or words .* got float64"),
    (lambda x, y, t, r: (x, y, t, torch.from_numpy(r).bfloat16()), r"^test_labels must be integers .* got float32"),
    (lambda x, y, t, r: (x, y, t, r[:-1]), r"^test_labels must be .*\(30,\)"),
    (lambda x, y, t, r: (x, y, t, None), r"^test_labels must be"),
    (lambda x, y, t, r: ([[1.0], [1.0, 2.0]], y, t, r), "^features must be an array or lists of one length")])
def test_bad_input_is_refused(probe, change, word):
    with pytest.raises(ValueError, match=word):
        probe(*change(*blobs(30, 0), *blobs(30, 1)))


def test_words_are_labels_too():
    x, y = blobs(60, 5, apart=2.0)
    words = np.array(["ant", "bee", "cat"])
    for probe in (linear_probe, knn_probe):
        assert probe(x, words[y], x, list(words[y])) == probe(x, y, x, y)


@pytest.mark.parametrize("probe", [linear_probe, knn_probe])
@pytest.mark.parametrize("kind", [
    lambda z: z.bfloat16(), lambda z: z.half(), lambda z: z.requires_grad_(), lambda z: z.double(),
    lambda z: list(z.bfloat16().requires_grad_()), lambda z: z.numpy().astype(np.float16)])
def test_every_type_of_features_under_autocast_too(probe, kind):
    (x, y), (t, r) = blobs(60, 5, apart=2.0), blobs(60, 6, apart=2.0)
    x, t = (torch.from_numpy(z).float() for z in (x, t))
    expected = probe(x.numpy(), y, t.numpy(), r)
    with torch.autocast("cpu", torch.bfloat16):
        assert probe(x, y, t, r) == expected
        assert probe(kind(x), list(torch.from_numpy(y)), kind(t), r)["accuracy"] == pytest.approx(
            expected["accuracy"], abs=0.02)


def test_autocast_does_not_blur_the_nearest():
    """All cosines lie within 1e-2 of 1: bfloat16 could not tell the neighbours apart."""
    (x, y), (t, r) = blobs(90, 5), blobs(300, 6)
    expected = knn_probe(x + 50, y, t + 50, r)
    with torch.autocast("cpu", torch.bfloat16):
        assert knn_probe(x + 50, y, t + 50, r) == expected
    assert expected["accuracy"] > 0.9


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_unit_of_each_feature_does_not_matter_to_the_linear_probe(dtype):
    (x, y), (t, r) = blobs(90, 7, apart=1.5), blobs(300, 8, apart=1.5)
    expected = linear_probe(x.astype(dtype), y, t.astype(dtype), r)
    for unit in (*10.0 ** np.arange(-8, 9, 4), np.logspace(-8, 8, 5)):
        assert linear_probe((unit * x).astype(dtype), y, (unit * t).astype(dtype), r) == expected
    for unit in (1e-8, 1e8):
        assert knn_probe((unit * x).astype(dtype), y, (unit * t).astype(dtype), r) == knn_probe(x, y, t, r)
    assert linear_probe(x + 1e7, y, t + 1e7, r) == linear_probe(x, y, t, r)         # float64, far from the origin


@pytest.mark.parametrize("value", [0.0, 0.1, 3.7, 1e6])
def test_a_column_of_nothing_but_rounding_is_not_blown_up(value):
    (x, y), (t, r) = blobs(60, 7, apart=2.0), blobs(300, 8, apart=2.0)
    noise = np.nextafter(np.float32(value), np.float32(2 * value)) - np.float32(value)
    flat = np.float32(value) + noise * np.eye(60, 1, dtype=np.float32)
    far = np.full((300, 1), 1.1 * value + 0.1)
    wide, wide_test = (np.concatenate(pair, 1).astype(np.float32) for pair in ((x, flat), (t, far)))
    assert linear_probe(wide, y, wide_test, r) == linear_probe(x.astype(np.float32), y, t.astype(np.float32), r)


def test_global_random_state_stays_as_it_is():
    x, y = blobs(60, 5)
    state = np.random.get_state()[1].copy(), torch.get_rng_state()
    assert linear_probe(x, y, x, y, seed=np.uint8(2)) == linear_probe(x, y, x, y, seed=2)
    knn_probe(x, y, x, y)
    assert (np.random.get_state()[1] == state[0]).all() and torch.equal(torch.get_rng_state(), state[1])


def test_more_bad_input_is_refused():
    x, y = blobs(30, 0)
    for labels in (np.zeros(30, int), np.r_[0, np.ones(29, int)]):
        with pytest.raises(ValueError, match="two classes"):
            linear_probe(x, labels, x, y)
    for strengths in ((0,), (), np.array([-1.0])):
        with pytest.raises(ValueError, match="strengths"):
            linear_probe(x, y, x, y, strengths=strengths)
    for seed in (True, 1.0, None, -1):
        with pytest.raises(ValueError, match="seed must be in"):
            linear_probe(x, y, x, y, seed=seed)
    for k in ((0,), (30,), ()):
        with pytest.raises(ValueError, match="neighbours"):
            knn_probe(x, y, x, y, neighbours=k)


@pytest.mark.parametrize("scale", [2.0**-100, 2.0**-25, 2.0**60, 2.0**600])
@pytest.mark.parametrize("probe", [linear_probe, knn_probe])
def test_features_too_small_or_large_to_square_give_what_others_give(probe, scale):
    (x, y), (x_test, y_test) = blobs(60, 3, apart=1.5), blobs(60, 4, apart=1.5)
    assert probe(scale * x, y, scale * x_test, y_test) == probe(x, y, x_test, y_test)


@pytest.mark.parametrize("probe", [linear_probe, knn_probe])
def test_words_and_numbers_are_not_compared(probe):
    x, y = blobs(60, 3)
    with pytest.raises(ValueError, match="test_labels must be of the kind of labels, got int64 and <U1"):
        probe(x, np.array(list("abc"))[y], x, y)


# ---- with a fixed penalty


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
    found = linear_probe(z, y, test, guess, C=0.1)
    assert found["accuracy"] >= 0.996 and found["C"] == 0.1  # the solver stops early: a point or two on a border


@pytest.mark.parametrize("kind", ["softmax", "svm"])
def test_a_probe_with_a_fixed_penalty_separates_what_can_be_separated(kind):
    z, y = np.repeat(np.eye(3), 10, 0), np.repeat(np.arange(3), 10)
    assert linear_probe(z, y, z, y, C=10.0, kind=kind) == {"accuracy": 1, "C": 10}


def test_a_fixed_penalty_takes_one_example_of_a_class_and_no_nonsense():
    assert linear_probe(np.eye(2), [0, 1], np.eye(2), [0, 1], C=1.0)["accuracy"] == 1
    with pytest.raises(ValueError, match="kind must be .* got 'tree'"):
        linear_probe(np.eye(2), [0, 1], np.eye(2), [0, 1], kind="tree")
    with pytest.raises(ValueError, match="C must be > 0, got"):
        linear_probe(np.eye(2), [0, 1], np.eye(2), [0, 1], C=0)


def test_probe_features_are_pixels_at_zero_and_pooled_maps_above():
    x, net = torch.randn(4, 1, 24, 24, generator=torch.Generator().manual_seed(0)), models.conv8(4)
    np.testing.assert_array_equal(probe_features(net, x, 0), x.flatten(1).numpy())
    assert probe_features(net, x, 2).shape == (4, 24 * 9)
    assert probe_features(net, x, 7).shape == (4, 64)
    np.testing.assert_array_equal(probe_features(net, x), probe_features(net, x, 7))


def test_the_support_vector_machine_is_that_of_a_tenth_of_C():
    rng = np.random.default_rng(0)
    x, x_test, y = rng.normal(size=(60, 40)), rng.normal(size=(400, 40)), np.arange(60) % 2
    x[:, 0] += y
    y_test = (x_test[:, 0] > 0.5).astype(int)
    expected = {C: make_pipeline(StandardScaler(), LinearSVC(C=C, max_iter=20000)).fit(
        x.astype(np.float32), y).score(x_test.astype(np.float32), y_test) for C in (0.001, 0.01, 0.1)}
    assert len(set(expected.values())) == 3, "the strength decides here"
    assert linear_probe(x, y, x_test, y_test, C=0.01, kind="svm")["accuracy"] == pytest.approx(expected[0.001])


def small_network(seed=0, n_classes=4):
    torch.manual_seed(seed)
    net = models.conv8(n_classes, widths=(4, 4, 6, 6, 8, 8))
    train.predict(net.train(), torch.randn(30, 1, 24, 24))
    return net.eval()


def pictures(n, seed, k=3):
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % k
    x = torch.randn(n, 1, 24, 24, generator=rng) * (1 + y.view(-1, 1, 1, 1))
    return x, y


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("C", [0.01, 0.1, 1.0])
def test_the_head_of_lp_ft_gives_the_scores_of_the_probe_before_the_first_step(k, C):
    net, (x, y), (t, _) = small_network(), pictures(24, 1, k), pictures(40, 2, k)
    made = probe_head(net, x, y, C=C)
    z, z_test = (train.features(net, some).double().numpy() for some in (x, t))
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=10_000, tol=1e-8)).fit(z, y.numpy())
    ours = train.predict(made, t).double()
    theirs = torch.from_numpy(probe.decision_function(z_test))
    if k == 2:                                                          # of two classes scikit-learn tells one score
        ours, theirs = (ours[:, 1] - ours[:, 0])[:, None], theirs[:, None]
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * theirs.abs().max().item())
    assert (ours - theirs).abs().max() < 1e-3 < theirs.abs().max()
    assert made.head.out_features == k
    for key, value in net.state_dict().items():
        assert key.startswith("head") or torch.equal(value, made.state_dict()[key])


def test_the_head_of_lp_ft_is_a_minimum_of_the_penalised_loss():
    """The gradient of the probe's own objective is zero there, and is not at a head that was moved a little."""
    net, (x, y) = small_network(), pictures(24, 1)
    head, z = probe_head(net, x, y, C=0.1).head, train.features(net, x).double()
    mean, scale = z.mean(0), z.std(0, correction=0)
    scale[scale == 0] = 1                                               # a silent unit
    w = (head.weight.detach().double() * scale).requires_grad_()
    b = (head.bias.detach().double() + head.weight.detach().double() @ mean).requires_grad_()

    def slope(move):
        scores = ((z - mean) / scale) @ (w + move).T + b
        (F.cross_entropy(scores, y, reduction="sum") + (w + move).square().sum() / 0.2).backward()
        largest = max(w.grad.abs().max(), b.grad.abs().max()).item()
        w.grad = b.grad = None
        return largest

    assert slope(0.0) < 1e-3 < 0.1 < slope(0.05)


def test_a_feature_that_is_constant_has_no_weight_in_the_head():
    net, (x, y) = small_network(), pictures(24, 1)
    with torch.no_grad():                                               # ReLU of a very negative number: always 0
        linear = next(module for module in net.fc7 if isinstance(module, nn.Linear))
        linear.bias[:2] = -1e6
        linear.bias[2] = 1e6                                            # and one so large that rounding alone is left
    made = probe_head(net, x, y)
    assert made.head.weight[:, :3].eq(0).all() and made.head.weight.isfinite().all()
    assert made.head.weight[:, 3:].ne(0).any()
    assert train.evaluate(made, x, y) > 0.5


def test_the_head_of_lp_ft_fits_any_head_that_can_be_replaced_and_leaves_the_model_alone():
    net, (x, y) = small_network(), pictures(24, 1)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    plain = train.predict(probe_head(net, x, y), x)
    net.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), net.head)
    net.train()
    made = probe_head(net, x, y)
    torch.testing.assert_close(train.predict(made, x), plain)
    assert made.training and net.training and isinstance(made.head, nn.Sequential)
    assert not any(module._forward_pre_hooks for module in made.modules())
    net.eval().head = net.head[2]
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    half = probe_head(copy.deepcopy(net).to(torch.bfloat16), x.to(torch.bfloat16), y)
    assert half.head.weight.dtype == torch.bfloat16 and half.head.weight.isfinite().all()
    frozen = probe_head(surgery.freeze(net), x, y)
    assert not frozen.conv1[0].weight.requires_grad and frozen.head.weight.requires_grad


@pytest.mark.parametrize("labels, C, word", [
    ([0, 2] * 12, 0.1, "y must"), ([1, 2] * 12, 0.1, "y must"), ([0] * 24, 0.1, "y must"),
    ([0.0, 1.0] * 12, 0.1, "y must"), ([-1, 0] * 12, 0.1, "y must"), ([0, 1] * 12, 0.0, "C must"),
    ([0, 1] * 12, float("nan"), "C must"),
    ([0, 1] * 11, 0.1, "labels must")])
def test_the_head_of_lp_ft_refuses_what_is_no_training_set(labels, C, word):
    with pytest.raises(ValueError, match=word):
        probe_head(small_network(), pictures(24, 1)[0], torch.tensor(labels), C=C)


def test_cross_validation_finds_the_layer_that_knows_the_classes_without_a_test_set():
    rng = np.random.default_rng(0)
    z, y = blobs(45, 20)
    layers = {2: rng.standard_normal((45, 5)), 4: z, 6: rng.standard_normal((45, 5))}
    best = choose_layer(layers, y)
    assert best["layer"] == 4 and best["accuracy"] > 0.9
    assert choose_layer({"only": layers[2]}, y)["accuracy"] < 0.65        # chance is 1/3: not scored on what was fitted
    assert choose_layer(layers, y, folds=50)["layer"] == 4                # no more folds than a class has examples
    same = choose_layer({"first": z, "second": z.copy()}, y, strengths=(1.0, 0.1))
    assert same["layer"] == "first" and same["C"] in (0.1, 1.0)
    wide = np.concatenate([blobs(60, 9, apart=2.0)[0], 3 * rng.standard_normal((60, 300))], 1)
    assert choose_layer({0: wide}, blobs(60, 9)[1], strengths=(0.001, 10.0))["C"] == 0.001


@pytest.mark.parametrize("options", [{"folds": 1}, {"strengths": ()}, {"strengths": (0.0,)}])
def test_cross_validation_refuses_what_decides_nothing(options):
    z, y = blobs(12, 0)
    with pytest.raises(ValueError):
        choose_layer({1: z}, y, **options)
    with pytest.raises(ValueError):
        choose_layer({}, y)
    with pytest.raises(ValueError, match="twice"):
        choose_layer({1: z[:4]}, y[:4])
