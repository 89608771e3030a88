"""Adapters in networks that are not ours: exact at the start and after the merge, or refused at insertion."""
import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize, prune

from tlutils import adapters, models, surgery, train
from tlutils.adapters.insert import ADAPTERS, Beside


class Attend(nn.Module):
    """Attention with the options of torch, whose keys are the first columns of its input."""

    def __init__(self, cls=nn.MultiheadAttention, **options):
        super().__init__()
        self.attention = cls(8, 2, batch_first=True, **options)

    def forward(self, x):
        key, value = x[..., :self.attention.kdim], x[..., :self.attention.vdim]
        return self.attention(x, key, value, need_weights=False)[0]


class MeanToken(nn.Module):
    def forward(self, x):
        return x.mean(1)


class ReadsItself(nn.Module):
    """A parent that reads the weights of its layers, as Swin does."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 4)

    def forward(self, x):
        z = F.relu(F.conv2d(x.to(self.conv.weight.dtype), self.conv.weight, self.conv.bias, self.conv.stride,
                            self.conv.padding)).mean((2, 3))
        return F.linear(z, self.linear.weight, self.linear.bias)


def encoder(**options):
    layer = nn.TransformerEncoderLayer(8, 2, 16, **{"batch_first": True} | options)
    stack = nn.TransformerEncoder(layer, 2, enable_nested_tensor=not options)
    return nn.Sequential(stack, MeanToken(), nn.Linear(8, 3))


def swin(v2=False):
    parts = {"block": torchvision.models.swin_transformer.SwinTransformerBlockV2,
             "downsample_layer": torchvision.models.swin_transformer.PatchMergingV2} if v2 else {}
    net = torchvision.models.SwinTransformer([4, 4], 24, [1, 1], [2, 2], [4, 4], num_classes=3, **parts)
    net.head = nn.Identity()
    return nn.Sequential(net, nn.Linear(48, 5))


def convolutions():
    """Grouped, dilated, transposed, strided, padded in all ways, then a head."""
    body = [nn.Conv2d(3, 6, 3, padding=1, groups=3), nn.Conv2d(6, 6, 3, padding=2, dilation=2), nn.ReLU(),
            nn.ConvTranspose2d(6, 4, 2, 2), nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular", stride=2), nn.ReLU(),
            nn.Conv2d(4, 5, (3, 1), padding="same", padding_mode="reflect"), nn.Conv2d(5, 4, 1, padding="valid"),
            nn.Conv2d(4, 4, 3, padding="valid"), nn.Conv2d(4, 4, 2, padding=1, bias=False)]
    return nn.Sequential(*body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))


def shared_convolution():
    conv, relu = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return nn.Sequential(nn.Conv2d(3, 4, 1), conv, relu, conv, relu, nn.Sequential(conv, relu), head)


def shared_linear():
    """A layer at three places and in the head, a weight that two layers share, attention used twice."""
    linear, tied, relu, attend = nn.Linear(8, 8), nn.Linear(8, 8), nn.ReLU(), Attend()
    tied.weight = linear.weight
    return nn.Sequential(linear, relu, attend, linear, nn.Sequential(attend, linear, tied), MeanToken(), linear)


IMAGES, TOKENS = torch.randn(2, 3, 32, 32), torch.randn(4, 6, 8)
OPTIONS = {"plain": {}, "no bias": {"bias": False}, "zero": {"add_zero_attn": True}, "bias_kv": {"add_bias_kv": True},
           "kdim": {"kdim": 4, "vdim": 6}, "dropout": {"dropout": 0.3}}
NETWORKS = {"swin": (swin, IMAGES, "lora series bottleneck"),
            "swin v2": (lambda: swin(True), IMAGES, "lora bottleneck"),
            "encoder": (encoder, TOKENS, "lora bottleneck"),
            "encoder, norm first": (lambda: encoder(norm_first=True), TOKENS, "lora bottleneck"),
            "encoder, without bias": (lambda: encoder(bias=False), TOKENS, "lora bottleneck"),
            "encoder, sequence first": (lambda: encoder(batch_first=False), TOKENS, "lora bottleneck"),
            "convolutions": (convolutions, IMAGES, "series parallel"),
            "shared convolution": (shared_convolution, IMAGES, "series parallel"),
            "shared linear": (shared_linear, TOKENS, "lora"),
            "reads weights": (lambda: nn.Sequential(ReadsItself(), nn.Linear(4, 2)), IMAGES, "lora series parallel"),
            "words": (lambda: nn.Sequential(nn.Embedding(9, 8), Attend(), MeanToken(), nn.Linear(8, 2)),
                      torch.arange(12).view(2, 6) % 9, "lora")}
NETWORKS |= {f"attention, {name}": (lambda options=options: nn.Sequential(Attend(**options), MeanToken(),
                                                                          nn.Linear(8, 2)), TOKENS, "lora bottleneck")
             for name, options in OPTIONS.items()}
CASES = [(name, kind) for name, (*_, kinds) in NETWORKS.items() for kind in kinds.split()]


def network(name):
    torch.manual_seed(0)
    build, x, _ = NETWORKS[name]
    return build().double().eval(), x.double() if x.is_floating_point() else x


def disturb(model):
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, ADAPTERS):
            for p in module.parameters():
                nn.init.normal_(p, std=0.3)
    return model


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_exact_at_the_start_and_after_the_merge(name, kind):
    model, x = network(name)
    adapted = adapters.insert(model, kind, rank=2, bottleneck=3)
    close = {"rtol": 0, "atol": 1e-13}  # torch chooses other kernels where weights are frozen
    torch.testing.assert_close(adapted(x), model(x), **close)
    torch.testing.assert_close(train.predict(adapted, x), train.predict(model, x), **close)
    assert not any(module.training for module in adapted.modules())
    disturb(adapted)
    scores = adapted(x)
    assert not torch.allclose(scores, model(x), rtol=1e-3), "the adapters are not in the way"
    torch.testing.assert_close(train.predict(adapted, x), scores.detach(), **close)
    scores.square().sum().backward()
    idle = [key for key, p in adapted.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert idle == [], "parameters that training would not move"
    if kind != "bottleneck":
        merged = adapters.merge(adapted)
        torch.testing.assert_close(train.predict(merged, x), scores.detach(), rtol=1e-11, atol=1e-12)
        assert list(merged.state_dict()) == list(model.state_dict())
        torch.testing.assert_close(adapted(x), scores, **close)  # merging a copy leaves the adapted one whole
        with pytest.raises(ValueError, match="nothing|no series, parallel or LoRA"):
            adapters.merge(merged)
        adapters.insert(merged, kind, rank=2)
    with pytest.raises(ValueError, match="model has adapters already"):
        adapters.insert(adapted, kind, rank=2)


def test_a_padded_batch_goes_through_the_adapters_of_an_encoder():
    """With a padding mask, torch would run the whole stack on fused kernels that know nothing of a bottleneck."""
    torch.manual_seed(0)
    stack, x = encoder().double().eval()[0], TOKENS.double()
    hidden = torch.arange(6).expand(4, 6) >= torch.tensor([6, 4, 3, 2])[:, None]
    adapted = disturb(adapters.insert(nn.Sequential(stack, nn.Linear(8, 3)), "bottleneck"))[0]
    with torch.no_grad():
        out = adapted(x, src_key_padding_mask=hidden)
        alone = adapted(x[1:2, :4])
    torch.testing.assert_close(out[1, :4], alone[0], rtol=0, atol=1e-12)
    assert not torch.allclose(alone, stack(x[1:2, :4]), rtol=1e-2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(("kind", "build"), [("series", models.conv8), ("parallel", models.conv8),
                                             ("lora", models.tiny_vit), ("bottleneck", models.tiny_vit)])
def test_adapters_have_the_type_of_their_layer(kind, build, dtype):
    torch.manual_seed(0)
    model, x = build(3).to(dtype).eval(), torch.randn(2, 1, 24, 24).to(dtype)
    adapted = adapters.insert(model, kind, rank=2)
    assert {p.dtype for p in adapted.parameters()} == {dtype}
    assert torch.equal(train.predict(adapted, x), train.predict(model, x))
    for module in adapted.modules():
        if isinstance(module, ADAPTERS):
            for p in module.parameters():
                nn.init.normal_(p, std=0.01)
    if kind != "bottleneck":
        merged, want = adapters.merge(adapted), train.predict(adapted, x)
        assert {p.dtype for p in merged.parameters()} == {dtype}
        torch.testing.assert_close(train.predict(merged, x), want, rtol=0.05, atol=4 * torch.finfo(dtype).eps)


def test_folding_into_half_precision_rounds_once():
    """In bfloat16 the identity plus a small alpha would be the identity again."""
    model = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Linear(2, 2)).bfloat16()
    adapted = adapters.insert(model, "series")
    adapted[0][1].alpha.data.fill_(0.003)
    want = (torch.eye(8) + adapted[0][1].alpha.float()) @ model[0].weight.float()[:, :, 0, 0]
    assert torch.equal(adapters.merge(adapted)[0].weight[:, :, 0, 0], want.bfloat16())


def test_places_of_parallel_adapters():
    found = [module.conv for module in adapters.insert(convolutions(), "parallel").modules()
             if isinstance(module, Beside)]
    assert [(conv.padding, conv.kernel_size) for conv in found] == [
        ((1, 1), (3, 3)), ("same", (3, 1)), ("valid", (1, 1))]


def test_a_layer_at_several_places_has_one_adapter_with_its_sizes():
    adapted = adapters.insert(shared_convolution(), "series")
    assert adapted[1] is adapted[3] is adapted[5][0] and adapted[1].kernel_size == (3, 3)
    assert adapters.trainable_parameters(adapted) == {"adapters": 32, "norms": 0, "head": 10, "total": 42, "all": 206}


def test_heads_of_subclasses_and_networks_inside_wrappers():
    class Own(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))

    model, x = Own(), torch.randn(4, 8)
    adapted = adapters.insert(nn.DataParallel(model), "lora", rank=2)
    assert isinstance(adapted, Own) and isinstance(adapted[2], nn.Linear) and torch.equal(adapted(x), model(x))
    disturb(adapted)
    assert type(adapters.merge(nn.DataParallel(adapted))[0]) is nn.Linear
    assert adapters.trainable_parameters(nn.DataParallel(adapted)) == adapters.trainable_parameters(adapted)


def test_what_is_frozen_keeps_its_mode():
    model = surgery.freeze(models.conv8(3), 4).train()
    adapted = adapters.insert(model, "series").train()
    assert not any(module.training for name in ("conv1", "conv4") for module in getattr(adapted, name).modules())
    assert all(module.training for module in adapted.conv5.modules())
    assert not any(module.training for module in adapters.merge(adapted).conv1.modules())


class Attention(nn.MultiheadAttention):
    """Another class of attention, with a parameter of its own."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.temperature = nn.Parameter(torch.ones(1))

    def forward(self, query, key, value, **options):
        return super().forward(query * self.temperature, key, value, **options)


