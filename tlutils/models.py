"""Small networks, and torchvision's pretrained ones: each an `nn.Sequential` of named blocks, the head last."""
import argparse
import enum
import math
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tlutils import selfsup

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FAMILIES = {"ResNet": ("resnet", "resnext", "wide_resnet"), "MobileNet": "mobilenet", "SqueezeNet": "squeezenet",
            "EfficientNet": "efficientnet", "VGG": "vgg", "AlexNet": "alexnet", "ConvNeXt": "convnext",
            "Swin": "swin", "ViT": "vit"}                          # and how their names in torchvision begin
# where people put a state dict within a checkpoint, and what wrappers put into the names of weights
_WITHIN = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
_WRAPPERS = re.compile(r"_orig_mod\.|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.|(?<=\.)module\.")


def conv8(n_classes: int, channels: int = 1, side: int = 24, widths: Sequence[int] = (16, 24, 32, 32, 48, 64),
          width_fc: int = 64, batchnorm: bool = True) -> nn.Sequential:
    """Return the eight-layer network of chapters 1 to 3: conv1 ... conv6, fc7, head.

    Shapes: images (n, channels, side, side) -> scores (n, n_classes). The odd convolutions have stride 2, so
        side 24 becomes 12, 6 and 3.
    Convention: a convolution is 3x3, then BatchNorm (or a bias, with batchnorm=False), then ReLU.
    Errors: ValueError unless there are six widths and all sizes are positive.

    >>> conv8(n_classes=10)(torch.zeros(5, 1, 24, 24)).shape
    torch.Size([5, 10])
    """
    if len(widths) != 6 or min(n_classes, channels, side, width_fc, *widths) < 1:
        raise ValueError(f"need six positive widths and positive sizes, got widths {tuple(widths)}, "
                         f"n_classes {n_classes}, channels {channels}, side {side}, width_fc {width_fc}")
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (c_in, c_out) in enumerate(zip((channels, *widths[:-1]), widths, strict=True), start=1):
        conv = nn.Conv2d(c_in, c_out, 3, stride=1 + i % 2, padding=1, bias=not batchnorm)
        blocks[f"conv{i}"] = nn.Sequential(conv, *([nn.BatchNorm2d(c_out)] if batchnorm else []), nn.ReLU())
    flat = widths[-1] * math.ceil(side / 8) ** 2
    blocks["fc7"] = nn.Sequential(nn.Flatten(), nn.Linear(flat, width_fc), nn.ReLU())
    blocks["head"] = nn.Linear(width_fc, n_classes)
    return nn.Sequential(blocks).to(memory_format=torch.channels_last)


