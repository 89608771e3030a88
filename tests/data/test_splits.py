import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlutils.data import glyph_classes, script_of, select_classes, split_classes, subset_per_class
from tlutils.data.splits import _MAN_MADE, CIFAR100_SUPERCLASSES

FINE = [name for names in CIFAR100_SUPERCLASSES.values() for name in names.split()]


@given(st.integers(2, 60), st.integers(0, 1000))
def test_random_halves_are_a_partition(n, seed):
    a, b = split_classes(range(n), by="random", seed=seed)
    assert len(a) == n // 2 and len(b) == n - n // 2
    assert sorted([*a, *b]) == list(range(n))
    assert (np.diff(a) > 0).all() and (np.diff(b) > 0).all()
    assert all(np.array_equal(*pair) for pair in zip((a, b), split_classes(range(n), seed=seed), strict=True))


def test_another_seed_gives_another_half():
    halves = {tuple(split_classes(range(20), seed=seed)[0]) for seed in range(20)}
    assert len(halves) == 20


@pytest.mark.parametrize(("characters", "a_scripts"), [
    (glyph_classes("letters") + glyph_classes("symbols"), {"latin", "greek", "cyrillic", "armenian", "georgian"}),
    (glyph_classes("letters"), {"latin", "greek", "cyrillic"}),
    (glyph_classes("symbols"), {"arrows", "geometric"}),
    (["→", "A"], {"latin"})])
def test_split_by_script(characters, a_scripts):
    a, b = split_classes(np.array(characters), by="script")
    assert sorted([*a, *b]) == list(range(len(characters)))
    assert {script_of(characters[i]) for i in a} == a_scripts
    assert not {script_of(characters[i]) for i in b} & a_scripts


def test_split_by_kind():
    assert len(CIFAR100_SUPERCLASSES) == 20 and len(set(FINE)) == 100
    natural, man_made = split_classes(sorted(FINE), by="kind")
    assert len(natural) == 70 and len(man_made) == 30
    names = [sorted(FINE)[i] for i in man_made]
    assert {"bottle", "lamp", "chair", "skyscraper", "train", "tank"} <= set(names)
    assert set(names) == {name for kind in _MAN_MADE for name in CIFAR100_SUPERCLASSES[kind].split()}


@pytest.mark.parametrize(("classes", "by", "message"), [
    ("AB", "size", "by must"), ("AAB", "random", "distinct"), ("A", "random", "empty"), ("AB", "script", "empty"),
    (["A", "漢"], "script", "漢"), (["apple", "unicorn"], "kind", "unicorn"), (["apple", "bear"], "kind", "empty")])
def test_split_refuses(classes, by, message):
    with pytest.raises(ValueError, match=message):
        split_classes(list(classes), by=by)


def test_select_classes_counts_anew():
    labels = np.array([5, -1, 9, 5, 7])
    images = np.arange(5)[:, None, None] * np.ones((1, 2, 2), int)
    x, y = select_classes(images, labels, [9, 5])
    assert x[:, 0, 0].tolist() == [0, 2, 3] and y.tolist() == [1, 0, 1] and y.dtype == np.int64


@given(st.permutations(range(6)), st.integers(1, 6))
def test_select_classes_keeps_the_pairs(classes, k):
    labels = np.arange(30) % 6
    x, y = select_classes(labels * 10, labels, classes[:k])
    assert len(x) == 5 * k and np.array_equal(np.array(classes)[y] * 10, x)


@pytest.mark.parametrize(("labels", "classes"), [
    ([0, 1, 2], [0, 0]), ([0, 1, 2], [3]), ([0, 1, 2], []), ([0, 1], [0]), ([0.0, 1.0, 2.0], [0])])
def test_select_classes_refuses(labels, classes):
    with pytest.raises(ValueError, match="got"):
        select_classes(np.zeros((3, 2, 2)), np.array(labels), classes)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 99), st.data())
def test_subset_is_stratified(counts, seed, data):
    values = data.draw(st.lists(st.integers(-50, 50), min_size=len(counts), max_size=len(counts), unique=True))
    labels = np.random.default_rng(seed).permutation(np.repeat(values, counts))
    n = data.draw(st.integers(1, min(counts)))
    chosen = subset_per_class(labels, n, seed)
    assert len(set(chosen.tolist())) == len(chosen)
    assert dict(zip(*np.unique(labels[chosen], return_counts=True), strict=True)) == dict.fromkeys(values, n)
    assert np.array_equal(chosen, subset_per_class(labels, n, seed))


def test_subset_depends_on_the_seed_and_is_shuffled():
    labels = np.repeat([3, 8], 50)
    chosen = subset_per_class(labels, 20, 0)
    assert set(chosen) != set(subset_per_class(labels, 20, 1))
    assert np.abs(np.diff(labels[chosen])).sum() > 5      # more than one change of class


@pytest.mark.parametrize(("labels", "n", "message"), [
    ([7, 7, 9], 2, "class 9 has 1"), ([7, 7], 0, "n=0"), ([], 1, "labels"), ([0.5, 1.5], 1, "float64"),
    ([[0, 1]], 1, r"\(1, 2\)")])
def test_subset_refuses(labels, n, message):
    with pytest.raises(ValueError, match=message):
        subset_per_class(np.array(labels), n, 0)


@pytest.mark.parametrize(("labels", "message"), [
    (np.eye(3, dtype=int), r"\(3, 3\); of a column take .* one-hot rows labels\.argmax\(1\)"),
    (np.arange(3)[:, None], r"\(3, 1\); of a column take labels\[:, 0\]"), (np.array([True, False]), "bool"),
    (np.array(["ant", "bee"]), r"<U3 \(2,\)")])
def test_labels_of_another_shape_are_told(labels, message):
    with pytest.raises(ValueError, match=f"labels must be integers .*{message}"):
        subset_per_class(labels, 1, 0)
    with pytest.raises(ValueError, match=f"labels must be integers .*{message}"):
        select_classes(np.zeros((len(labels), 2, 2)), labels, [0])


def test_classes_of_another_kind_are_told():
    with pytest.raises(ValueError, match=r"classes must be labels, whole numbers .*<U3"):
        select_classes(np.zeros((3, 2, 2)), [0, 1, 2], ["ant"])
    with pytest.raises(ValueError, match="distinct labels that occur"):
        select_classes(np.zeros((3, 2, 2)), [0, 1, 2], [[0, 1]])
    with pytest.raises(ValueError, match=r"classes must be a list \(k,\) of classes, got shape \(3, 3\)"):
        split_classes(np.eye(3, dtype=int))
