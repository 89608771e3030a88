"""A frozen body whose BatchNorm statistics move: what the common tutorial does, and what it costs."""
from dataclasses import dataclass

from tlutils import surgery, train, worlds
from tlutils.experiments.experiment import Experiment
from tlutils.results import row

CHAPTER = "03_fine_tune_or_freeze"


@dataclass(frozen=True)
class Config:
    """One head on one body, trained in three ways; `letters` describes the source network."""

    letters: worlds.Source = worlds.Source()
    targets: tuple[str, ...] = ("similar", "symbols", "texture", "digits")
    labels_per_class: int = 20
    batch_sizes: tuple[int, ...] = (2, 4, 16, 64)
    steps: int = 300                     # of the head, the same for every batch size
    lr: float = 3e-3
    n_source_test: int = 2000


def data(config: Config, seed: int) -> dict:
    """Return the source's images, labels and unseen classes, its test images, and each target with few labels."""
    *images, unseen = worlds.source_images(config.letters, seed)
    parts = {"source": (*images, unseen), "source test": worlds.source_test(config.letters, config.n_source_test, seed)}
    return parts | {name: worlds.target(name, config.letters, seed, unseen, most=config.labels_per_class).few(
        config.labels_per_class, seed) for name in config.targets}


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: by target, batch size and way, the accuracy on the target and on the source."""
    parts = data(config, seed)
    pretrained, _ = worlds.source_network(config.letters, seed, images=parts["source"])
    old = parts["source test"]
    rows = [row("source", seed, "source_accuracy", train.evaluate(pretrained, *old))]
    for name in config.targets:
        target = parts[name]
        for batch_size in config.batch_sizes:
            def note(method, metric, value, name=name, batch_size=batch_size):
                rows.append(row(method, seed, metric, value, target=name, batch_size=batch_size))

            heads = {}
            for way in train.WAYS:
                model = surgery.new_head(pretrained, target.n_classes, seed)
                heads[way] = train.train_head(model, target.x, target.y, way=way, lr=config.lr, steps=config.steps,
                                              batch_size=batch_size, seed=seed)
                note(way, "accuracy", train.evaluate(model, target.x_test, target.y_test))
                note(way, "source_accuracy", train.evaluate(surgery.with_head(model, pretrained), *old))
                note(way, "drift", surgery.drift(pretrained, model))
                note(way, "feature_change", train.feature_change(pretrained, model, target.x_test))
            # a head trained on features that were stored before the drift
            stale = surgery.with_head(heads["tutorial"], heads["frozen"])
            note("stored features", "accuracy", train.evaluate(stale, target.x_test, target.y_test))
    return rows


LAPTOP = Config()
PRESETS = {"batchnorm": ("What happens to a frozen body when its BatchNorm statistics are not frozen?", LAPTOP)}
EXPERIMENT = Experiment(CHAPTER, PRESETS, run, data)

if __name__ == "__main__":
    EXPERIMENT.main()
