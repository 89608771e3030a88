"""Ants and bees: a handful of photographs, networks trained on ImageNet, and what to do with them."""
import copy
import dataclasses
from dataclasses import dataclass

from torch import nn

from tlutils import data as datasets
from tlutils import env, probes, surgery, train
from tlutils.experiments.experiment import Experiment
from tlutils.results import row
from tlutils.worlds import photographs, tensors

CHAPTER = "03_fine_tune_or_freeze"


@dataclass(frozen=True)
class Config:
    """The networks, the sizes, and one protocol for all of them."""

    sources: tuple[photographs.Borrowed, ...] = photographs.BORROWED
    side: int = 224                            # pixels, for frozen features
    labels_per_class: tuple[int, ...] = (5, 20, 50, 120)
    C: float = 0.01                            # of the probe
    tuned: str = "ImageNet"                    # the source that is fine-tuned
    tuned_side: int = 128
    tuned_labels: tuple[int, ...] = (120,)
    tuned_steps: int = 40
    batch_size: int = 30
    lr: float = 2e-3
    body_lr: float = 1e-4
    seen: int = 1200                           # images seen when a head is trained on a frozen body
    batch_sizes: tuple[int, ...] = (4, 30)     # of that training


def data(config: Config, seed: int) -> dict:
    """Return the photographs at both sizes, and the weights of each source (their file, or a word for the rest)."""
    photos = {f"{side} pixels": photographs.ants_and_bees(side) for side in (config.side, config.tuned_side)}
    return photos | {f"weights: {source.name}": photographs.weights_of(source) or "random" for source in config.sources}


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: probes by source and labels, fine-tuning, and a head on a body frozen two ways."""
    parts, rows = data(config, seed), []
    photos, small = (parts[f"{side} pixels"] for side in (config.side, config.tuned_side))
    labels, test_labels = photos.train_labels, photos.test_labels
    keep = {size: datasets.subset_per_class(labels, size, seed)
            for size in sorted({*config.labels_per_class, *config.tuned_labels})}

    def note(method, value, source, side, size, metric="accuracy", **more):
        rows.append(row(method, seed, metric, value, source=source.name, side=side, labels_per_class=size, **more))

    def probe(z, z_test, size):
        return probes.linear_probe(z[keep[size]], labels[keep[size]], z_test, test_labels, C=config.C)["accuracy"]

    for source in config.sources:
        z, z_test = photographs.stored_codes(source, config.side, 0)  # one network a source; the seed draws the photos
        for size in config.labels_per_class:
            note("probe", probe(z, z_test, size), source, config.side, size)
    source = next(s for s in config.sources if s.name == config.tuned)
    x, y = tensors(small.train_images, labels)
    x_test, y_test = tensors(small.test_images, test_labels)
    z, z_test = photographs.stored_codes(source, config.tuned_side, 0)
    for size in config.tuned_labels:
        few = keep[size]
        note("probe", probe(z, z_test, size), source, config.tuned_side, size)
        model = photographs.fine_tuned(source, x[few], y[few], steps=config.tuned_steps, batch_size=config.batch_size,
                                       lr=config.lr, body_lr=config.body_lr, seed=seed)
        for metric, images, truth in (("accuracy", x_test, y_test), ("train_accuracy", x[few], y[few])):
            score = train.evaluate(model, images, truth, batch_size=50)
            note("fine-tune", score, source, config.tuned_side, size, metric)
    pretrained, size = photographs.network(source, 0), max(config.tuned_labels)
    for batch_size in config.batch_sizes:
        for way in ("frozen", "tutorial"):
            env.seed_everything(seed)
            model = surgery.replace_head(copy.deepcopy(pretrained), 2)
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0                        # so that the two ways differ in the statistics alone
            train.train_head(model, x[keep[size]], y[keep[size]], way=way, lr=config.lr,
                             steps=config.seen // batch_size, batch_size=batch_size, seed=seed)
            score = train.evaluate(model, x_test, y_test, batch_size=50)
            note(way, score, source, config.tuned_side, size, batch_size=batch_size)
    return rows


LAPTOP = Config()
LIVE = dataclasses.replace(LAPTOP, sources=LAPTOP.sources[:1])
PRESETS = {"ants_and_bees": ("A few photographs: frozen features, fine-tuning, and which source?", LAPTOP)}
EXPERIMENT = Experiment(CHAPTER, PRESETS, run, data)

if __name__ == "__main__":
    EXPERIMENT.main()
