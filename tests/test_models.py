"""Models: named blocks, known shapes, torchvision's networks unchanged by the cut."""
import argparse
import pickle
import warnings

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from tlutils import models, surgery

NETS = torchvision.models


@pytest.mark.parametrize("side, channels", [(24, 1), (32, 3), (28, 1)])
@pytest.mark.parametrize("batchnorm", [True, False])
def test_conv8_shapes_and_blocks(side, channels, batchnorm):
    model = models.conv8(7, channels, side, batchnorm=batchnorm)
    assert len(surgery.layers(model)) == 8 and model(torch.randn(2, channels, side, side)).shape == (2, 7)
    has_norm = any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    assert has_norm == batchnorm


def test_conv8_strides_halve_the_side_at_odd_layers():
    with surgery.capture(model := models.conv8(2), [f"conv{i}" for i in range(1, 7)]) as seen:
        model(torch.randn(2, 1, 24, 24))
    assert [z.shape[-1] for z in seen.values()] == [12, 12, 6, 6, 3, 3]


@pytest.mark.parametrize("side, channels, widths", [(24, 3, (4, 8, 8)), (32, 3, (4, 8)), (28, 1, (4, 8, 8, 8))])
def test_an_encoder_is_taken_apart_by_name(side, channels, widths):
    f = models.conv_encoder(widths=widths, n_features=16, channels=channels, side=side)
    names = [f"conv{i}" for i in range(1, len(widths) + 1)]
    assert [name for name, _ in f.named_children()] == [*names, "fc"]
    with surgery.capture(f, names) as seen:
        assert f(torch.zeros(2, channels, side, side)).shape == (2, 16)
    assert [z.shape[1] for z in seen.values()] == list(widths)
    assert [z.shape[-1] for z in seen.values()] == [-(-side // 2 ** i) for i in range(1, len(widths) + 1)]
    assert f[0][0].kernel_size == (5, 5) and f[1][0].kernel_size == (3, 3)


@pytest.mark.parametrize("wrong", [{"widths": ()}, {"widths": (4, 0)}, {"n_features": 0}, {"side": 0}])
def test_an_encoder_that_cannot_be_built(wrong):
    with pytest.raises(ValueError, match="widths must hold one number or more, all sizes positive, got"):
        models.conv_encoder(**wrong)


def test_tiny_vit_shapes_tokens_and_order_of_positions():
    model = models.tiny_vit(5, side=24).eval()
    x = torch.randn(2, 1, 24, 24)
    assert model[0](x).shape == (2, 36, 48) and model(x).shape == (2, 5)
    assert not torch.allclose(model(x), model(x.flip(-1)), atol=1e-4), "position must matter"


@pytest.mark.parametrize("bad", [
    lambda: models.conv8(0), lambda: models.conv8(3, widths=(1, 2)), lambda: models.tiny_vit(3, side=22),
    lambda: models.tiny_vit(3, dim=50), lambda: models.tiny_vit(3, depth=0), lambda: models.digit_net(0),
    lambda: models.digit_net(3, side=15), lambda: models.digit_net(3, norm="layer"),
    lambda: models.digit_net(3, dropout=1.0), lambda: models.word_net(2, 0),
    lambda: models.word_net(2, 9, dropout=-0.1), lambda: models.TextEncoder(0, 3),
    lambda: models.TextEncoder(5, 3, dim=10),
])
def test_sizes_are_checked(bad):
    with pytest.raises(ValueError, match="need"):
        bad()


@pytest.mark.parametrize("side, left", [(24, 3), (28, 4), (16, 1), (32, 5)])
def test_digit_net_is_two_convolutions_features_and_a_head(side, left):
    model = models.digit_net(10, side)
    assert list(surgery.layers(model)) == ["conv1", "conv2", "features", "head"]
    assert model[:2](torch.zeros(2, 3, side, side)).shape == (2, 32, left, left)
    assert model[:3](torch.zeros(2, 3, side, side)).shape == (2, 100)
    assert model(torch.zeros(2, 3, side, side)).shape == (2, 10)


def test_digit_net_has_the_norm_and_the_dropout_that_it_is_told():
    usual, other = (list(models.digit_net(3, **options).modules()) for options in ({}, {"norm": "batch", "dropout": 0}))
    assert any(isinstance(m, nn.InstanceNorm2d) for m in usual) and any(isinstance(m, nn.BatchNorm2d) for m in other)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in usual)
    assert [[m.p for m in net if isinstance(m, nn.Dropout)] for net in (usual, other)] == [[0.5], [0]]


def test_word_net_drops_out_behind_its_features():
    model = models.word_net(2, 30, dropout=0.25)
    assert list(surgery.layers(model)) == ["features", "head"] and model[0][-1].p == 0.25
    assert model(torch.zeros(4, 30)).shape == (4, 2) and model[:1](torch.zeros(4, 30)).shape == (4, 50)


def test_a_text_is_the_mean_of_its_words_and_padding_has_no_say_in_it():
    text = models.TextEncoder(5, 3, dim=8, depth=1, length=4).eval()
    tokens = torch.tensor([[2, 3, 0, 0], [2, 3, 4, 1]])
    with torch.no_grad():
        z = text.norm(text.blocks(text.word(tokens) + text.place))
        by_hand = torch.stack([text.out(z[0, :2].mean(0)), text.out(z[1].mean(0))])
        torch.testing.assert_close(text(tokens), by_hand)
        other = text(tokens.flip(1).roll(2, 1))                                      # the same words in other places
    assert text(tokens).shape == (2, 3) and not torch.allclose(other[1], by_hand[1], atol=1e-4)


def test_a_pair_of_encoders_reads_the_words_that_it_knows():
    def numbers(texts, words, length):
        return np.array([[words.index(word) + 2 if word in words else 1 for word in text.split()] + [0] * (length - 2)
                         for text in texts])

    both = models.Pair(nn.Linear(4, 3), models.TextEncoder(2, 3, length=5), ("red", "a"), numbers)
    assert both.tokens(["red a", "a mauve"]).tolist() == [[2, 3, 0, 0, 0], [3, 1, 0, 0, 0]]
    assert both.text(both.tokens(["red a"])).shape == both.image(torch.zeros(1, 4)).shape
    assert both.scale().item() == pytest.approx(1 / 0.07, rel=1e-5)
    assert {name.split(".")[0] for name, _ in both.named_parameters()} == {"image", "text", "scale"}


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small"])
def test_pretrained_computes_what_torchvision_computes(name, tmp_path):
    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None, num_classes=11).eval()
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    model = models.pretrained(name, tmp_path / "weights.pth")
    pixels = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (models.IMAGENET_MEAN, models.IMAGENET_STD))
    torch.testing.assert_close(model((pixels - 0.5) / 0.25), net((pixels - mean) / std), rtol=1e-4, atol=1e-4)
    assert list(surgery.layers(model))[0] == "stem" and list(surgery.layers(model))[-1] == "head"