def conv_encoder(*, widths: Sequence[int] = (16, 32, 64), n_features: int = 128, channels: int = 3,
                 side: int = 24) -> nn.Sequential:
    """Return the encoder of chapters 6 and 7, a network without a head: conv1, conv2, ... of stride 2, then fc.

    Shapes: images (n, channels, side, side) -> features (n, n_features); a convolution for each width halves the side.
    Convention: the first convolution is 5x5, the others 3x3; each, and the linear layer, is followed by BatchNorm and
        ReLU and has no bias.
    Errors: ValueError for no width, or a size that is not positive.

    >>> conv_encoder(widths=(4, 8), n_features=16)(torch.zeros(5, 3, 24, 24)).shape
    torch.Size([5, 16])
    """
    if not len(widths) or min(n_features, channels, side, *widths) < 1:
        raise ValueError(f"widths must hold one number or more, all sizes positive, got widths {tuple(widths)}, "
                         f"n_features {n_features}, channels {channels}, side {side}")
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (c_in, c_out) in enumerate(zip((channels, *widths[:-1]), widths, strict=True), start=1):
        kernel = 5 if i == 1 else 3
        conv = nn.Conv2d(c_in, c_out, kernel, 2, kernel // 2, bias=False)
        blocks[f"conv{i}"] = nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU())
        side = -(-side // 2)
    dense = nn.Linear(widths[-1] * side**2, n_features, bias=False)
    blocks["fc"] = nn.Sequential(nn.Flatten(), dense, nn.BatchNorm1d(n_features), nn.ReLU())
    return nn.Sequential(blocks).to(memory_format=torch.channels_last)


class TransformerBlock(nn.Module):
    """A pre-norm transformer block: x + attention(norm(x)), then x + mlp(norm(x)). Tokens (n, t, d) in and out."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int = 2):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_ratio * dim), nn.GELU(), nn.Linear(mlp_ratio * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        z = self.norm1(x)
        x = x + self.attention(z, z, z, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Tokens(nn.Module):
    """Cut a feature map (n, d, h, w) into tokens (n, h * w, d) and add a learned position to each."""

    def __init__(self, n_tokens: int, dim: int):
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(n_tokens, dim))

    def reset_parameters(self) -> None:
        """Draw the positions anew."""
        nn.init.normal_(self.position, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2) + self.position


class MeanToken(nn.Module):
    """Normalise tokens (n, t, d) and average them over t: (n, d)."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x).mean(1)


def tiny_vit(n_classes: int, channels: int = 1, side: int = 24, dim: int = 48, depth: int = 3,
             heads: int = 4) -> nn.Sequential:
    """Return a small vision transformer: stem, block1 ... block<depth>, pool, head.

    Shapes: images (n, channels, side, side) -> scores (n, n_classes); (side / 4)^2 tokens of width dim.
    Convention: the stem is convolutional (strides 2, 2, 1), since a plain patch embedding does not learn from the few
        thousand images of the laptop scale; pre-norm blocks; the mean token is classified.
    Errors: ValueError if 4 does not divide side, heads does not divide dim, or depth < 1.

    >>> tiny_vit(n_classes=10)[:2](torch.zeros(5, 1, 24, 24)).shape                   # 36 tokens of width 48
    torch.Size([5, 36, 48])
    """
    if side % 4 or dim % heads or depth < 1 or n_classes < 1:
        raise ValueError(f"need side divisible by 4, dim by heads, depth and n_classes >= 1; got side {side}, "
                         f"dim {dim}, heads {heads}, depth {depth}, n_classes {n_classes}")
    stem: list[nn.Module] = []
    for c_in, c_out, stride in ((channels, 16, 2), (16, 32, 2), (32, dim, 1)):
        stem += [nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
    blocks: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(*stem, Tokens((side // 4) ** 2, dim)))
    for i in range(1, depth + 1):
        blocks[f"block{i}"] = TransformerBlock(dim, heads)
    blocks["pool"] = MeanToken(dim)
    blocks["head"] = nn.Linear(dim, n_classes)
    return nn.Sequential(blocks)


BUILDERS = {"conv8": conv8, "tiny_vit": tiny_vit}  # what checkpoints and configurations call by name


def digit_net(n_classes: int, side: int = 24, *, norm: str = "instance", dropout: float = 0.5) -> nn.Sequential:
    """Return the network of chapter 9 for coloured digits: conv1, conv2, features (100 of them), head.

    Shapes: images (n, 3, side, side) -> scores (n, n_classes).
    Convention: a convolution is 5x5 without a margin, then the norm, "instance" or "batch", ReLU, and the maximum of
        2x2; dropout stands before the features.
    Errors: ValueError unless n_classes >= 1, side >= 16, and norm and 0 <= dropout < 1 are as said.

    >>> digit_net(n_classes=10)[:2](torch.zeros(5, 3, 24, 24)).shape
    torch.Size([5, 32, 3, 3])
    """
    if n_classes < 1 or side < 16 or norm not in ("instance", "batch") or not 0 <= dropout < 1:
        raise ValueError(f"need n_classes >= 1, side >= 16, norm instance or batch and 0 <= dropout < 1, got "
                         f"{n_classes}, {side}, {norm!r} and {dropout}")

    def block(c_in, c_out):
        between = nn.InstanceNorm2d(c_out, affine=True) if norm == "instance" else nn.BatchNorm2d(c_out)
        return nn.Sequential(nn.Conv2d(c_in, c_out, 5), between, nn.ReLU(), nn.MaxPool2d(2))

    left = ((side - 4) // 2 - 4) // 2
    # the features before the convolutions: each takes its initial values from the generator in this order
    features = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(32 * left**2, 100), nn.ReLU())
    return nn.Sequential(OrderedDict(conv1=block(3, 16), conv2=block(16, 32), features=features,
                                     head=nn.Linear(100, n_classes)))


def word_net(n_classes: int, n_words: int, *, dropout: float = 0.5) -> nn.Sequential:
    """Return the network of chapter 9 for bags of words: features (50 of them, with dropout), head.

    Shapes: counts of words (n, n_words) -> scores (n, n_classes).
    Errors: ValueError unless both sizes are positive and 0 <= dropout < 1.

    >>> word_net(n_classes=2, n_words=300)(torch.zeros(5, 300)).shape
    torch.Size([5, 2])
    """
    if min(n_classes, n_words) < 1 or not 0 <= dropout < 1:
        raise ValueError(f"need n_classes and n_words >= 1 and 0 <= dropout < 1, got {n_classes}, {n_words}, {dropout}")
    features = nn.Sequential(nn.Linear(n_words, 50), nn.ReLU(), nn.Dropout(dropout))
    return nn.Sequential(OrderedDict(features=features, head=nn.Linear(50, n_classes)))


class TextEncoder(nn.Module):
    """Words and their places, transformer blocks, the mean over the words that are there, and a linear layer.

    Shapes: tokens (n, length) from `data.tokenize` -> (n, dim_out).
    Errors: ValueError unless all sizes are positive and heads divides dim.
    """

    def __init__(self, n_words: int, dim_out: int, dim: int = 64, depth: int = 2, length: int = 16, heads: int = 4):
        super().__init__()
        if min(n_words, dim_out, dim, depth, length, heads) < 1 or dim % heads:
            raise ValueError(f"need positive sizes and heads that divide dim, got n_words {n_words}, dim_out "
                             f"{dim_out}, dim {dim}, depth {depth}, length {length}, heads {heads}")
        self.length = length
        self.word = nn.Embedding(n_words + 2, dim)                # and two for padding and for unknown words
        self.place = nn.Parameter(0.02 * torch.randn(length, dim))
        self.blocks = nn.Sequential(*[TransformerBlock(dim, heads) for _ in range(depth)])
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, dim_out)

    def forward(self, tokens: Tensor) -> Tensor:
        z = self.norm(self.blocks(self.word(tokens) + self.place))        # (n, length, dim)
        there = (tokens > 0)[..., None]
        return self.out((z * there).sum(1) / there.sum(1))                # (n, dim_out)


class Pair(nn.Module):
    """The two encoders of CLIP with features of one width, the learned scale of their similarities, and its words.

    Convention: tokenize(texts, words, length) gives the numbers that text reads, as `data.tokenize` does; words are
        those that it knows.
    """

    def __init__(self, image: nn.Module, text: TextEncoder, words: Sequence[str], tokenize: Callable[..., np.ndarray]):
        super().__init__()
        self.words, self.tokenize = list(words), tokenize
        self.image, self.text, self.scale = image, text, selfsup.LogitScale()

    def tokens(self, texts: list[str]) -> Tensor:
        """Return texts as tokens (n, length) on the device of the model."""
        return torch.from_numpy(self.tokenize(texts, self.words, self.text.length)).to(self.scale.t.device)


class ImageNetInput(nn.Module):
    """Turn the standardised images of `data.to_tensor` into what ImageNet networks were trained on. No parameters."""

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x * 0.25 + 0.5 - self.mean) / self.std


class AtLeast(nn.Module):
    """Pass images on whose sides have `side` pixels or more; smaller ones would shrink to nothing on their way."""

    def __init__(self, side: int):
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or min(x.shape[-2:]) < self.side:
            raise ValueError(f"images must be (n, 3, h, w) of at least {self.side} x {self.side} pixels for this "
                             f"network, got {tuple(x.shape)}")
        return x


class PatchTokens(nn.Module):
    """The entrance of torchvision's ViT: patches as tokens, a class token before them, positions: (n, 1 + t, d)."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.side, self.conv_proj, self.class_token = net.image_size, net.conv_proj, net.class_token
        self.pos_embedding, self.dropout = net.encoder.pos_embedding, net.encoder.dropout

    def reset_parameters(self) -> None:
        """Start the class token and the positions anew, as torchvision does."""
        nn.init.zeros_(self.class_token)
        nn.init.normal_(self.pos_embedding, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[-2:] != (self.side, self.side):
            raise ValueError(f"images must be (n, 3, {self.side}, {self.side}) for this ViT, whose positions are those "
                             f"of {self.side} x {self.side} pixels, got {tuple(x.shape)}")
        x = self.conv_proj(x).flatten(2).transpose(1, 2)                             # (n, t, d)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1)
        return self.dropout(x + self.pos_embedding)


class FirstToken(nn.Module):
    """Of tokens (n, t, d) the first one, the class token: (n, d)."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


def pretrained(name: str, weights: str | Path | enum.Enum | bool | None = "hub",
               n_classes: int | None = None) -> nn.Sequential:
    """Return a torchvision network in named blocks: an input step with the stem, the body's stages, pool, head.

    Shapes: images (n, 3, h, w) from `data.to_tensor` -> scores; the normalisation that the weights were trained with
        is part of the first block. A ViT takes 224 x 224 (or what its file was trained with) and no other size.
    Convention: "hub" (also True, "DEFAULT", "IMAGENET1K_V1", torchvision's enums) downloads torchvision's weights,
        None gives random ones, a path reads a state dict (.pth or .safetensors; also within a checkpoint, or from a
        wrapped, compiled or half-precision model) and its number of classes. Nothing in a file is executed.
        n_classes puts on a new random head. VGG, AlexNet, ConvNeXt, Swin and ViT were tried with random weights and
        files of the right names; the hub's own weights of these five were not at hand.
    Errors: ValueError for a network of another family than ResNet, MobileNet, SqueezeNet, EfficientNet and those five,
        or a file that does not fit (it names weights that are missing or too many); FileNotFoundError for a missing
        file; ConnectionError where the hub cannot be reached.
    """
    from torchvision import models as theirs  # takes a second, and nothing else here needs it
    if name not in theirs.list_models(theirs):
        raise ValueError(f"torchvision has no classification network {name!r}")
    if not any(name.startswith(beginning) for beginning in FAMILIES.values()):
        raise ValueError(f"{name} is of another family; known are {', '.join(FAMILIES)}")
    entries = theirs.get_model_weights(name)
    source = _source(name, weights, entries)
    if source is None:
        net = theirs.get_model(name, weights=None)
    else:
        with torch.device("meta"):  # its names and shapes alone: no memory, and no random number is drawn
            plan = theirs.get_model(name, weights=None)
        try:
            content = _fetch(name, source) if isinstance(source, enum.Enum) else _read(source)
            state = _renamed(_state_dict(content), list(plan.state_dict()))
            net = theirs.get_model(name, weights=None, **_options(plan, state))
            _fill(net, state)
        except (ValueError, RuntimeError, TypeError, IndexError, AssertionError) as error:
            told = " ".join(str(error).split())[:400]
            raise ValueError(f"{source} does not hold weights of {name}: {told}") from None
    seen = (source if isinstance(source, enum.Enum) else entries.DEFAULT).transforms()
    model = nn.Sequential(_blocks(net, seen.mean, seen.std)).eval()
    if n_classes is not None:
        from tlutils.surgery import replace_head
        replace_head(model, n_classes)
    return model


def _source(name: str, weights, entries: type[enum.Enum]) -> Path | enum.Enum | None:
    """Return torchvision's entry for the weights asked for, the path of a file, or None for random weights."""
    known = ", ".join(f'"{word}"' for word in ("hub", *entries.__members__))
    if weights is None or weights is False:
        return None
    if isinstance(weights, enum.Enum):
        if weights not in list(entries):
            raise ValueError(f"weights must be those of {name} ({known} or a file), got {weights}")
        return weights
    if weights is True or weights == "hub":
        return entries.DEFAULT
    if not isinstance(weights, str | Path):
        raise ValueError(f"weights must be one of {known}, a path or None, got a {type(weights).__name__}")
    if (word := str(weights).removeprefix(f"{entries.__name__}.")) in entries.__members__:
        return entries[word]
    path = Path(weights).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"no weights at {path}; weights must be one of {known}, or the path of a file")
    return path


def _fetch(name: str, entry: enum.Enum) -> dict[str, Tensor]:
    if entry.meta.get("categories") is None:
        raise ValueError("they are features without a classifier")
    try:
        return entry.get_state_dict(progress=True, check_hash=True, map_location="cpu", weights_only=True)
    except Exception as error:  # no network, a proxy's page, a full disk, an older download cut short
        cached = Path(torch.hub.get_dir(), "checkpoints", entry.url.rsplit("/", 1)[-1])
        if cached.exists():
            raise ValueError(f"{cached} is damaged ({str(error)[:100]}); delete it, and it is fetched again") from None
        raise ConnectionError(f"the weights of {name} could not be fetched ({error}); with a file of them at hand: "
                              f"pretrained({name!r}, weights=PATH)") from None


def _read(path: Path):
    """Return what a file of weights holds. Its first bytes say its kind; nothing in it is executed."""
    if not path.is_file():
        raise ValueError("it is a folder or a device, and no file")
    with open(path, "rb") as file:
        first = file.read(64)
    if first[8:9] == b"{" and int.from_bytes(first[:8], "little") < path.stat().st_size:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"it is damaged ({error})") from None
    if not first.startswith((b"PK", b"\x80")):
        raise ValueError(f"it begins with {first[:40]!r}" if first else "it is empty")
    scalar = np.float64(0).__reduce__()[0]  # beside the weights people save options, and numbers of NumPy
    harmless = [argparse.Namespace, scalar, np.dtype, *{type(np.dtype(code)) for code in "?bhilqBHILQefd"}]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(harmless):
            warnings.simplefilter("ignore")  # TorchScript is warned of, and then refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on which byte it is
        if "weights_only" in str(error) or "Weights only" in str(error):
            what = re.search(r"GLOBAL (\S+)", str(error))
            raise ValueError(f"it holds more than tensors ({what[1] if what else 'code'}), and nothing in it is "
                             "executed; save model.state_dict() instead of the model") from None
        raise ValueError(f"it is damaged or of another kind ({str(error)[:200]})") from None


def _state_dict(content) -> dict[str, Tensor]:
    """Return the state dict in what a file holds: the content itself, or a part of it under one of the usual names."""
    for _ in range(5):
        if not isinstance(content, Mapping):
            break
        tensors = {key: value for key, value in content.items() if isinstance(value, Tensor) and isinstance(key, str)}
        parts = {key: value for key, value in content.items() if isinstance(value, Mapping)}
        full = {key: part for key, part in parts.items() if any(isinstance(value, Tensor) for value in part.values())}
        if inner := [found[word] for found in (full, parts) for word in _WITHIN if word in found]:
            content = inner[0]
        elif tensors:
            return tensors
        elif len(full) == 1:
            content, = full.values()
        else:
            raise ValueError(f"it holds no tensors, but {str(list(content)[:5])[:100]}")
    raise ValueError(f"it holds no state dict, but a {type(content).__name__}")


def _renamed(state: Mapping[str, Tensor], wanted: list[str]) -> dict[str, Tensor]:
    """Return the weights under the network's own names: without what wrappers and trainers put before them."""
    state = {_WRAPPERS.sub("", key): value for key, value in state.items() if key != "n_averaged"}  # AveragedModel's
    starts = {key.removesuffix(wanted[0]) for key in state if f".{key}".endswith(f".{wanted[0]}")}
    hits = {start: sum(start + key in state for key in wanted) for start in starts}
    best = sorted(start for start in starts if hits[start] == max(hits.values()))
    if len(best) > 1 and "" not in best:
        raise ValueError(f"it holds several networks, under {', '.join(best)}; save one of them alone")
    return {key.removeprefix(best[0]) if best else key: value for key, value in state.items()}


def _options(plan: nn.Module, state: dict[str, Tensor]) -> dict[str, int]:
    """Return what the weights say of their network: the number of classes, and the image size of a ViT."""
    head = [key for key, part in plan.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)][-1]
    options = {"num_classes": len(state[f"{head}.weight"])} if f"{head}.weight" in state else {}
    if hasattr(plan, "patch_size") and "encoder.pos_embedding" in state:
        tokens = state["encoder.pos_embedding"].shape[1] - 1                         # one of them is the class token
        options["image_size"] = plan.patch_size * math.isqrt(tokens)
    return options


