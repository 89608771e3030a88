"""Contrast: SimCLR and MoCo, what their views, temperature and batch do, and what is left without negatives."""
import dataclasses
import functools
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import env, selfsup, train
from tlutils.experiments import pretexts, pretraining, record

CHAPTER = "07_contrast"


@dataclass(frozen=True)
class Config(pretraining.Config):
    """Pool, encoder and protocol of `pretraining`, and what a contrastive method adds."""

    methods: tuple[str, ...] = ("SimCLR",)                 # names in METHODS, each a change of this config
    kind: str = "SimCLR"                                   # or MoCo, pull, one of PRETEXTS, random
    tau: float = 0.2
    dim: int = 64                                          # of z
    queue: int = 2048
    m: float = 0.99
    paint: str = "colour"                                  # or grey, even: what `repainted` does to all pictures
    tuned: tuple[str, ...] = ()                            # methods that are fine-tuned, too
    long_scratch: int = 0                                  # "random" is fine-tuned this many times as long, too
    n_pool: int = 6000
    n_test: int = 1200
    steps: int = 600
    views_per_step: int = 192
    lr: float = 4e-3
    area: tuple[float, float] = (0.65, 1.0)
    grey: float = 0.0
    labels_per_class: tuple[int, ...] = (5, 20, 100)
    tune_steps: int = 300
    tune_lr: float = 3e-3


PRETEXTS = ("rotation", "supervised", "pair", "imputation")                                     # of chapter 6
METHODS = {
    "SimCLR": {}, "MoCo": {"kind": "MoCo"}, **{name: {"kind": name} for name in PRETEXTS},
    "random": {"kind": "random"}, "crop only": {"colour": 0.0, "mix": 0.0, "grey": 0.0},
    "jitter": {"colour": 1.0, "mix": 0.0}, "pull only": {"kind": "pull", "steps": 150},
    "tau 0.05": {"tau": 0.05}, "tau 1": {"tau": 1.0},
    "batch 16": {"views_per_step": 32, "steps": 1200},
    "batch 16 queue": {"kind": "MoCo", "views_per_step": 32, "steps": 1200},
    "random, grey": {"kind": "random", "paint": "grey"}, "random, even": {"kind": "random", "paint": "even"},
    "crop only, grey": {"colour": 0.0, "mix": 0.0, "grey": 0.0, "paint": "grey"},
    "crop only, even": {"colour": 0.0, "mix": 0.0, "grey": 0.0, "paint": "even"},
    "random in views": {"kind": "random", "tune_views": True}, "SimCLR in views": {"tune_views": True}}


def projection(config: Config) -> nn.Sequential:
    """Return g: h (n, n_features) -> z (n, dim), with one hidden layer."""
    d = config.n_features
    return nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, config.dim)).to(env.device())


def simclr_loss(model: nn.Module, batch, *, tau: float) -> Tensor:
    """Return NT-Xent of both views of a batch, model(x) = g(f(x))."""
    return selfsup.nt_xent(*model(torch.cat(batch[0])).chunk(2), temperature=tau)


def pull_loss(model: nn.Module, batch) -> Tensor:
    """Return what is left of contrast without negatives: 2 - 2 cosine of the two views, which a constant makes zero."""
    z1, z2 = F.normalize(model(torch.cat(batch[0])), dim=1).chunk(2)
    return 2 - 2 * (z1 * z2).sum(1).mean()


class MoCoLoss:
    """The loss of one step of MoCo; it keeps the slow encoder and the queue.

    Convention: each view is a query once, the other view's key its positive; the keys of both enter the queue after
        the loss has read it.
    """

    def __init__(self, model: nn.Module, config: Config, n_data: int):
        self.slow = selfsup.MomentumEncoder(model, config.m).train()
        self.queue = selfsup.Queue(config.queue, config.dim, n_data, device=next(model.parameters()).device)
        self.tau = config.tau

    def __call__(self, model: nn.Module, batch) -> Tensor:
        x = torch.cat(batch[0])
        q, keys = model(x), self.slow(x)
        other = torch.cat(keys.chunk(2)[::-1])                                              # of view 1 that of view 2
        loss = selfsup.info_nce(q, other, self.queue.keys.clone(), self.tau)                # push writes in place
        self.queue.push(keys.float())
        self.slow.update(model)
        return loss


