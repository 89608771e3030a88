"""Choose classes and examples: halves of a set of classes, a few examples of each class."""
import numpy as np

from tlutils.data.glyphs import LETTERS, script_of
from tlutils.env import check_seed

# The 20 superclasses of CIFAR-100 in its own order; the fine classes of each, as published with the set.
CIFAR100_SUPERCLASSES = {
    "aquatic_mammals": "beaver dolphin otter seal whale", "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip", "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe", "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman", "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train", "vehicles_2": "lawn_mower rocket streetcar tank tractor"}
_MAN_MADE = ("food_containers", "household_electrical_devices", "household_furniture",
             "large_man-made_outdoor_things", "vehicles_1", "vehicles_2")
_HALVES = (("latin", "greek", "cyrillic"), ("arrows", "geometric"))


def split_classes(classes, *, by: str = "random", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cut a list of classes into two tasks A and B.

    by="random": two random halves, n // 2 and n - n // 2 (similar tasks; Yosinski et al. 2014, section 4.1).
    by="script": glyph characters. If both letters and symbols are there: A = letters, B = symbols. If all are letters:
        A = latin, greek, cyrillic; B = armenian, georgian. If all are symbols: A = arrows, geometric; B = blocks, box.
    by="kind": class names of CIFAR-100: A = natural (70 of the 100), B = man-made (30: food containers, household
        electrical devices, household furniture, large man-made outdoor things, vehicles 1 and 2).
    Returns: two int64 arrays of indices into `classes`, each sorted; together they hold every index once.
    Convention: `seed` matters for by="random" only.
    Errors: ValueError for an unknown `by`, repeated classes, unknown names, or if a part would be empty.

    >>> split_classes(["A", "B", "→", "Γ"], by="script")
    (array([0, 1, 3]), array([2]))
    """
    if np.ndim(classes) != 1 and not isinstance(classes, str):
        raise ValueError(f"classes must be a list (k,) of classes, got shape {np.shape(classes)}")
    classes = [str(c) for c in classes]
    if len(set(classes)) < len(classes):
        raise ValueError(f"classes must be distinct, got {classes}")
    if by == "random":
        in_a = np.zeros(len(classes), bool)
        in_a[np.random.default_rng(check_seed(seed)).permutation(len(classes))[: len(classes) // 2]] = True
    elif by == "script":
        scripts = [script_of(c) for c in classes]
        letters = [s in LETTERS for s in scripts]
        in_a = np.array([s in sum(_HALVES, ()) for s in scripts]) if len(set(letters)) == 1 else np.array(letters)
    elif by == "kind":
        superclass = {fine: coarse for coarse, names in CIFAR100_SUPERCLASSES.items() for fine in names.split()}
        unknown = [c for c in classes if c not in superclass]
        if unknown:
            raise ValueError(f"classes must be class names of CIFAR-100 for by='kind', got {unknown}")
        in_a = np.array([superclass[c] not in _MAN_MADE for c in classes])
    else:
        raise ValueError(f"by must be 'random', 'script' or 'kind', got {by!r}")
    if in_a.all() or not in_a.any():
        raise ValueError(f"classes must fall into two parts by {by!r}, but one part is empty: {classes}")
    return np.flatnonzero(in_a), np.flatnonzero(~in_a)


def select_classes(images: np.ndarray, labels: np.ndarray, classes) -> tuple[np.ndarray, np.ndarray]:
    """Keep the images of some classes and count these classes anew.

    Shapes: images (n, ...), labels (n,), classes (k,) label values; returns images (m, ...) and labels (m,) int64.
    Convention: class classes[j] becomes label j; the order of the images stays.
    Errors: ValueError for repeated classes, classes that no label has, or labels that do not fit the images.

    >>> images, labels = select_classes(np.arange(6), [0, 1, 2, 2, 1, 0], classes=[2, 0])
    >>> images.tolist(), labels.tolist()
    ([0, 2, 3, 5], [1, 0, 0, 1])
    """
    labels, classes = _as_labels(labels), np.asarray(classes)
    if classes.size and not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"classes must be labels, whole numbers (k,), got {classes.dtype} {classes.shape}")
    if len(labels) != len(images):
        raise ValueError(f"images and labels must have the same length, got {len(images)} and {len(labels)}")
    absent = [int(c) for c in np.ravel(classes) if not (labels == c).any()]
    if classes.ndim != 1 or not len(classes) or len(np.unique(classes)) < len(classes) or absent:
        raise ValueError(f"classes must be distinct labels that occur, got {classes.tolist()} (absent: {absent})")
    order = np.argsort(classes)
    keep = np.isin(labels, classes)
    return images[keep], order[np.searchsorted(classes, labels[keep], sorter=order)].astype(np.int64)


def subset_per_class(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Choose n examples of every class at random, without repetition.

    Shapes: labels (N,) any integers; returns indices (n k,) int64 for the k classes that occur, in random order.
    Errors: ValueError if n < 1 or a class has fewer than n examples; it names the class.

    >>> labels = np.array([0, 0, 0, 1, 1, 1])
    >>> sorted(labels[subset_per_class(labels, 2, seed=0)].tolist())
    [0, 0, 1, 1]
    """
    labels = _as_labels(labels)
    rng = np.random.default_rng(check_seed(seed))
    values, counts = np.unique(labels, return_counts=True)
    if n < 1 or not len(values) or counts.min() < n:
        few = f"; class {values[counts.argmin()]} has {counts.min()}" if len(values) else "; there are no labels"
        raise ValueError(f"n must be at least 1 and at most the examples of each class, got n={n}{few}")
    return rng.permutation(np.concatenate([rng.choice(np.flatnonzero(labels == v), n, replace=False) for v in values]))


def _as_labels(labels) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        hint = "" if labels.ndim != 2 else "; of a column take labels[:, 0], of one-hot rows labels.argmax(1)"
        raise ValueError(f"labels must be integers (n,), got {labels.dtype} {labels.shape}{hint}")
    return labels
