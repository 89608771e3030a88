"""What a pretext task leaves in the features: filling in, a Siamese pair, rotation, read layer by layer."""
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import data, env, selfsup, train
from tlutils.experiments import few_labels, pretraining, record

CHAPTER = "06_filling_in_and_pretexts"
QUESTIONS = ("class", "ink", "turn")
METHODS = ("random", "supervised", "rotation", "rotation, colours kept", "pair", "imputation")


@dataclass(frozen=True)
class Config(pretraining.Config):
    """The shared pool, encoder and views; and what is hidden, how large a piece is, how much a probe may read."""

    steps: int = 400
    views_per_step: int = 128
    ratio: float = 0.5                                            # share of hidden patches
    patch: int = 4                                                # side of a hidden patch, in pixels
    piece: int = 10                                               # side of a piece of the pair, at most half the image
    n_probe: int = 50                                             # labelled images of each class


def colours_kept(config: Config) -> Config:
    """Return config with views that are cropped and turned a little, and keep their colours."""
    return dataclasses.replace(config, colour=0.0, mix=0.0, grey=0.0)


class Siamese(nn.Module):
    """p(y | r[f(x1), f(x2)]): one encoder reads both, r reads the two features side by side."""

    def __init__(self, f: nn.Module, n_features: int, n_answers: int, hidden: int = 128):
        super().__init__()
        self.f = f
        self.r = nn.Sequential(nn.Linear(2 * n_features, hidden), nn.ReLU(), nn.Linear(hidden, n_answers))

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        z1, z2 = self.f(torch.cat(pair)).chunk(2)                                       # one f for both
        return self.r(torch.cat([z1, z2], 1))