def pretrained(config: Config, images: pretraining.Pool, seed: int):
    """Return (f, g, losses) of a network pretrained as config.kind says; g is None where there is no projection.

    Errors: ValueError for another kind.
    """
    if config.kind == "random":
        return pretraining.random_encoder(config, seed), None, []
    if config.kind in PRETEXTS:
        shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(pretraining.Config)}
        f, losses, _ = pretexts.pretrained(config.kind, pretexts.Config(**shared), images, seed)
        return f, None, losses
    if config.kind not in ("SimCLR", "MoCo", "pull"):
        raise ValueError(f"kind must be SimCLR, MoCo, pull, {', '.join(PRETEXTS)} or random, got {config.kind!r}")
    env.seed_everything(seed)
    f, g = encoder_and_projection(config)
    model = nn.Sequential(f, g)
    loss = {"SimCLR": functools.partial(simclr_loss, tau=config.tau), "pull": pull_loss,
            "MoCo": MoCoLoss(model, config, len(images.x)) if config.kind == "MoCo" else None}[config.kind]
    return f, g, pretraining.pretrain(model, loss, config, images.x, None, seed)


def encoder_and_projection(config: Config) -> tuple[nn.Sequential, nn.Sequential]:
    """Return f and g with random weights: h = f(x), z = g(h)."""
    return pretraining.encoder(config), projection(config)


def tint(x: Tensor) -> Tensor:
    """Return which of red, green and blue is largest in the mean of each picture: what the colour matrix removes."""
    return x.mean((2, 3)).argmax(1)


def repainted(images: pretraining.Pool, paint: str) -> pretraining.Pool:
    """Return the pool, labelled and test pictures too, in grey, or in grey of even mean and contrast; "colour": as is.

    Convention: grey is the brightness in three equal channels; even pictures have mean 0 and standard deviation 0.8.
    Errors: ValueError for another paint.
    """
    if paint == "colour":
        return images
    if paint not in ("grey", "even"):
        raise ValueError(f"paint must be colour, grey or even, got {paint!r}")
    done = {}
    for name in ("x", "x_labelled", "x_test"):
        x = getattr(images, name)
        x = torch.einsum("c,nchw->nhw", x.new_tensor(selfsup.views.GREY), x)[:, None]
        if paint == "even":
            x = 0.8 * (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True)
        done[name] = x.repeat(1, 3, 1, 1).contiguous(memory_format=torch.channels_last)
    return dataclasses.replace(images, **done)


def spread(z: Tensor) -> float:
    """Return the mean standard deviation of the coordinates of normalised rows, times the root of their number.

    1 for directions that fill the sphere evenly, 0 for one and the same direction.
    """
    z = F.normalize(z, dim=1)
    return float(z.std(0).mean() * z.shape[1] ** 0.5)


