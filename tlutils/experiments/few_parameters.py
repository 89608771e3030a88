"""How few parameters are enough? Head, norms, adapters of several sizes, everything: accuracy, counts, stored bytes."""
import copy
import dataclasses
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tlutils import adapters, data, env, models, surgery, train, zoo
from tlutils.adapters.insert import NORMS
from tlutils.experiments import few_labels, record
from tlutils.experiments.shelf_training import reserved

CHAPTER = "04_adapters"
BUILD = {"conv8": models.conv8, "tiny_vit": models.tiny_vit}
KINDS = {"conv8": ("head", "norms", "series", "parallel", "fine-tune", "scratch"),
         "tiny_vit": ("head", "norms", "bottleneck", "LoRA", "fine-tune", "scratch")}
SIZED = ("series", "parallel", "bottleneck", "LoRA")
FOLDABLE = ("series", "parallel", "LoRA")
# Chosen for each kind alone on stripes (and digits, for the CNN) of seeds 10 and 11, which no recorded run uses.
CNN_RATES = {"head": 3e-2, "norms": 1e-1, "series": 1e-1, "parallel": 3e-2, "fine-tune": 2e-2, "scratch": 2e-2}
VIT_RATES = {"head": 1e-1, "norms": 3e-2, "bottleneck": 3e-2, "LoRA": 3e-2, "fine-tune": 1e-2, "scratch": 1e-2}


@dataclass(frozen=True)
class Config:
    """A source network, the targets, and the ways to train for them: a kind, or a kind and a size ("LoRA 4")."""

    architecture: str = "conv8"                                   # or tiny_vit
    methods: tuple[str, ...] = ("head", "norms", "series 1", "series 4", "series", "parallel 1", "parallel 4",
                                "parallel", "fine-tune", "scratch")
    targets: tuple[str, ...] = ("symbols", "digits", "texture")
    labels_per_class: int = 50
    steps: int = 250
    batch_size: int = 32
    head_steps: int = 2000                                        # a head alone is cheap: train it to the end
    rates: dict = dataclasses.field(default_factory=lambda: dict(CNN_RATES))  # learning rate of each kind
    options: dict = dataclasses.field(default_factory=dict)       # further arguments of the architecture
    world: few_labels.Config = few_labels.Config()                # the images, the source's training, the test set


def source(config: Config, seed: int) -> tuple[nn.Sequential, np.ndarray]:
    """Return a network trained on the source classes of this seed, and the classes that it has never seen.

    Errors: ValueError for an unknown architecture.
    """
    if config.architecture not in BUILD:
        raise ValueError(f"architecture must be one of {', '.join(BUILD)}, got {config.architecture!r}")
    world = config.world
    if config.architecture == "conv8":
        return few_labels.source(world, seed)
    names = data.glyph_classes("letters") if world.world == "glyphs" else data.load("cifar100", download=True).classes
    names = np.random.default_rng(seed).permutation(names)
    x, y = few_labels.tensors(*few_labels.pictures(world, names[: world.n_source_classes], world.n_source, seed))
    env.seed_everything(seed)
    model = _fresh(config, world.n_source_classes, x)
    return few_labels.fit(model, x, y, world.source_steps, world, seed, model.parameters()), \
        names[world.n_source_classes:]


def ready_made(config: Config) -> tuple[nn.Sequential, np.ndarray]:
    """Return what `source` returns, without training: the shelf's network of 60 letters, and letters it has not seen.

    Convention: among photographs there is no such network, so one is trained, with seed 0.
    """
    if config.world.world != "glyphs":
        return source(config, seed=0)
    name = {"conv8": "letters60", "tiny_vit": "letters60-vit"}[config.architecture]
    return zoo.load(name).to(env.device()), np.array(reserved("letters"))


