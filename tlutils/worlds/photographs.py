"""Real photographs and networks trained on millions of them: ants and bees, CIFAR-100, torchvision's families."""
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import data, env, models, surgery, train

FOLDER = "hymenoptera_data"                    # under the data root: train/{ants,bees}, val/{ants,bees}
WEIGHTS = "hub/checkpoints"                    # files of weights under the data root; else torchvision's hub is asked
ZIP = "https://download.pytorch.org/tutorial/hymenoptera_data.zip"


@dataclass(frozen=True)
class Borrowed:
    """A network to borrow from: torchvision's name of it, and a file of weights under the data root."""

    name: str
    network: str
    file: str | None = None                    # None: random weights
    on_hub: bool = False                       # without the file, torchvision's hub has ImageNet weights


BORROWED = (
    Borrowed("ImageNet", "mobilenet_v2", "mobilenet_v2-imagenet_int8.pth", on_hub=True),
    Borrowed("insects", "mobilenet_v2", "mobilenet_v2-inat_insect_uint8.pth"),
    Borrowed("birds", "mobilenet_v2", "mobilenet_v2-inat_bird_uint8.pth"),
    Borrowed("random", "mobilenet_v2"),
    Borrowed("ImageNet, SqueezeNet", "squeezenet1_1", "squeezenet1_1-caffe_fp16.pth", on_hub=True),
    Borrowed("random, SqueezeNet", "squeezenet1_1"))


@lru_cache(maxsize=2)
def ants_and_bees(side: int) -> data.Dataset:
    """Return the photographs at one size; FileNotFoundError tells where they come from."""
    folder = data.data_root() / FOLDER
    if not folder.is_dir():
        raise FileNotFoundError(f"no photographs at {folder}: fetch {ZIP} and unpack it there")
    return data.image_folder(folder, side)


def cifar100_classes(n_classes: int, labels_per_class: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return classes of CIFAR-100 drawn by the seed: labels_per_class training images of each, and all test images."""
    real = data.load("cifar100", download=True)
    chosen = np.random.default_rng(seed).permutation(100)[:n_classes]
    images, labels = data.select_classes(real.train_images, real.train_labels, chosen)
    keep = data.subset_per_class(labels, labels_per_class, seed)
    return [(images[keep], labels[keep]), data.select_classes(real.test_images, real.test_labels, chosen)]


def resized(x: Tensor, side: int) -> Tensor:
    """Return images (n, 3, h, w) at side x side pixels, by bilinear interpolation where the size differs."""
    return x if x.shape[-1] == side else F.interpolate(x, side, mode="bilinear", align_corners=False)


def weights_of(source: Borrowed) -> Path | str | None:
    """Return the file of a network's weights, "hub" where torchvision's hub is asked, or None for random weights.

    Errors: FileNotFoundError if the file is not under the data root and torchvision's hub has no such weights.
    """
    if source.file is None:
        return None
    path = data.data_root() / WEIGHTS / source.file
    if path.exists():
        return path
    if not source.on_hub:
        raise FileNotFoundError(f"no weights of {source.name!r} at {path}, and torchvision's hub has none")
    return "hub"


def network(source: Borrowed, seed: int, n_classes: int | None = None) -> nn.Sequential:
    """Return a network in named blocks, on the device of the book; seed fixes whatever is random in it.

    Errors: FileNotFoundError as for `weights_of`.
    """
    env.seed_everything(seed)
    return models.pretrained(source.network, weights_of(source), n_classes).to(env.device())


def codes(model: nn.Sequential, images: np.ndarray) -> np.ndarray:
    """Return the features of photographs, (n, d): the body's output, averaged over positions, 50 images at a time.

    Shapes: images uint8 (n, side, side, 3).
    """
    parts = [train.features(model, data.to_tensor(part, env.device()))
             for part in np.array_split(images, -(-len(images) // 50))]
    z = torch.cat([part.mean((2, 3)) if part.ndim == 4 else part for part in parts])
    return z.cpu().numpy()


@lru_cache(maxsize=16)
def stored_codes(source: Borrowed, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of ants and bees to train on and to test on, computed once for a network and a size."""
    model, photos = network(source, seed), ants_and_bees(side)
    return codes(model, photos.train_images), codes(model, photos.test_images)


def fine_tuned(source: Borrowed, x: Tensor, y: Tensor, *, steps: int, batch_size: int, lr: float, body_lr: float,
               seed: int) -> nn.Sequential:
    """Return a borrowed network trained on (x, y): body at body_lr, new head at lr, mirrored at random.

    Convention: running statistics stay as they were (`train.classify_in_eval_norms`): few photographs would spoil them.
    """
    model = network(source, seed, n_classes=int(y.max()) + 1)
    train.train(model, x, y, lr=lr, steps=steps, batch_size=batch_size, seed=seed, loss=train.classify_in_eval_norms,
                parameters=surgery.param_groups(model, lr, body_lr),
                transform=lambda batch, generator: data.augment(batch, generator, flip=True))
    return model
