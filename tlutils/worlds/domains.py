"""Pairs of domains that chapter 9 sets against each other: one task, labels in the source and none in the target."""
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tlutils import data, env


@dataclass(frozen=True)
class Domains:
    """Both domains as network inputs. y_t is for who may train on the target, and y_test for the last look."""

    x_s: Tensor
    y_s: Tensor
    x_held: Tensor
    y_held: Tensor
    x_t: Tensor
    y_t: Tensor
    x_test: Tensor
    y_test: Tensor
    n_classes: int


def domain_pair(name: str, seed: int, *, n_source: int, n_target: int, n_held: int, n_test: int,
                shares: tuple[float, ...] | None = None) -> Domains:
    """Return the images (or bags of words) of both domains, less the mean of all that may be seen in training.

    Shapes: n_source examples to train on, n_held of the source kept back, n_target and n_test of the target. Where a
        data set is given ("handwriting", the test images of the two kinds of MNIST-M) it is taken whole.
    Convention: shares are how frequent each class is in the target, for "textured" alone; None: as they come.
    Errors: ValueError for another pair, or shares of another; FileNotFoundError that names what "mnist_m" needs.
    """
    if name not in PAIRS:
        raise ValueError(f"pair must be one of {', '.join(PAIRS)}, got {name!r}")
    if shares is not None and name != "textured":
        raise ValueError(f"shares must be None for the pair {name}, got {shares}")
    more = {"shares": shares} if name == "textured" else {}
    (x, y), (x_t, y_t), (x_test, y_test) = PAIRS[name](seed, n_source=n_source + n_held, n_target=n_target,
                                                       n_test=n_test, **more)
    middle = 0.5 * (x.mean(0) + x_t.mean(0))
    if x.ndim == 4:
        middle = middle.mean((1, 2), keepdim=True)  # one number a colour
    x, x_t, x_test, n = x - middle, x_t - middle, x_test - middle, n_source
    y, y_t, y_test = (torch.as_tensor(labels, device=x.device) for labels in (y, y_t, y_test))
    return Domains(x[:n], y[:n], x[n:], y[n:], x_t, y_t, x_test, y_test, n_classes=int(y.max()) + 1)


def textured(seed: int, *, n_source: int, n_target: int, n_test: int, shares: tuple[float, ...] | None = None):
    """Return printed digits, and printed digits on photographs to learn from and to test on, each (x, y)."""
    (digits, y), target, test = (data.rendered_digits(n, 10 * seed + k)
                                 for k, n in enumerate((n_source, n_target, n_test)))
    parts = [(digits, y)]
    for k, split, (images, labels) in ((3, "train", target), (4, "test", test)):
        images, labels = drawn(images, labels, shares, 10 * seed + k)
        parts.append((data.mnist_m(images, data.photo_strips(split), 10 * seed + k), labels))
    return [(in_colour(images), labels) for images, labels in parts]


def handwriting(seed: int, *, n_source: int, n_target: int, n_test: int):
    """Return printed digits, and all of scikit-learn's handwritten ones, to learn from and to test on, each (x, y)."""
    digits, y = data.rendered_digits(n_source, 10 * seed)
    real = data.load("digits")
    return [(in_colour(digits), y), (in_colour(real.train_images), real.train_labels),
            (in_colour(real.test_images), real.test_labels)]


def two_products(seed: int, *, n_source: int, n_target: int, n_test: int):
    """Return reviews of books, and of kitchen goods, as bags of the words that occur in either, each (x, y)."""
    sizes = (("books", n_source), ("kitchen", n_target), ("kitchen", n_test))
    parts = [data.reviews(product, n, 10 * seed + k) for k, (product, n) in enumerate(sizes)]
    words = data.vocabulary(parts[0][0] + parts[1][0])
    return [(torch.from_numpy(data.bag_of_words(texts, words)).to(env.device()), labels) for texts, labels in parts]


def published_mnist_m() -> tuple[Path, Path]:
    """Return where the photographs of BSDS500 and the published test images of MNIST-M are looked for."""
    return data.data_root() / "BSDS500" / "images" / "train", data.data_root() / "mnist_m_test.npz"


def real_mnist_m(seed: int, *, n_source: int, n_target: int, n_test: int):
    """Return MNIST, other MNIST digits on patches of BSDS500, and the published test images of MNIST-M, cut to 28.

    Errors: FileNotFoundError that names what is missing.
    """
    folder, published = published_mnist_m()
    if not folder.is_dir() or not published.is_file():
        raise FileNotFoundError(f"mnist_m needs the photographs of BSDS500 in {folder} and test images in {published}")
    from PIL import Image
    photos = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(folder.glob("*.jpg"))]
    with np.load(published) as test:
        images, labels = test["images"][:, 2:30, 2:30], test["labels"]
    return *mnist_halves(photos, seed, n_source=n_source, n_target=n_target), (in_colour(images), labels)


def mnist_strips(seed: int, *, n_source: int, n_target: int, n_test: int):
    """Return MNIST, other MNIST digits on strips of the two embedded photographs, and test digits on other strips."""
    mnist = data.load("mnist", download=True)
    mixed = data.mnist_m(mnist.test_images, data.photo_strips("test"), seed)
    halves = mnist_halves(data.photo_strips("train"), seed, n_source=n_source, n_target=n_target)
    return *halves, (in_colour(mixed), mnist.test_labels)


def mnist_halves(photos: list[np.ndarray], seed: int, *, n_source: int, n_target: int):
    """Return training digits of MNIST, and others of them on patches of photos, each (x, y)."""
    mnist = data.load("mnist", download=True)
    order = np.random.default_rng(seed).permutation(len(mnist.train_images))
    own, other = order[:n_source], order[n_source:n_source + n_target]
    images, labels = data.mnist_m(mnist.train_images[other], photos, seed), mnist.train_labels
    return [(in_colour(mnist.train_images[own]), labels[own]), (in_colour(images), labels[other])]


def drawn(images: np.ndarray, labels: np.ndarray, shares: tuple[float, ...] | None, seed: int):
    """Return as many images, drawn with replacement so that class c has the share shares[c]; None: as they came.

    Errors: ValueError unless there is a share >= 0 for each class and one of them is positive.
    """
    if shares is None:
        return images, labels
    if len(shares) <= labels.max() or min(shares) < 0 or not max(shares) > 0:
        raise ValueError(f"shares must be >= 0, not all zero, one for each of {labels.max() + 1} classes, got {shares}")
    weight = np.asarray(shares, float)[labels] / np.bincount(labels, minlength=len(shares))[labels]
    chosen = np.random.default_rng(seed).choice(len(labels), len(labels), p=weight / weight.sum())
    return images[chosen], labels[chosen]


def in_colour(images: np.ndarray) -> Tensor:
    """Return images as a network input of three channels on the device of the book."""
    return data.to_tensor(images if images.ndim == 4 else np.repeat(images[..., None], 3, -1), env.device())


PAIRS = {"textured": textured, "handwriting": handwriting, "reviews": two_products, "mnist_m": real_mnist_m,
         "mnist_strips": mnist_strips}