def target(name: str, config: Config, seed: int, unseen: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return (x, y, x_test, y_test) of a target, with labels_per_class labelled images of each class."""
    world = dataclasses.replace(config.world, labels_per_class=(config.labels_per_class,))
    x, y, x_test, y_test = few_labels.target(name, world, seed, unseen)
    keep = data.subset_per_class(y.cpu().numpy(), config.labels_per_class, seed)
    return x[keep], y[keep], x_test, y_test


def prepared(method: str, pretrained: nn.Sequential, x: Tensor, n_classes: int, config: Config,
             seed: int) -> nn.Sequential:
    """Return the untrained network of a method: a copy of pretrained with a new head, in which requires_grad says what
    will be trained.

    Convention: the head's first values depend on the seed alone. "norms" trains head and norms, adapters train with
        both; a size is the bottleneck or the rank, and series and parallel without one are of full rank. Factors of
        low rank carry no further scale.
    Errors: ValueError for a method that the architecture does not have, or a size that is missing or too much.
    """
    kind, _, size = method.partition(" ")
    if kind not in KINDS[config.architecture]:
        raise ValueError(f"method must begin with {', '.join(KINDS[config.architecture])}, got {method!r}")
    if (size and kind not in SIZED) or (not size and kind in ("bottleneck", "LoRA")) or not (size or "1").isdigit():
        raise ValueError(f"a size belongs to bottleneck and LoRA, and may stand at series and parallel, got {method!r}")
    env.seed_everything(seed)
    model = surgery.replace_head(copy.deepcopy(pretrained), n_classes).eval().requires_grad_(True)
    if kind == "head":
        return surgery.freeze(model)
    if kind == "scratch":
        fresh = _fresh(config, n_classes, x)
        fresh[-1].load_state_dict(model[-1].state_dict())
        return fresh.eval()
    if kind in ("series", "parallel"):
        model = adapters.insert(model, kind)
        return low_rank(model, int(size)) if size else model
    if kind in ("bottleneck", "LoRA"):
        return adapters.insert(model, kind.lower(), bottleneck=int(size), rank=int(size), scale=float(size))
    if kind == "norms":
        model[:-1].requires_grad_(False)
        for module in norms(model):
            module.requires_grad_(True)
    return model


def low_rank(model: nn.Sequential, rank: int) -> nn.Sequential:
    """Give every series and parallel adapter of model, in place, an alpha of this rank: alpha = B A. Return model."""
    for module in list(model.modules()):
        if isinstance(module, adapters.SeriesAdapter | adapters.ParallelAdapter):
            fitting = min(rank, *module.alpha.shape)
            module.alpha.requires_grad_(False)
            change = adapters.LowRank(*module.alpha.shape, fitting, scale=float(fitting)).to(module.alpha.device)
            parametrize.register_parametrization(module, "alpha", change)
    return model


def trained(method: str, pretrained: nn.Sequential, x: Tensor, y: Tensor, config: Config, seed: int) -> nn.Sequential:
    """Return the network of a method, trained on (x, y) for config.steps; pretrained stays as it is.

    Convention: a head alone is trained on features that are computed once, for config.head_steps.
    """
    model = prepared(method, pretrained, x, int(y.max()) + 1, config, seed)
    learner, inputs, steps = model, x, config.steps
    if method == "head":
        learner, inputs, steps = model[-1:], train.features(model, x), config.head_steps
    optimizer, scheduler = train.adamw([p for p in model.parameters() if p.requires_grad],
                                       config.rates[method.split()[0]], steps)
    batches = train.batches(inputs, y, config.batch_size, steps, seed)
    train.fit(learner, batches, train.classify, optimizer, scheduler=scheduler)
    return model.eval()


def norms(model: nn.Module) -> list[nn.Module]:
    """Return the normalisation layers of a network."""
    return [module for module in model.modules() if isinstance(module, NORMS)]


def task_state(model: nn.Sequential) -> dict[str, Tensor]:
    """Return what a task must store beside the backbone: trained parameters, and statistics of norms that trained.

    Convention: `load_state_dict(..., strict=False)` into a freshly prepared network of the same method brings the
        task back.
    """
    state = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    for name, module in model.named_modules():
        if module in norms(model) and any(p.requires_grad for p in module.parameters()):
            state |= {f"{name}.{key}": value for key, value in module.named_buffers()}
    return state


def stored_bytes(model: nn.Sequential) -> int:
    """Return the size of a task's file in the safetensors format."""
    from safetensors.torch import save as serialise
    return len(serialise({name: value.cpu().contiguous() for name, value in task_state(model).items()}))


def difference(a: nn.Sequential, b: nn.Sequential, x: Tensor) -> float:
    """Return the largest difference of two networks' scores of x, as a part of the largest score."""
    left, right = (train.predict(model, x) for model in (a, b))
    return ((left - right).abs().max() / left.abs().max()).item()


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: accuracies, what was trained and stored, and how exact insertion and merging are."""
    rows = []
    pretrained, unseen = source(config, seed)
    for name in config.targets:
        x, y, x_test, y_test = target(name, config, seed, unseen)
        for method in config.methods:
            def note(metric, value, unit, method=method, name=name):
                rows.append({"method": method, "seed": seed, "target": name, "metric": metric, "value": value,
                             "unit": unit})

            model = trained(method, pretrained, x, y, config, seed)
            note("accuracy", round(train.evaluate(model, x_test, y_test), 5), "fraction")
            note("train_accuracy", round(train.evaluate(model, x, y), 5), "fraction")
            note("trained", adapters.trainable_parameters(model)["total"], "parameters")
            note("stored", stored_bytes(model), "bytes")
            if method.startswith(SIZED):
                start = prepared(method, pretrained, x, int(y.max()) + 1, config, seed)
                bare = prepared("head", pretrained, x, int(y.max()) + 1, config, seed)
                note("start_difference", difference(bare, start, x_test), "relative")
            if method.startswith(FOLDABLE):
                merged = adapters.merge(model)
                note("merge_difference", difference(model, merged, x_test), "relative")
                note("merged_accuracy", round(train.evaluate(merged, x_test, y_test), 5), "fraction")
    return rows


def describe(config: Config) -> dict:
    """Name the data of a run, with the SHA-256 of the first seed's source images."""
    return few_labels.describe(config.world)


def at_scale(config: Config) -> Config:
    """Return config itself, or at scale "full" the same experiment on photographs with larger networks."""
    if env.scale() != "full":
        return config
    options = {} if config.architecture == "conv8" else {"dim": 192, "depth": 6, "heads": 6}
    world = dataclasses.replace(config.world, **few_labels.FULL)
    return dataclasses.replace(config, world=world, steps=1000, options=options)


def _fresh(config: Config, n_classes: int, x: Tensor) -> nn.Sequential:
    sizes = {"widths": config.world.widths} if config.architecture == "conv8" else {}
    return BUILD[config.architecture](n_classes, x.shape[1], x.shape[2], **sizes, **config.options).to(x.device)


CNN = Config()
VIT = Config(architecture="tiny_vit", methods=("head", "norms", "bottleneck 2", "bottleneck 8", "bottleneck 32",
             "LoRA 1", "LoRA 4", "fine-tune", "scratch"), targets=("texture",), rates=VIT_RATES,
             world=few_labels.Config(lr=2e-3))
PRESETS = {"cnn": ("How few trained parameters are enough in a convolutional network?", CNN),
           "vit": ("How few trained parameters are enough in a vision transformer?", VIT)}

if __name__ == "__main__":
    record.main("tlutils.experiments.few_parameters", CHAPTER, PRESETS, run, describe)
