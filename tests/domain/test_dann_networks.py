"""The adversarial step in networks that are no plain nn.Sequential of different modules."""
from collections import OrderedDict

import pytest
import torch
from torch import nn

from tlutils.domain import DomainClassifier, dann_loss


class Own(nn.Sequential):
    def __init__(self):
        super().__init__(OrderedDict(body=nn.Linear(4, 6), relu=nn.ReLU(), head=nn.Linear(6, 3)))


def test_a_subclass_is_cut_into_its_own_modules_and_a_module_used_twice_counts_twice():
    own, relu = Own(), nn.ReLU()
    batch, domain = (torch.randn(5, 4), torch.arange(5) % 3, torch.randn(6, 4), 0.3), DomainClassifier(6)
    plain = nn.Sequential(own.body, relu, relu, own.head)
    assert dann_loss(own, batch, domain) == dann_loss(plain, batch, domain) == dann_loss(plain, batch, domain, at=2)
    dann_loss(own, batch, domain).backward()
    assert own.body.weight.grad.any() and own.head.weight.grad.any()
    with pytest.raises(ValueError, match="model must be an nn.Sequential, got DataParallel"):
        dann_loss(nn.DataParallel(own), batch, domain)


def test_labels_of_any_integer_type_and_none_out_of_range():
    model, domain = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)), DomainClassifier(6)
    x, y = torch.randn(5, 4), torch.arange(5) % 3
    want = dann_loss(model, (x, y, x, 0.3), domain)
    for dtype in (torch.int32, torch.int16, torch.uint8):
        assert dann_loss(model, (x, y.to(dtype), x, 0.3), domain) == want
    for wrong, told in ((y + 1, r"1\.\.3"), (y - 1, r"-1\.\.1")):
        with pytest.raises(ValueError, match=rf"y_s must be in 0\.\.2, got {told}"):
            dann_loss(model, (x, wrong, x, 0.3), domain)