def test_pretrained_with_a_new_head():
    model = models.pretrained("mobilenet_v2", weights=None, n_classes=2)
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 2)


def random_net(name):
    """A network of torchvision's with random weights, in its head too (a new ViT's head holds zeros)."""
    if name.startswith("swin"):                                             # its tables of positions are computed
        net = NETS.get_model(name, weights=None)
    else:
        with torch.device("meta"):
            net = NETS.get_model(name, weights=None)
        net = net.to_empty(device="cpu")
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if value.ndim == 1:
                value.copy_(torch.rand(len(value)) + 0.5 if key.endswith(("weight", "var")) else torch.rand(len(value)))
            elif value.is_floating_point():
                value.uniform_(-1, 1).mul_((3 / value[0].numel()) ** 0.5)
    return net.eval()


@pytest.mark.parametrize("name, side, stages", [
    ("vgg11", 64, 4), ("vgg11_bn", 64, 4), ("alexnet", 96, 2), ("vit_b_32", 224, 12), ("convnext_tiny", 64, 4),
    ("swin_t", 64, 4), ("swin_v2_t", 64, 4), ("efficientnet_b0", 64, 8), ("wide_resnet50_2", 64, 4)])
def test_the_blocks_of_each_family_compose_to_torchvisions_network(name, side, stages, monkeypatch):
    torch.manual_seed(0)
    net = random_net(name)
    monkeypatch.setattr(NETS, "get_model", lambda *args, **kwargs: net)
    model = models.pretrained(name, None)
    blocks = surgery.layers(model)
    numbered = [f"stage{i}" for i in range(1, stages + (name == "vit_b_32"))]
    assert list(blocks)[:len(numbered) + 1] == ["stem", *numbered] and list(blocks)[-2:] == ["pool", "head"]
    assert isinstance(blocks["head"], nn.Linear) and not any(module.training for module in model.modules())
    z = x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        want = net(blocks["stem"][0](x))
        for block in blocks.values():
            z = block(z)
        assert not torch.equal(want[0], want[1]), "the scores must depend on the image"
        assert torch.equal(model(x), want) and torch.equal(z, want)
        assert model[:-1](x).shape == (2, blocks["head"].in_features)
        old = {id(p) for p in blocks["head"].parameters()}
        assert surgery.replace_head(model, 3)(x).shape == (2, 3)
    assert {id(p) for p in net.parameters()} - {id(p) for p in model.parameters()} == old   # nothing else is left out