def judged(name: str, f: nn.Sequential, g: nn.Sequential | None, config: Config, images: pretraining.Pool,
           seed: int) -> dict[tuple[str, int], float]:
    """Return what can be read from h = f(x), and from z = g(h) if there is one, and accuracies of fine-tuned copies."""
    most = config.n_labelled
    found = pretraining.probes(f, config, images, seed)
    keep = pretraining.few(config, images, most, seed)
    tints, tints_test = tint(images.x_labelled), tint(images.x_test)
    for space, model in (("h", f), ("z", None if g is None else nn.Sequential(f, g))):
        if model is None or config.paint != "colour":                                           # grey has no tint
            continue
        z, z_test = train.predict(model, images.x_labelled), train.predict(model, images.x_test)
        found[f"tint {space}", most] = selfsup.linear_probe(z, tints, z_test, tints_test)["accuracy"]
        if space == "z":
            found["probe z", most] = selfsup.linear_probe(z[keep], images.y_labelled[keep], z_test,
                                                          images.y_test)["accuracy"]
    longer = dataclasses.replace(config, tune_steps=config.tune_steps * max(config.long_scratch, 1))
    for n in config.labels_per_class if name in config.tuned else ():
        model = pretraining.fine_tuned(f, config, images, n, seed)
        found["fine-tune", n] = train.evaluate(model, images.x_test, images.y_test)
        keep = pretraining.few(config, images, n, seed)
        found["fit", n] = train.evaluate(model, images.x_labelled[keep], images.y_labelled[keep])
        if name == "random" and config.long_scratch:
            model = pretraining.fine_tuned(f, longer, images, n, seed)
            found["scratch, long", n] = train.evaluate(model, images.x_test, images.y_test)
    return found


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed, for each method: accuracies by reader and labels, final loss, seconds."""
    images, rows = pretraining.pool(config, seed), []
    for name in config.methods:
        here, start = dataclasses.replace(config, **METHODS[name]), time.process_time()
        pictures = repainted(images, here.paint)
        f, g, losses = pretrained(here, pictures, seed)
        seconds = time.process_time() - start
        rows += pretraining.rows(name, seed, judged(name, f, g, here, pictures, seed))
        keys = {"method": name, "seed": seed, "reader": "", "labels_per_class": 0}
        rows.append({**keys, "metric": "seconds", "value": round(seconds, 2), "unit": "s of CPU"})
        if g is not None:
            value = spread(train.predict(nn.Sequential(f, g), pictures.x_test))
            rows.append({**keys, "metric": "spread of z", "value": round(value, 5), "unit": "1 on the whole sphere"})
        if losses:
            end = pretraining.mean_of(losses)
            unit = ("squared error" if here.kind == "imputation" else "nats") + ", mean of the last 20 steps"
            rows.append({**keys, "metric": "loss", "value": round(end, 5), "unit": unit})
    return rows


def live() -> Config:
    """Return what chapter 7 runs: a short training, at scale "full" a long one on photographs."""
    return pretraining.at_scale(LIVE)


LAPTOP = Config()
LIVE = dataclasses.replace(LAPTOP, labels_per_class=(100,), steps=450)
KINDS = dataclasses.replace(LAPTOP, methods=("random", "SimCLR", "MoCo", "rotation", "supervised"), long_scratch=2,
                            tuned=("random", "SimCLR", "rotation", "supervised"))
VIEWS = dataclasses.replace(LAPTOP, labels_per_class=(20, 100), methods=("crop only", "jitter", "pull only"))
KNOBS = dataclasses.replace(VIEWS, methods=("tau 0.05", "tau 1", "batch 16", "batch 16 queue"))
# Written after seed 0 and before the recorded seeds 1 to 5. With S for SimCLR and scratch of KINDS, in every seed:
# scratch in views reads over 15 points more than S fine-tuned on the pictures as they are with 5 labels, over 20 with
# 20, and over 8 more than scratch on the pictures as they are with 100; S in views gains less than 5 points on scratch
# in views with 20. Frozen, 100 labels, beside random features on the same pictures: crops alone on grey ones gain less
# than 15 points, on even ones over 15, and over 10 more than on grey ones (accuracies themselves).
CONTROLS = dataclasses.replace(
    LAPTOP, methods=("random in views", "SimCLR in views", "random, grey", "crop only, grey", "random, even",
                     "crop only, even"), tuned=("random in views", "SimCLR in views"), tune_steps=1200)
# Written before any of it ran, from the seeds 0 to 4 of chapter 6, for the recorded seeds 1 to 5; beside random,
# rotation and scratch of KINDS and scratch in views of CONTROLS, in every seed. Frozen, 100 labels: imputation reads
# within 10 points of random features; the pair over 15 more than these, and over 5 less than rotation. Fine-tuned on
# the pictures as they are, 20 labels: imputation reads within 10 points of scratch, the pair over 10 more than scratch;
# scratch in views reads over 20 more than both.
OTHERS = dataclasses.replace(LAPTOP, methods=("imputation", "pair"), tuned=("imputation", "pair"))
PRESETS = {"kinds": ("What are the features of contrast worth beside those of other pretraining, and of none?", KINDS),
           "pretexts": ("What are filling in and the pair of chapter 6 worth in the protocol of `kinds`?", OTHERS),
           "views": ("What is left if views share their colours, and what without negatives?", VIEWS),
           "knobs": ("What do the temperature, the batch and the queue do?", KNOBS),
           "controls": ("What do the views alone teach, and what crops on pictures without colour?", CONTROLS)}

if __name__ == "__main__":
    record.main("tlutils.experiments.contrast", CHAPTER, PRESETS, run, pretraining.describe)
