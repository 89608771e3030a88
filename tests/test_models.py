"""Models: named blocks, known shapes, torchvision's networks unchanged by the cut."""
import pytest
import torch
import torchvision

from tlutils import models, surgery


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


def test_tiny_vit_shapes_tokens_and_order_of_positions():
    model = models.tiny_vit(5, side=24).eval()
    x = torch.randn(2, 1, 24, 24)
    assert model[0](x).shape == (2, 36, 48) and model(x).shape == (2, 5)
    assert not torch.allclose(model(x), model(x.flip(-1)), atol=1e-4), "position must matter"


@pytest.mark.parametrize("bad", [
    lambda: models.conv8(0), lambda: models.conv8(3, widths=(1, 2)), lambda: models.tiny_vit(3, side=22),
    lambda: models.tiny_vit(3, dim=50), lambda: models.tiny_vit(3, depth=0),
])
def test_sizes_are_checked(bad):
    with pytest.raises(ValueError, match="need"):
        bad()


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


def test_pretrained_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="no classification network 'resnet17'"):
        models.pretrained("resnet17")
    with pytest.raises(ValueError, match="known are ResNet"):
        models.pretrained("alexnet", weights=None)
    with pytest.raises(FileNotFoundError, match="missing.pth"):
        models.pretrained("resnet18", tmp_path / "missing.pth")
    (tmp_path / "bad.pth").write_bytes(b"not weights")
    with pytest.raises(ValueError, match="does not hold weights of resnet18"):
        models.pretrained("resnet18", tmp_path / "bad.pth")
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match="does not hold weights of mobilenet_v2"):
        models.pretrained("mobilenet_v2", tmp_path / "other.pth")


def test_pretrained_without_a_network_says_what_to_do(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models, "get_model", refuse)
    with pytest.raises(ConnectionError, match="weights=PATH"):
        models.pretrained("resnet18")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_models_agree_on_cpu_and_gpu():
    model, x = models.conv8(5).eval(), torch.randn(4, 1, 24, 24)
    torch.testing.assert_close(model(x), model.cuda()(x.cuda()).cpu(), rtol=1e-3, atol=1e-3)
