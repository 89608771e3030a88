"""Is an earlier moment of the source the better start for a target? Each moment has a cool-down of its own."""
from dataclasses import dataclass

from tlutils import env, probes, train, worlds
from tlutils.experiments.experiment import Experiment
from tlutils.results import Expected, row

CHAPTER = "01_what_is_transfer_learning"


@dataclass(frozen=True)
class Config(worlds.Source):
    """The source, the moments at which its training is ended, and what is then done with it on each target."""

    budgets: tuple[int, ...] = (100, 300, 900)                    # training steps, of which the last fifth cools down
    targets: tuple[str, ...] = ("similar", "symbols", "texture")
    labels_per_class: tuple[int, ...] = (5, 20)
    probe_layers: tuple[int, ...] = (2, 4, 7)
    tune_labels: int = 5                                          # labels of each class for LP-FT
    tune_steps: int = 150
    tune_lr: float = 3e-3


def data(config: Config, seed: int) -> dict:
    """Return the source's images, labels and unseen classes, new images of its classes, and each target."""
    *images, unseen = worlds.source_images(config, seed)
    most = max(config.labels_per_class)
    return {"source": (*images, unseen), "source test": worlds.source_test(config, config.n_test, seed)} | {
        name: worlds.target(name, config, seed, unseen, most=most) for name in config.targets}


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: accuracy of probes and of LP-FT by moment (budget), target and labels per class."""
    parts, rows = data(config, seed), []
    x, y, _ = parts["source"]
    env.seed_everything(seed)
    trunk = worlds.conv8_of(config)(config.n_source_classes, x.shape[1], x.shape[2]).to(env.device())
    ends = train.decayed_branches(trunk, x, y, budgets=config.budgets, lr=config.lr, batch_size=config.batch_size,
                                  seed=seed)
    for budget, network in ends.items():
        rows.append(row("source", seed, "source_accuracy", train.evaluate(network, *parts["source test"]),
                        budget=budget))
        for name in config.targets:
            test = parts[name]
            layers = {n: probes.probe_features(network, test.x_test, n) for n in config.probe_layers}
            for size in config.labels_per_class:
                few, told = test.few(size, seed), {"budget": budget, "target": name, "labels_per_class": size}
                for n in config.probe_layers:
                    z = probes.probe_features(network, few.x, n)
                    found = probes.linear_probe(z, few.labels, layers[n], test.test_labels, C=0.1)
                    rows.append(row(f"probe {n}", seed, "accuracy", found["accuracy"], **told))
                if size == config.tune_labels:
                    model = probes.probe_head(network, few.x, few.y)
                    train.train(model, few.x, few.y, lr=config.tune_lr, steps=config.tune_steps,
                                batch_size=config.batch_size, seed=seed, transform=worlds.changed)
                    rows.append(row("LP-FT", seed, "accuracy", train.evaluate(model, test.x_test, test.y_test), **told))
    return rows


LAPTOP = Config()
PRESETS = {"earlier_moment": ("Does an earlier moment of the source's training suit a target better?", LAPTOP)}
# Fixed before the recorded run: in a pilot without cool-down the last of the moments was the best in both of its seeds.
EXPECTED = tuple(Expected({"budget": 900}, {"budget": earlier}, 0,
                          {"method": method, "target": name, "labels_per_class": 5}, every=False)
                 for method in ("probe 2", "probe 7", "LP-FT") for name in Config.targets for earlier in (100, 300))
EXPERIMENT = Experiment(CHAPTER, PRESETS, run, data, {"earlier_moment": EXPECTED})

if __name__ == "__main__":
    EXPERIMENT.main()
