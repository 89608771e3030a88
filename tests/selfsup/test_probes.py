"""The probes: right on cases with a known answer, blind to the test set, clear about bad input."""
import numpy as np
import pytest
import torch

from tlutils.selfsup import knn_probe, linear_probe


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
    (lambda x, y, t, r: (x * np.nan, y, t, r), "finite")])
def test_bad_input_is_refused(probe, change, word):
    with pytest.raises(ValueError, match=word):
        probe(*change(*blobs(30, 0), *blobs(30, 1)))


def test_more_bad_input_is_refused():
    x, y = blobs(30, 0)
    for labels in (np.zeros(30, int), np.r_[0, np.ones(29, int)]):
        with pytest.raises(ValueError, match="two classes"):
            linear_probe(x, labels, x, y)
    with pytest.raises(ValueError, match="strengths"):
        linear_probe(x, y, x, y, strengths=(0,))
    for k in ((0,), (30,), ()):
        with pytest.raises(ValueError, match="neighbours"):
            knn_probe(x, y, x, y, neighbours=k)
