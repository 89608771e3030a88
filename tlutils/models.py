"""Small networks, and torchvision's pretrained ones: each an `nn.Sequential` of named blocks, the head last."""
import math
import pickle
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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


class ImageNetInput(nn.Module):
    """Turn the standardised images of `data.to_tensor` into what ImageNet networks were trained on. No parameters."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x * 0.25 + 0.5 - self.mean) / self.std


def pretrained(name: str, weights: str | Path | None = "hub", n_classes: int | None = None) -> nn.Sequential:
    """Return a torchvision network in named blocks: an input step with the stem, the body's stages, pool, head.

    Shapes: images (n, 3, h, w) from `data.to_tensor` -> scores; the ImageNet normalisation is part of the first block.
    Convention: weights "hub" downloads torchvision's default weights, a path loads a state dict from that file
        (its number of classes is read from it), None gives random weights. n_classes puts on a new random head.
    Errors: ValueError for a network of another family than ResNet, MobileNet, SqueezeNet, EfficientNet, or a file that
        does not fit; FileNotFoundError for a missing file; ConnectionError where the hub cannot be reached.
    """
    if name not in torchvision.models.list_models(torchvision.models):
        raise ValueError(f"torchvision has no classification network {name!r}")
    if weights == "hub":
        try:
            net = torchvision.models.get_model(name, weights="DEFAULT")
        except (OSError, RuntimeError) as error:
            raise ConnectionError(f"the weights of {name} could not be fetched ({error}); with a file of them at hand: "
                                  f"pretrained({name!r}, weights=PATH)") from None
    elif weights is None:
        net = torchvision.models.get_model(name, weights=None)
    else:
        net = _from_file(name, Path(weights))
    model = nn.Sequential(_blocks(name, net)).eval()
    if n_classes is not None:
        from tlutils.surgery import replace_head
        replace_head(model, n_classes)
    return model


def _from_file(name: str, path: Path) -> nn.Module:
    if not path.exists():
        raise FileNotFoundError(f"no weights at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        n_classes = [value for key, value in state.items() if key.endswith("weight")][-1].shape[0]
        net = torchvision.models.get_model(name, weights=None, num_classes=n_classes)
        net.load_state_dict(state, strict=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError) as error:
        raise ValueError(f"{path} does not hold weights of {name}: {str(error)[:300]}") from None
    return net


def _blocks(name: str, net: nn.Module) -> OrderedDict[str, nn.Module]:
    flat = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if isinstance(net, torchvision.models.ResNet):
        stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        stages = [stem, net.layer1, net.layer2, net.layer3, net.layer4]
        pool, head = nn.Sequential(*flat), net.fc
    elif isinstance(net, torchvision.models.SqueezeNet):
        stages, pool, head = list(net.features), None, nn.Sequential(*net.classifier, nn.Flatten())
    elif type(net).__name__ in ("MobileNetV2", "MobileNetV3", "EfficientNet"):
        stages, (*rest, head) = list(net.features), net.classifier
        pool = nn.Sequential(*flat, *rest)
    else:
        raise ValueError(f"{name} is a {type(net).__name__}; known are ResNet, MobileNet, SqueezeNet and EfficientNet")
    blocks = OrderedDict({"stem": nn.Sequential(ImageNetInput(), stages[0])})
    blocks |= {f"stage{i}": stage for i, stage in enumerate(stages[1:], start=1)}
    return blocks | ({"pool": pool} if pool is not None else {}) | {"head": head}
