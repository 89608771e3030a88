"""The slow encoder follows its equation, also where one of the two stands inside a wrapper."""
import copy

import pytest
import torch
from torch import nn

from tlutils import models, selfsup


def in_part(model):
    model = copy.deepcopy(model)
    model.conv2 = torch.compile(model.conv2, backend="eager")
    return model


def compiled(model):
    return torch.compile(model, backend="eager")


@pytest.mark.parametrize("copied", [lambda model: model, compiled, nn.DataParallel])
@pytest.mark.parametrize("followed", [lambda model: model, compiled, nn.DataParallel, in_part])
def test_follows_weights_and_statistics_and_copies_counters(copied, followed):
    model = models.conv8(3)
    slow = selfsup.MomentumEncoder(copied(model), m=0.75)
    start = [value.clone() for value in slow.state_dict().values()]
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(2)
    slow.update(followed(model))
    for old, new in zip(start, slow.state_dict().values(), strict=True):
        torch.testing.assert_close(new, old + (0.5 if old.is_floating_point() else 2))


def test_another_encoder_is_refused_and_nothing_moves():
    slow = selfsup.MomentumEncoder(models.conv8(3))
    start = copy.deepcopy(slow.state_dict())
    for other, says in ((models.conv8(4), r"\['head.bias', 'head.weight'\]"), (models.conv8(3)[:-1], "head.bias"),
                        (models.conv8(3, batchnorm=False), "conv1.0.bias")):
        with pytest.raises(ValueError, match=f"encoder differs from the one that was copied in .*{says}"):
            slow.update(other)
    assert all(torch.equal(value, start[key]) for key, value in slow.state_dict().items())


@pytest.mark.parametrize("own", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("theirs", [torch.float32, torch.bfloat16, torch.float64])
def test_follows_an_encoder_of_another_type_by_steps_that_half_precision_cannot_hold(own, theirs):
    encoder = nn.Linear(3, 3)
    nn.init.ones_(encoder.weight), nn.init.zeros_(encoder.bias)
    slow = selfsup.MomentumEncoder(encoder.to(own), m=0.999)
    followed = copy.deepcopy(encoder).to(theirs)
    nn.init.constant_(followed.weight, 1.5)
    for _ in range(700):
        slow.update(followed)
    assert slow.encoder.weight.dtype == own
    assert float(slow.encoder.weight.detach().mean()) == pytest.approx(1.5 - 0.5 * 0.999**700, abs=0.004)
    slow.load_state_dict({key: torch.full_like(value, 3.0) for key, value in slow.state_dict().items()})
    slow.update(followed)                                           # from what was loaded, not from what was kept
    assert float(slow.encoder.weight.detach().mean()) == pytest.approx(3, abs=0.01)