@pytest.mark.parametrize("name, side, words", [
    ("vgg11", 31, "at least 32 x 32"), ("alexnet", 62, "at least 63 x 63"), ("convnext_tiny", 24, "at least 32 x 32"),
    ("swin_t", 3, "at least 4 x 4"), ("vit_b_32", 96, r"\(n, 3, 224, 224\) .* got \(2, 3, 96, 96\)")])
def test_images_that_are_too_small_are_refused(name, side, words):
    with torch.device("meta"):
        model = models.pretrained(name, None)
        with pytest.raises(ValueError, match=words):
            model(torch.zeros(2, 3, side, side))
        with pytest.raises(ValueError, match=r"got \(3, 224, 224\)"):
            model(torch.zeros(3, 224, 224))


def test_every_name_has_the_normalisation_of_its_weights(monkeypatch):
    net = NETS.squeezenet1_1(weights=None)
    monkeypatch.setattr(NETS, "get_model", lambda *args, **kwargs: net)         # the families' own blocks do not matter
    pixels, odd, n = torch.rand(1, 3, 8, 8), set(), 0
    for name in NETS.list_models(NETS):
        try:
            step = models.pretrained(name, None).stem[0]
        except ValueError as error:
            assert "of another family; known are ResNet, MobileNet" in str(error)
            continue
        seen, n = NETS.get_model_weights(name).DEFAULT.transforms(), n + 1
        want = torchvision.transforms.functional.normalize(pixels, seen.mean, seen.std)
        torch.testing.assert_close(step((pixels - 0.5) / 0.25), want, rtol=1e-5, atol=1e-5)
        odd |= {name} if seen.mean != list(models.IMAGENET_MEAN) else set()
    assert odd == {"efficientnet_v2_l"} and n > 40
    for name in ("densenet121", "inception_v3", "googlenet", "regnet_y_400mf", "shufflenet_v2_x1_0", "maxvit_t"):
        with pytest.raises(ValueError, match=f"{name} is of another family; known are ResNet, .* ViT"):
            models.pretrained(name)                                                     # and nothing is fetched


@pytest.fixture(scope="module")
def saved():
    """A small network's weights, and its network."""
    torch.manual_seed(0)
    net = NETS.squeezenet1_1(weights=None, num_classes=7).eval()
    return net, net.state_dict()


