"""Two worlds, letters that are drawn and photographs of CIFAR-100: source networks trained there, and their targets."""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import data, env, models, train
from tlutils.worlds.tasks import Task, task, tensors


@dataclass(frozen=True)
class World:
    """Where images come from: their size, their classes, and a way to get images of some of them.

    images(names, n, seed, test) returns n images (all that there are, if fewer) and labels of the named classes.
    """

    side: int
    channels: int
    classes: Callable[[], list[str]]
    images: Callable[..., tuple[np.ndarray, np.ndarray]]


def _drawn(names, n: int, seed: int, test: bool = False) -> tuple[np.ndarray, np.ndarray]:
    return data.glyphs(list(names), n, seed=seed)


def _photographed(names, n: int, seed: int, test: bool = False) -> tuple[np.ndarray, np.ndarray]:
    real = data.load("cifar100", download=True)
    if unknown := sorted(set(names) - set(real.classes)):
        raise ValueError(f"CIFAR-100 has no class {unknown}")
    split = (real.test_images, real.test_labels) if test else (real.train_images, real.train_labels)
    images, labels = data.select_classes(*split, [int(np.flatnonzero(real.classes == name)[0]) for name in names])
    keep = data.subset_per_class(labels, min(n // len(names), np.bincount(labels).min()), seed)
    return images[keep], labels[keep]


GLYPHS = World(24, 1, lambda: data.glyph_classes("letters"), _drawn)
CIFAR100 = World(32, 3, lambda: data.load("cifar100", download=True).classes, _photographed)
WORLDS = {"glyphs": GLYPHS, "photographs": CIFAR100}
TARGETS = ("similar", "digits", "symbols", "texture", "smears")


def world(name: str) -> World:
    """Return the world of a name; ValueError for another than "glyphs" and "photographs"."""
    if name not in WORLDS:
        raise ValueError(f"world must be {' or '.join(WORLDS)}, got {name!r}")
    return WORLDS[name]


@dataclass(frozen=True)
class Source:
    """A source network: its world, how much it sees and for how long; and how large its targets are."""

    world: str = "glyphs"                                         # or "photographs": CIFAR-100 and MNIST, 32 px, colour
    n_source_classes: int = 60                                    # letters, or classes of CIFAR-100
    n_source: int = 6000                                          # images
    source_steps: int = 900
    n_target_classes: int = 10
    n_test: int = 1500
    batch_size: int = 64
    lr: float = 3e-3
    widths: tuple[int, ...] = (16, 24, 32, 32, 48, 64)            # of the six convolutions


# what changes at scale "full"
FULL = {"world": "photographs", "n_source": 30_000, "source_steps": 8000, "widths": (64, 96, 128, 128, 192, 256)}


def source_images(source: Source, seed: int) -> tuple[Tensor, Tensor, np.ndarray]:
    """Return images and labels of the source classes of this seed, and the names of the classes that are left."""
    names = np.random.default_rng(seed).permutation(world(source.world).classes())
    seen, unseen = names[: source.n_source_classes], names[source.n_source_classes:]
    return *tensors(*world(source.world).images(seen, source.n_source, seed)), unseen


def source_network(source: Source, seed: int, *, images: tuple[Tensor, Tensor, np.ndarray] | None = None,
                   build: Callable[..., nn.Sequential] | None = None) -> tuple[nn.Sequential, np.ndarray]:
    """Return a network trained on the source classes of this seed, and the classes it has never seen.

    Convention: images are those of `source_images`, drawn here if they are not given; build(n_classes, channels, side)
        makes the network, by default conv8 of source.widths.
    """
    x, y, unseen = images or source_images(source, seed)
    env.seed_everything(seed)
    model = (build or conv8_of(source))(source.n_source_classes, x.shape[1], x.shape[2]).to(env.device())
    train.train(model, x, y, lr=source.lr, steps=source.source_steps, batch_size=source.batch_size, seed=seed,
                parameters=model.parameters())
    return model, unseen


def conv8_of(source: Source) -> Callable[..., nn.Sequential]:
    """Return how a conv8 of this source is built: (n_classes, channels, side) -> network."""
    return lambda n_classes, channels, side: models.conv8(n_classes, channels, side, source.widths)


def source_test(source: Source, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return n new images of the classes that the source network of this seed was trained on, and their labels."""
    seen = np.random.default_rng(seed).permutation(world(source.world).classes())[: source.n_source_classes]
    return tensors(*world(source.world).images(seen, n, 3000 + seed, test=True))


def target(name: str, source: Source, seed: int, unseen: np.ndarray, *, most: int) -> Task:
    """Return a target of a source network, with up to `most` labelled images of each class.

    Convention: "similar" are ten classes that the source has not seen; "digits" is real handwriting, all of it;
        "symbols" are arrows and shapes; "texture" are gratings; "smears" are six kinds of cells. Among photographs all
        are brought to 32 x 32 in colour.
    Errors: ValueError for another name.
    """
    here, n = world(source.world), most * source.n_target_classes
    if name == "digits":
        digits = data.load("digits") if here is GLYPHS else data.load("mnist", download=True)
        splits = [(digits.train_images, digits.train_labels), (digits.test_images, digits.test_labels)]
    elif name == "texture":
        splits = [data.gratings(n, seed=1000 + seed, side=here.side),
                  data.gratings(source.n_test, seed=2000 + seed, side=here.side)]
    elif name == "smears":
        splits = [data.smears(most * len(data.SMEARS), seed=3000 + seed, side=here.side),
                  data.smears(source.n_test, seed=4000 + seed, side=here.side)]
    elif name in ("similar", "symbols"):
        pool = unseen if name == "similar" else data.glyph_classes("symbols")
        chosen = np.random.default_rng(seed + 77).permutation(pool)[: source.n_target_classes]
        images = here.images if name == "similar" else GLYPHS.images
        splits = [images(chosen, n, 1000 + seed), images(chosen, source.n_test, 2000 + seed, test=True)]
    else:
        raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {name!r}")
    found = task(*splits)
    return found if here is GLYPHS else Task(_as_photographs(found.x, here), found.y,
                                             _as_photographs(found.x_test, here), found.y_test)


def shifted(source: Source, seed: int, unseen: np.ndarray, *, most: int) -> tuple[Task, Tensor, Tensor]:
    """Return ten unseen letters in one manner of writing, and test images of them in another: (task, images, labels).

    Convention: the task's letters, up to `most` a class to learn from, are upright and sans serif, dark on light; the
        further test images have serifs and are light on dark. The source network has seen all of that, on its letters.
    Errors: ValueError for another world than "glyphs".
    """
    if source.world != "glyphs":
        raise ValueError(f"source must be of the world glyphs to choose a typeface, got {source.world!r}")
    chosen = np.random.default_rng(seed + 77).permutation(unseen)[: source.n_target_classes]

    def written(each: int, seed: int, faces: list[str], polarity: int) -> tuple[np.ndarray, np.ndarray]:
        some = np.flatnonzero([face in faces for face in data.FACES])
        images, labels, drawn = data.glyphs(chosen, 24 * each * len(chosen), seed=seed, return_attributes=True)
        kept = np.flatnonzero(np.isin(drawn["face"], some) & (drawn["polarity"] == polarity))
        kept = kept[data.subset_per_class(labels[kept], each, seed)]
        return images[kept], labels[kept]

    test = source.n_test // len(chosen)
    serif, sans = ([face for face in data.FACES if ("Serif" in face) == kind and "Oblique" not in face]
                   for kind in (True, False))
    return (task(written(most, 1000 + seed, sans, -1), written(test, 2000 + seed, sans, -1)),
            *tensors(*written(test, 4000 + seed, serif, 1)))


def reserved(group: str) -> list[str]:
    """Return the 40 letters or 40 symbols that no checkpoint of the zoo has seen: material for targets.

    Errors: ValueError for another group than "letters" and "symbols".
    """
    if group not in ("letters", "symbols"):
        raise ValueError(f"group must be letters or symbols, got {group!r}")
    return [str(c) for c in np.random.default_rng(12).permutation(data.glyph_classes(group))[:40]]


def _as_photographs(x: Tensor, here: World) -> Tensor:
    x = x.expand(-1, here.channels, -1, -1)
    return x if x.shape[-1] == here.side else F.interpolate(x, here.side, mode="bilinear")