def _fill(net: nn.Module, state: dict[str, Tensor]) -> None:
    own = net.state_dict()
    for key, value in state.items():
        if key in own and own[key].is_floating_point():
            if not value.is_floating_point():
                raise ValueError(f"{key} must hold floating-point numbers, got {value.dtype}")
            if not value.float().isfinite().all():
                raise ValueError(f"{key} holds NaN or infinity")
    missing, extra = net.load_state_dict(state, strict=False)
    if missing or extra:
        told = [f"{len(keys)} {word} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
                for keys, word in ((missing, "missing"), (extra, "too many")) if keys]
        raise ValueError(f"of its {len(state)} weights, " + ", ".join(told))


def _blocks(net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> OrderedDict[str, nn.Module]:
    flat, kind = [nn.AdaptiveAvgPool2d(1), nn.Flatten()], type(net).__name__
    if kind == "ResNet":
        stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        stages = [stem, net.layer1, net.layer2, net.layer3, net.layer4]
        pool, head = nn.Sequential(*flat), net.fc
    elif kind == "SqueezeNet":
        stages, pool, head = list(net.features), None, nn.Sequential(*net.classifier, nn.Flatten())
    elif kind in ("MobileNetV2", "MobileNetV3", "EfficientNet"):
        stages, (*rest, head) = list(net.features), net.classifier
        pool = nn.Sequential(*flat, *rest)
    elif kind in ("VGG", "AlexNet"):                                                 # a stage ends with its pooling
        ends = [i + 1 for i, part in enumerate(net.features) if isinstance(part, nn.MaxPool2d)]
        parts = [list(net.features)[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        parts[0].insert(0, AtLeast(63 if kind == "AlexNet" else 32))
        stages, (*rest, head) = [nn.Sequential(*part) for part in parts], net.classifier
        pool = nn.Sequential(net.avgpool, nn.Flatten(), *rest)
    elif kind in ("ConvNeXt", "SwinTransformer"):                                    # a stage begins by going coarser
        first, *body = net.features
        stages = [nn.Sequential(AtLeast(32 if kind == "ConvNeXt" else 4), first), body[0]]
        stages += [nn.Sequential(*pair) for pair in zip(body[1::2], body[2::2], strict=True)]
        if kind == "ConvNeXt":
            pool, head = nn.Sequential(net.avgpool, *net.classifier[:-1]), net.classifier[-1]
        else:
            pool, head = nn.Sequential(net.norm, net.permute, net.avgpool, net.flatten), net.head
    else:                                                                            # VisionTransformer
        stages, (*rest, head) = [PatchTokens(net), *net.encoder.layers], net.heads
        pool = nn.Sequential(net.encoder.ln, FirstToken(), *rest)
    blocks = OrderedDict({"stem": nn.Sequential(ImageNetInput(mean, std), stages[0])})
    blocks |= {f"stage{i}": stage for i, stage in enumerate(stages[1:], start=1)}
    return blocks | ({"pool": pool} if pool is not None else {}) | {"head": head}
