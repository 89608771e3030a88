"""Train the shelf of `tlutils.zoo`:  python -m tlutils.experiments.shelf_training  (a few minutes on two CPU cores)."""
import argparse
import datetime
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import nn

from tlutils import data, env, models, results, train, zoo
from tlutils.selfsup import rotation_batch
from tlutils.worlds import reserved, tensors

WIDE = (32, 48, 64, 64, 96, 128)


@dataclass(frozen=True)
class Recipe:
    """One checkpoint: what it sees, what it is asked, and for how long."""

    source: str                                                   # letters, latin, ..., symbols, digits or gratings
    n_source_classes: int | None = None                           # of the characters not reserved; None: all of them
    architecture: str = "conv8"
    options: dict = field(default_factory=dict)                   # further arguments of the architecture
    task: str = "labels"                                          # or "rotation", or "none": random weights
    images: int = 6000
    steps: int = 900
    glyphs: dict = field(default_factory=dict)                    # how the pictures are drawn, such as no noise
    lr: float = 3e-3
    batch_size: int = 64
    seed: int = 0


RECIPES = {
    "letters60": Recipe("letters", 60),
    "letters60-wide": Recipe("letters", 60, options={"widths": WIDE}),
    "letters60-plain": Recipe("letters", 60, options={"batchnorm": False}, lr=1e-3),  # at 3e-3 it does not learn
    "letters60-vit": Recipe("letters", 60, "tiny_vit", lr=2e-3),
    "letters60-short": Recipe("letters", 60, steps=300),
    "letters60-clean": Recipe("letters", 60, glyphs={"jitter": 0.0, "noise": 0.0}),
    "letters60-rotation": Recipe("letters", 60, task="rotation"),
    "letters10": Recipe("letters", 10),
    "latin": Recipe("latin"),
    "georgian-armenian": Recipe("georgian+armenian"),
    "symbols40": Recipe("symbols", 40),
    "symbols40-wide": Recipe("symbols", 40, options={"widths": WIDE}),
    "symbols40-vit": Recipe("symbols", 40, "tiny_vit", lr=2e-3),
    "symbols40-rotation": Recipe("symbols", 40, task="rotation"),
    "digits": Recipe("digits"),
    "gratings": Recipe("gratings", 10),
    "random": Recipe("letters", 60, task="none"),
}


def characters(recipe: Recipe) -> list[str]:
    """Return the characters that a recipe trains on, none of them reserved."""
    if recipe.source == "digits":
        return list("0123456789")
    kept = set(reserved("letters")) | set(reserved("symbols"))
    pool = [c for part in recipe.source.split("+") for c in data.glyph_classes(part) if c not in kept]
    return [str(c) for c in np.random.default_rng(100 + recipe.seed).permutation(pool)[: recipe.n_source_classes]]


def pictures(recipe: Recipe, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n images and labels of a recipe's source."""
    if recipe.source == "gratings":
        return data.gratings(n, seed=seed)
    return data.glyphs(characters(recipe), n, seed=seed, **recipe.glyphs)


def rotation_loss(model: nn.Module, batch) -> torch.Tensor:
    """Return the loss of telling by how many quarter turns each image of a batch was turned."""
    return train.classify(model, rotation_batch(batch[0]))


def make(recipe: Recipe) -> tuple[nn.Sequential, dict]:
    """Train one checkpoint; return the network and its facts.

    Convention: accuracy is that of the float16 weights on 1,500 images that training has not seen.
    """
    images, labels = pictures(recipe, recipe.images, recipe.seed)
    x, y = tensors(images, labels)
    turn = recipe.task == "rotation"
    n_classes = 4 if turn else int(labels.max()) + 1
    env.seed_everything(recipe.seed)
    model = models.BUILDERS[recipe.architecture](n_classes, **recipe.options).to(env.device())
    if recipe.task != "none":
        size = recipe.batch_size // (2 if turn else 1)  # four turns of half as many images
        train.train(model, x, y, lr=recipe.lr, steps=recipe.steps, batch_size=size, seed=recipe.seed,
                    loss=rotation_loss if turn else train.classify)
    model.half().float()  # as it will be stored
    test = tensors(*pictures(recipe, 1500, 10_000 + recipe.seed))
    score = train.evaluate(model, *(rotation_batch(test[0]) if turn else test))
    shown = "" if recipe.source == "gratings" else "".join(characters(recipe))
    facts = {"architecture": recipe.architecture, "options": recipe.options, "n_classes": n_classes,
             "source": f"{recipe.source}, {int(labels.max()) + 1} classes", "task": recipe.task,
             "accuracy": round(score, 4), "characters": shown, "recipe": asdict(recipe)}
    return model.eval(), facts


def main() -> None:
    """Train all checkpoints, or the named ones, and put them on the shelf."""
    parser = argparse.ArgumentParser(prog="python -m tlutils.experiments.shelf_training", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(RECIPES)}; default: all")
    chosen = parser.parse_args().names or list(RECIPES)
    if unknown := sorted(set(chosen) - set(RECIPES)):
        parser.error(f"no recipe {', '.join(unknown)}")
    made = {**results.code_version(), "device": env.device_name(), "versions": env.versions()}
    from tqdm.auto import tqdm  # here, so that the module loads where it is not installed

    for name in tqdm(chosen):
        model, facts = make(RECIPES[name])
        date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        command = f"python -m tlutils.experiments.shelf_training {name}"
        zoo.store(name, model, facts | {"command": command, "date_utc": date, **made})


if __name__ == "__main__":
    main()