def test_a_class_of_attention_of_ones_own_is_merged_to_itself():
    model = nn.Sequential(Attend(Attention), MeanToken(), nn.Linear(8, 2)).eval()
    adapted = disturb(adapters.insert(model, "lora", rank=2))
    merged = adapters.merge(adapted)
    assert type(merged[0].attention) is Attention and list(merged.state_dict()) == list(model.state_dict())
    torch.testing.assert_close(merged(TOKENS), adapted(TOKENS))


class Cosine(nn.Linear):
    def forward(self, x):
        return F.linear(x, F.normalize(self.weight))


class Standardised(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)


def normed(layer, name="weight"):
    return nn.utils.parametrizations.weight_norm(layer, name)


def masked(layer):
    return prune.l1_unstructured(layer, "weight", 0.5)


class Feed(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.mlp = nn.MultiheadAttention(8, 2), nn.Sequential(nn.Conv1d(8, 8, 1))


@pytest.mark.parametrize(("layer", "kind", "says"), [
    (normed(nn.Linear(8, 8)), "lora", "lora cannot be folded into the layer 0: its weight is computed"),
    (masked(nn.Linear(8, 8)), "lora", "model cannot be copied: it holds weights that are computed from others"),
    (Cosine(8, 8), "lora", "Cosine uses it in a way of its own"), (nn.LazyLinear(8), "lora", "uninitialized"),
    (normed(nn.MultiheadAttention(8, 2), "in_proj_weight"), "lora", "lora cannot be folded into the attention 0"),
    (nn.MultiheadAttention(8, 2, kdim=3), "lora", "rank must be at most the smaller side 3, got 4"),
    (normed(nn.Conv2d(3, 4, 3, padding=1)), "series", "no place for a series adapter"),
    (normed(nn.Conv2d(3, 4, 3, padding=1)), "parallel", "no place for a parallel adapter"),
    (Standardised(3, 4, 3), "series", "no place for a series adapter"),
    (nn.ConvTranspose2d(3, 4, 3), "series", "no place for a series adapter"),
    (Feed(), "bottleneck", "cannot go behind an mlp without a linear layer")])
def test_what_cannot_be_folded_is_refused_at_insertion(layer, kind, says):
    with pytest.raises(ValueError, match=says):
        adapters.insert(nn.Sequential(layer, nn.Linear(8, 2)), kind)


def test_attention_that_someone_else_parametrized_is_no_adapter():
    attend = Attend()
    parametrize.register_parametrization(attend.attention, "in_proj_weight", nn.Tanh(), unsafe=True)
    model = nn.Sequential(attend, nn.Linear(8, 8), nn.Linear(8, 2)).eval()
    adapted = copy.deepcopy(model)
    adapted[1] = adapters.LoRALinear(adapted[1], 2)
    merged = adapters.merge(disturb(adapted))
    torch.testing.assert_close(merged(TOKENS), adapted(TOKENS))
    assert parametrize.is_parametrized(merged[0].attention)