def pair_batch(v1: Tensor, v2: Tensor, size: int, generator: torch.Generator | None = None):
    """Cut two neighbouring pieces of every image, one from each view; say where the second lies, seen from the first.

    Shapes: v1, v2 (n, c, s, s) -> ((n, c, s, s), (n, c, s, s)), answers (n,): 0 right, 1 above, 2 left, 3 below.
    Convention: each piece is a square of `size` pixels somewhere in a quarter of the image, enlarged to the image's
        size. Both views must show the same section, or the answer would be wrong: crop before you call.
    Errors: ValueError unless the images are squares of even side and 1 <= size <= half of it.
    """
    n, _, s, w = v1.shape
    if s != w or s % 2 or v1.shape != v2.shape or not 1 <= size <= s // 2:
        raise ValueError(f"need two views (n, c, s, s), s even, 1 <= size <= s / 2; got {tuple(v1.shape)}, "
                         f"{tuple(v2.shape)} and size {size}")

    def draw(high, *shape):
        return torch.randint(high, shape, generator=generator).to(v1.device)

    answer, free, aside = draw(4, n), draw(2, n), draw(s // 2 - size + 1, 4, n)
    # in which quarter the first piece lies, counted down and to the right; the second lies one further
    down, right = answer.new_tensor([[0, -1, 0, 1], [1, 0, -1, 0]])[:, answer]
    rows = torch.where(down == 0, free, (down < 0).long())
    columns = torch.where(right == 0, free, (right < 0).long())
    quarter = s // 2
    return (_cut(v1, rows * quarter + aside[0], columns * quarter + aside[1], size),
            _cut(v2, (rows + down) * quarter + aside[2], (columns + right) * quarter + aside[3], size)), answer


def _cut(x: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    n, c, s, _ = x.shape
    ticks = torch.arange(size, device=x.device)
    rows, columns = (top[:, None] + ticks)[:, None, :, None], (left[:, None] + ticks)[:, None, None, :]
    part = x[torch.arange(n, device=x.device)[:, None, None, None], torch.arange(c, device=x.device)[:, None, None],
             rows, columns]                                                             # (n, c, size, size)
    part = F.interpolate(part, s, mode="bilinear", align_corners=False)
    return part.contiguous(memory_format=torch.channels_last)


def decoder(config: Config) -> nn.Sequential:
    """Return the way back from features to an image: (n, n_features) -> (n, 3, side, side), side divisible by 8."""
    wide, at = config.widths[-1], config.side // 8
    blocks: list[nn.Module] = [nn.Linear(config.n_features, wide * at**2), nn.ReLU(), nn.Unflatten(1, (wide, at, at))]
    for c_in, c_out in ((wide, config.widths[1]), (config.widths[1], config.widths[0])):
        blocks += [nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
    return nn.Sequential(*blocks, nn.ConvTranspose2d(config.widths[0], 3, 4, 2, 1)).to(env.device())


def imputation_loss(config: Config) -> Callable:
    """Return the loss of filling in hidden patches of both views, as `pretraining.pretrain` wants it."""
    def loss(model, batch):
        images = torch.cat(batch[0])
        seen, hidden = selfsup.mask_patches(images, config.ratio, config.patch)
        return selfsup.imputation_loss(model(seen).float(), images, hidden)
    return loss


def pair_loss(config: Config) -> Callable:
    """Return the loss of telling where the second piece lies, as `pretraining.pretrain` wants it."""
    def loss(model, batch):
        pieces, answer = pair_batch(*batch[0], config.piece)
        return F.cross_entropy(model(pieces), answer)
    return loss


def pretrained(method: str, config: Config, images: pretraining.Pool, seed: int):
    """Return (f, its losses, the whole network or None) after the pretext task named; test images are not read.

    Errors: ValueError for a method that is not in METHODS.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    config = colours_kept(config) if method.endswith("kept") else config
    task = method.split(",")[0]
    if task == "random":
        return pretraining.random_encoder(config, seed), [], None
    if task in ("supervised", "rotation"):
        how = pretraining.pretrain_supervised if task == "supervised" else pretraining.pretrain_rotation
        return *how(config, images, seed), None
    env.seed_everything(seed)
    f = pretraining.encoder(config)
    if task == "pair":
        # both pieces come from one section of the image: the whole of it
        model, loss = Siamese(f, config.n_features, 4).to(env.device()), pair_loss(config)
        config = dataclasses.replace(config, area=(1.0, 1.0), rotate=0.0, flip=0.0)
    else:
        model, loss = nn.Sequential(f, decoder(config)), imputation_loss(config)
        config = colours_kept(config)
    return f, pretraining.pretrain(model, loss, config, images.x, None, seed), model


def questions(config: Config, images: pretraining.Pool, seed: int) -> dict:
    """Return what probes are asked about labelled and test images: {question: (x, y, x_test, y_test)}.

    class: which letter. ink: each of red, green and blue above or below a half, 8 answers (of photographs: their mean
    colour, above or below the median of the labelled ones). turn: by how many quarter turns this image was turned; for
    this question alone each image is turned at random. All three are asked of the same images.
    """
    keep = pretraining.few(config, images, config.n_probe, seed).cpu()
    inks, asked = _inks(config, images, seed), {name: () for name in QUESTIONS}
    for part, (x, y, ink) in enumerate(((images.x_labelled[keep], images.y_labelled[keep], inks[0][keep]),
                                        (images.x_test, images.y_test, inks[1]))):
        quarter = torch.from_numpy(np.random.default_rng([seed, part]).integers(4, size=len(x)))
        turned = torch.stack([image.rot90(int(k), (1, 2)) for image, k in zip(x, quarter, strict=True)])
        for name, inputs, answers in (("class", x, y), ("ink", x, ink), ("turn", turned, quarter)):
            asked[name] += (inputs, answers)
    return asked


def _inks(config: Config, images: pretraining.Pool, seed: int) -> list[Tensor]:
    if config.world != "glyphs":
        means = [x.mean((2, 3)).cpu() for x in (images.x_labelled, images.x_test)]
        return [((mean > means[0].median(0).values) * torch.tensor([4, 2, 1])).sum(1) for mean in means]
    letters = data.glyph_classes("latin")[: config.n_classes]      # as in pretraining.pool, this time with attributes
    drawn = [data.colour_glyphs(letters, n, 10 * seed + part, side=config.side, return_attributes=True)[2]
             for part, n in ((1, config.n_labelled * config.n_classes), (2, config.n_test))]
    return [torch.from_numpy((attributes["ink"] > 0.5) @ [4, 2, 1]) for attributes in drawn]


def layers(f: nn.Sequential, x: Tensor) -> dict[str, np.ndarray]:
    """Return what a probe reads at each depth of f, maps averaged to 3x3 (and flat): {name of block: (n, d)}."""
    read, z = {}, x
    for name, block in f.named_children():
        z = train.predict(block, z)
        read[name] = (few_labels.thirds(z) if z.ndim == 4 else z).flatten(1).cpu().numpy()
    return read


def probed(f: nn.Sequential, asked: dict, seed: int) -> dict[tuple[str, str], float]:
    """Return test accuracies {(question, layer): accuracy} of linear probes on frozen features."""
    found = {}
    for name, (x, y, x_test, y_test) in asked.items():
        z, z_test = layers(f, x), layers(f, x_test)
        for layer in z:
            with threadpool_limits(1):                             # many small fits: threads would wait for each other
                found[name, layer] = selfsup.linear_probe(z[layer], y, z_test[layer], y_test, strengths=STRENGTHS,
                                                          seed=seed)["accuracy"]
    return found


def run(config: Config, seed: int) -> list[dict]:
    """Return all rows of one seed: how each task went, and what probes read from each layer afterwards."""
    images, rows = pretraining.pool(config, seed), []
    asked = questions(config, images, seed)
    for method in METHODS:
        f, losses, _ = pretrained(method, config, images, seed)
        if losses:
            rows.append(_row(method, seed, "loss", pretraining.mean_of(losses), "nats or squared error"))
        for (question, layer), value in probed(f, asked, seed).items():
            rows.append(_row(method, seed, "accuracy", value, "fraction", question=question, layer=layer))
    return rows


def _row(method: str, seed: int, metric: str, value: float, unit: str, **keys) -> dict:
    return {"method": method, "seed": seed, **keys, "metric": metric, "value": round(float(value), 5), "unit": unit}


def live() -> Config:
    """Return the configuration of the chapter's own run, at the scale that is set."""
    return pretraining.at_scale(LAPTOP)


STRENGTHS = (0.001, 0.01, 0.1)
LAPTOP = Config()
PRESETS = {"layers": ("What does each pretext task leave in the features, layer by layer?", LAPTOP)}

if __name__ == "__main__":
    record.main("tlutils.experiments.pretexts", CHAPTER, PRESETS, run, pretraining.describe)