def as_people_save(state):
    """Files of the same weights: name -> what is given to torch.save."""
    def named(before, state=state):
        return {before + key: value for key, value in state.items()}
    options = argparse.Namespace(lr=0.1, arch="squeezenet")
    return {"plain": state, "sorted": dict(sorted(state.items())), "reversed": dict(reversed(state.items())),
            "parameters": {key: nn.Parameter(value) for key, value in state.items()},
            "half": {key: value.half() for key, value in state.items()},
            "bfloat16": {key: value.bfloat16() for key, value in state.items()},
            "double": {key: value.double() for key, value in state.items()},
            "parallel": named("module."), "compiled": named("_orig_mod."), "both": named("module._orig_mod."),
            "inside": {key.replace("features.3.", "features.3._orig_mod."): value for key, value in state.items()},
            "lightning": {"state_dict": named("model."), "epoch": 3, "hyper_parameters": {"lr": 0.1}},
            "deeper": named("module.model.backbone."), "averaged": named("module.") | {"n_averaged": torch.tensor(5)},
            "state_dict": {"state_dict": state, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}},
            "model": {"epoch": 1, "model": state, "args": options, "best": np.float64(0.9), "rank": np.int64(3)},
            "model_state_dict": {"model_state_dict": named("module."), "loss": torch.tensor(0.5)},
            "nested": {"model": {"state_dict": state}, "step": 7},
            "two words": {"model": {"arch": "squeezenet1_1"}, "weights": state},
            "own word": {"student": state, "epoch": 4}}


@pytest.mark.parametrize("kind", as_people_save({}))
def test_weights_as_people_save_them(kind, saved, tmp_path):
    net, state = saved
    torch.save(as_people_save(state)[kind], tmp_path / "net.pth")
    model = models.pretrained("squeezenet1_1", str(tmp_path / "net.pth"))
    x = torch.randn(2, 3, 64, 64)
    exact = kind not in ("half", "bfloat16")
    want = net(model.stem[0](x))
    assert model.head[1].weight.dtype == torch.float32 and model(x).shape == (2, 7)
    assert torch.equal(model(x), want) if exact else torch.allclose(model(x), want, atol=0.05)


def test_safetensors_whatever_their_name(saved, tmp_path, monkeypatch):
    net, state = saved
    x = torch.randn(2, 3, 64, 64)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("net.safetensors", "net.bin"):
        safetensors.torch.save_file({f"module.{key}": value for key, value in state.items()}, tmp_path / name)
        model = models.pretrained("squeezenet1_1", f"~/{name}")
        assert torch.equal(model(x), net(model.stem[0](x)))
    content = (tmp_path / "net.bin").read_bytes()
    for cut in (9, 4000, len(content) - 1):
        (tmp_path / "net.bin").write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"net\.bin does not hold weights of squeezenet1_1: it "):
            models.pretrained("squeezenet1_1", tmp_path / "net.bin")


def test_the_number_of_classes_is_that_of_the_head_in_every_family(tmp_path):
    for name, key in (("resnet18", "fc"), ("mobilenet_v3_small", "classifier.3"), ("efficientnet_b0", "classifier.1")):
        state = NETS.get_model(name, weights=None, num_classes=5).state_dict()
        torch.save(dict(sorted(state.items())), tmp_path / "net.pth")
        head = models.pretrained(name, tmp_path / "net.pth").head
        assert head.out_features == 5 and torch.equal(head.weight, state[f"{key}.weight"])


def small_vit(name, weights=None, num_classes=1000, image_size=32):
    return NETS.VisionTransformer(image_size, 16, 2, 2, 16, 32, num_classes=num_classes)


def test_a_vits_file_says_its_image_size(tmp_path, monkeypatch):
    monkeypatch.setattr(NETS, "get_model", small_vit)
    net = small_vit("", num_classes=5, image_size=48).eval()
    nn.init.normal_(net.heads.head.weight)
    torch.save(net.state_dict(), tmp_path / "vit.pth")
    model, x = models.pretrained("vit_b_16", tmp_path / "vit.pth"), torch.randn(2, 3, 48, 48)
    assert torch.equal(model(x), net(model.stem[0](x))) and list(surgery.layers(model))[1:] == ["stage1", "stage2",
                                                                                               "pool", "head"]
    with pytest.raises(ValueError, match="positions are those of 48 x 48"):
        model(torch.randn(2, 3, 32, 32))
    for damage in ({"encoder.pos_embedding": torch.zeros(3)}, {"heads.head.weight": torch.tensor(1.0)}):
        torch.save(net.state_dict() | damage, tmp_path / "vit.pth")
        with pytest.raises(ValueError, match=r"vit\.pth does not hold weights of vit_b_16"):
            models.pretrained("vit_b_16", tmp_path / "vit.pth")


def test_new_positions_and_class_tokens(monkeypatch):
    monkeypatch.setattr(NETS, "get_model", small_vit)
    for entrance in (models.pretrained("vit_b_16", None).stem[1], models.tiny_vit(3).stem[-1]):
        positions = next(value for key, value in entrance.named_parameters() if key.startswith("pos"))
        with torch.no_grad():
            for value in entrance.parameters(recurse=False):
                value.fill_(9)
        entrance.reset_parameters()
        assert 0.01 < positions.std() < 0.03 and not any((value == 9).any() for value in entrance.parameters())


class Payload:
    """What runs when it is unpickled: it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_in_a_file_is_executed(saved, tmp_path):
    net, state = saved
    trap, path = tmp_path / "executed", tmp_path / "net.pth"
    writers = {"zip": lambda content: torch.save(content, path), "pickle": lambda content: path.write_bytes(
        pickle.dumps(content, protocol=2)), "old": lambda content: torch.save(content, path,
                                                                              _use_new_zipfile_serialization=False)}
    for write in writers.values():
        for content in (Payload(trap), {"state_dict": state, "args": Payload(trap)}, {"model": [Payload(trap)]}):
            write(content)
            with pytest.raises(ValueError, match=r"net\.pth does not hold .* and nothing in it is executed"):
                models.pretrained("squeezenet1_1", path)
            assert not trap.exists()
    torch.save(net, path)
    with pytest.raises(ValueError, match=r"more than tensors .*SqueezeNet.* save model\.state_dict\(\)"):
        models.pretrained("squeezenet1_1", path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                                     # TorchScript goes out of use; files stay
        torch.jit.script(nn.Linear(2, 2)).save(path)
    with pytest.raises(ValueError, match=r"net\.pth does not hold weights"):
        models.pretrained("squeezenet1_1", path)


@pytest.mark.parametrize("content, words", [
    (b"", "it is empty"), (b"<!DOCTYPE html><html>404</html>", "it begins with b'<!DOCTYPE html>"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "it begins with b'version https://git-lfs"),
    (b"not weights", "it begins with b'not weights'"), (b"PK\x03\x04 half of a zip", "damaged or of another kind"),
    (b"\x80\x02}q\x00.", "damaged|no tensors"), (b"\x05\0\0\0\0\0\0\0{", "it begins with|it is damaged")])
def test_files_of_another_kind_are_named(content, words, tmp_path):
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(ValueError, match=rf"bad\.pth does not hold weights of resnet18: .*({words})"):
        models.pretrained("resnet18", tmp_path / "bad.pth")


def test_weights_that_do_not_fit_are_named(saved, tmp_path):
    _, state = saved
    path, first = tmp_path / "net.pth", "features.0.weight"

    def refused(content, words, name="squeezenet1_1"):
        torch.save(content, path)
        with pytest.raises(ValueError, match=rf"net\.pth does not hold weights of {name}: .*{words}"):
            models.pretrained(name, path)
    refused({key: value for key, value in state.items() if key != first}, rf"1 missing \({first}\)")
    refused(state | {"extra.weight": torch.zeros(2)}, r"1 too many \(extra\.weight\)")
    refused(state | {first: torch.zeros(3, 3)}, f"size mismatch for {first}")
    refused(state | {first: torch.zeros_like(state[first]).int()}, f"{first} must hold floating-point .*int32")
    refused(state | {first: torch.full_like(state[first], float("nan"))}, f"{first} holds NaN")
    refused(state, r"missing \(conv1\.weight.*, \.\.\.\), 52 too many", name="resnet18")
    refused({f"{who}.{key}": value for who in ("student", "teacher") for key, value in state.items()},
            r"several networks, under student\., teacher\.")
    refused([1, 2], "no state dict, but a list")
    refused({"epoch": 3, "optimizer": {"lr": 0.1}}, r"no tensors, but \['epoch', 'optimizer'\]")
    refused(torch.zeros(3), "no state dict, but a Tensor")
    circle = {}
    circle["model"] = circle
    refused(circle, "no state dict")
    own = models.pretrained("squeezenet1_1", None).state_dict()
    refused(own, r"too many \(stem\.1\.weight")


def test_pretrained_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="no classification network 'resnet17'"):
        models.pretrained("resnet17")
    with pytest.raises(ValueError, match="known are ResNet"):
        models.pretrained("densenet121", weights=None)
    with pytest.raises(FileNotFoundError, match="missing.pth"):
        models.pretrained("resnet18", tmp_path / "missing.pth")
    with pytest.raises(ValueError, match="does not hold weights of resnet18: it is a folder"):
        models.pretrained("resnet18", tmp_path)
    with pytest.raises(ValueError, match='weights must be one of "hub", .* got a dict'):
        models.pretrained("resnet18", {})


def test_torchvisions_ways_to_name_weights(saved, monkeypatch):
    net, state = NETS.resnet18(weights=None), None
    state, asked = net.state_dict(), []

    def fetch(url, **kwargs):
        asked.append((url.rsplit("/", 1)[-1], kwargs["weights_only"], kwargs["check_hash"]))
        return state
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", fetch)
    enums = NETS.ResNet18_Weights
    for weights in ("hub", True, "DEFAULT", "IMAGENET1K_V1", "ResNet18_Weights.DEFAULT", enums.DEFAULT,
                    enums.IMAGENET1K_V1):
        assert torch.equal(models.pretrained("resnet18", weights).head.weight, state["fc.weight"])
    assert asked == [("resnet18-f37072fd.pth", True, True)] * 7
    assert models.pretrained("resnet18", False).head.out_features == 1000 and len(asked) == 7
    with pytest.raises(ValueError, match='must be those of resnet18 .*"IMAGENET1K_V1".* or a file.*ResNet50_Weights'):
        models.pretrained("resnet18", NETS.ResNet50_Weights.DEFAULT)
    with pytest.raises(FileNotFoundError, match='no weights at IMAGENET1K_V2; weights must be one of "hub"'):
        models.pretrained("resnet18", "IMAGENET1K_V2")
    with pytest.raises(ValueError, match="features without a classifier"):
        models.pretrained("vgg16", "IMAGENET1K_FEATURES")
    state = dict(list(state.items())[:-1])
    with pytest.raises(ValueError, match=r"ResNet18_Weights\.IMAGENET1K_V1 does not hold .* 1 missing \(fc\.bias\)"):
        models.pretrained("resnet18")


def test_pretrained_without_a_network_says_what_to_do(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(ConnectionError, match="no route to host.*weights=PATH"):
        models.pretrained("resnet18")
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    (tmp_path / "checkpoints" / "resnet18-f37072fd.pth").write_bytes(b"half of a download")
    with pytest.raises(ValueError, match=r"resnet18-f37072fd\.pth is damaged .* delete it"):
        models.pretrained("resnet18")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_models_agree_on_cpu_and_gpu():
    model, x = models.conv8(5).eval(), torch.randn(4, 1, 24, 24)
    torch.testing.assert_close(model(x), model.cuda()(x.cuda()).cpu(), rtol=1e-3, atol=1e-3)


def test_alexnet_and_vgg_whose_features_alone_were_parallel(tmp_path):
    theirs = torchvision.models.alexnet(num_classes=4)
    state = {key.replace("features.", "features.module."): value for key, value in theirs.state_dict().items()}
    torch.save({"arch": "alexnet", "state_dict": state}, tmp_path / "alexnet.pth.tar")
    model = models.pretrained("alexnet", tmp_path / "alexnet.pth.tar")
    assert model.head.out_features == 4 and torch.equal(model.stem[1][1].weight, theirs.features[0].weight)
