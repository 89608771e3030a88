"""Surgery on what people bring: saved, compiled, parallel and subclassed networks, blocks used twice, odd outputs."""
import copy
import io
import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tlutils import models, surgery, train


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=False)


def compiled(model):
    return torch.compile(model, backend="eager")


def with_a_compiled_block(model):
    model.conv1 = compiled(model.conv1)
    model.conv2[1] = compiled(model.conv2[1])
    return model


@pytest.fixture(autouse=True)
def start():
    torch.manual_seed(0)
    yield
    torch.compiler.reset()


WRAPPERS = {"compiled": compiled, "parallel": nn.DataParallel, "average": torch.optim.swa_utils.AveragedModel}
TRIPS = WRAPPERS | {"saved": saved, "pickled": lambda model: pickle.loads(pickle.dumps(model)),
                    "saved and copied": lambda model: copy.deepcopy(saved(model)),
                    "compiled and copied": lambda model: copy.deepcopy(compiled(model)),
                    "parallel and saved": lambda model: saved(nn.DataParallel(model)), "in part": with_a_compiled_block}


@pytest.mark.parametrize("trip", TRIPS.values(), ids=TRIPS)
@pytest.mark.parametrize("first", ["freeze", "trip"])
def test_frozen_stays_frozen_and_unfreeze_takes_it_back(trip, first):
    model = models.conv8(3)
    model = trip(surgery.freeze(model, 3)) if first == "freeze" else surgery.freeze(trip(model), 3)
    blocks = list(surgery.layers(model.train()).values())
    assert not any(module.training for block in blocks[:3] for module in block.modules())
    assert all(module.training for block in blocks[3:] for module in block.modules())
    before = copy.deepcopy([block.state_dict() for block in blocks[:3]])
    F.cross_entropy(model(3 + 2 * torch.randn(8, 1, 24, 24)), torch.arange(8) % 3).backward()
    after = [block.state_dict() for block in blocks[:3]]
    assert all(torch.equal(value, new[key]) for old, new in zip(before, after, strict=True)
               for key, value in old.items())
    assert not any(p.grad is not None for block in blocks[:3] for p in block.parameters())
    surgery.unfreeze(model)
    assert all(module.training for module in model.modules()) and all(p.requires_grad for p in model.parameters())


def test_unfreeze_leaves_modes_alone_that_freeze_did_not_set():
    model = surgery.freeze(models.conv8(3), 2).train()
    model.conv5.eval()
    surgery.unfreeze(model)
    assert [block.training for block in model] == [True] * 4 + [False] + [True] * 3


def test_a_file_that_lost_its_frozen_state_can_be_frozen_again_and_unfrozen():
    """Files of a former way hold each module's ordinary `train` under that name, which froze nothing."""
    model = models.conv8(3)
    for module in model.conv1.modules():
        vars(module)["train"] = module.train
    assert not surgery.freeze(model, 1).train().conv1[1].training
    assert surgery.unfreeze(model).conv1[1].training and "train" not in vars(model.conv1[1])


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_every_function_works_on_the_network_inside_a_wrapper(wrap):
    net, x = models.conv8(5).eval(), torch.randn(2, 1, 24, 24)
    model = wrap(net)
    net = surgery.unwrap(model)  # an average holds a copy
    assert surgery.layers(model) == dict(net.named_children())
    assert torch.equal(train.features(model, x, 3), net[:3](x))
    with surgery.capture(model, "conv2") as seen:
        model(x)
    assert torch.equal(seen["conv2"], net[:2](x))
    other = models.conv8(5)
    assert surgery.copy_layers(model, other, 8) is other and torch.equal(other.eval()(x), net(x))
    assert surgery.replace_head(model, 3) is model and model(x).shape == (2, 3) and not net.head.training
    assert [len(group["params"]) for group in surgery.param_groups(model, 1e-2, 1e-3)] == [20, 2]
    old = net.conv1[0].weight.clone()
    assert surgery.reinitialise(model, "conv1") is model and not torch.equal(old, net.conv1[0].weight)


def test_what_is_no_sequential_inside_its_wrapper_is_named():
    for model in (nn.DataParallel(nn.Linear(2, 2)), compiled(nn.Linear(2, 2))):
        with pytest.raises(ValueError, match="nn.Sequential of at least two blocks, got Linear"):
            surgery.layers(model)
    named = nn.Sequential(OrderedDict(module=nn.Linear(2, 2), head=nn.ReLU()))
    assert list(surgery.layers(named)) == ["module", "head"]


def twice():
    """A network whose ReLU and whose layer stand at two places each."""
    relu, layer = nn.ReLU(), nn.Linear(4, 4)
    return nn.Sequential(nn.Linear(4, 4), relu, layer, relu, layer, nn.Linear(4, 3))


def test_a_module_at_two_places_is_two_blocks_everywhere():
    model, x = twice(), torch.randn(3, 4)
    assert list(surgery.layers(model)) == list("012345") and len(surgery.part(model, 0, -1)) == 5
    z, steps = x, []
    for block in model:
        steps.append(z := block(z))
    assert torch.equal(train.features(model, x), steps[-2])
    assert all(torch.equal(train.features(model, x, n + 1), step) for n, step in enumerate(steps))
    with surgery.capture(model, surgery.layers(model)) as seen:
        model(torch.randn(5, 4))
        model(x)
    assert all(torch.equal(seen[str(n)], step) for n, step in enumerate(steps))
    target = twice()
    surgery.copy_layers(model, target, 5)
    assert torch.equal(train.features(target, x), steps[-2])
    assert surgery.count_parameters(surgery.freeze(copy.deepcopy(model), 5), trainable_only=True) == 15
    assert surgery.replace_head(copy.deepcopy(model), 7)(x).shape == (3, 7)


def test_shared_parameters_are_in_one_group_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 4))
    model[2].weight, model[3].weight = model[0].weight, model[0].weight
    body, head = surgery.param_groups(model, 1e-2, 1e-3)
    assert len(body["params"]) == 3 and head["params"] == [model[3].bias]
    torch.optim.SGD([body, head])  # refuses a parameter in two groups


def test_after_a_pass_that_broke_off_outputs_still_belong_to_their_places():
    model, x = twice(), torch.randn(3, 4)
    with surgery.capture(model, ["1", "3"]) as seen:
        handle = model[2].register_forward_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model(x)
        handle.remove()
        model(x)
    assert torch.equal(seen["1"], model[:2](x)) and torch.equal(seen["3"], model[:4](x))


class Own(nn.Sequential):
    """A network as many write their own: slicing it would build another."""

    def __init__(self, width=6):
        super().__init__(OrderedDict(body=nn.Sequential(nn.Flatten(), nn.Linear(4, width), nn.ReLU()),
                                     head=nn.Linear(width, 3)))


class Doubled(Own):
    def forward(self, x):
        return self.head(self.body(x) + self.body(2 * x))


def test_parts_of_a_subclass_are_its_own_modules():
    model, x = Own(), torch.randn(5, 2, 2)
    part = surgery.part(model, stop=1)
    assert type(part) is nn.Sequential and list(part.named_children()) == [("body", model.body)]
    assert torch.equal(train.features(model, x), model.body(x))
    with pytest.raises(ValueError, match="runs its blocks one after another, to be cut in parts, got Doubled"):
        train.features(Doubled(), x)


@pytest.mark.parametrize("name", ["squeezenet1_1", "own"])
def test_what_is_captured_stays_as_it_was_when_later_layers_work_in_place(name):
    model, x = Own(), torch.randn(5, 2, 2)
    if name == "own":
        model = nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(4, 4), nn.ReLU(inplace=True),
                              nn.Linear(4, 2)).eval()
    else:
        model, x = models.pretrained(name, None), torch.randn(1, 3, 64, 64)
    given = x.clone()
    with surgery.capture(model, surgery.layers(model)) as seen:
        train.predict(model, x)
    for n, block in enumerate(seen, start=1):
        assert torch.equal(seen[block], train.features(model, x, n)), block
    assert torch.equal(x, given), "the caller's images were written into"


def run_inside(model):
    return compiled(lambda x: model(x))


def compiled_in_place(model):
    model.compile(backend="eager")
    return model


def a_block_in_place(model):
    model.conv1.compile(backend="eager")
    return model


@pytest.mark.parametrize("ready", [compiled, run_inside, compiled_in_place, a_block_in_place, with_a_compiled_block])
def test_capture_of_compiled_code_that_ran_before(ready):
    net, x = models.conv8(5).eval(), torch.randn(2, 1, 24, 24)
    call = ready(net)
    with torch.no_grad():
        call(torch.randn(2, 1, 24, 24))
        with surgery.capture(net, ["conv1", "fc7"]) as seen:
            call(x)
        assert torch.equal(seen["conv1"], net.conv1(x)) and torch.equal(seen["fc7"], net[:-1](x))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class First(nn.Module):
    def forward(self, pair):
        return pair[0]


def test_capture_says_which_block_it_cannot_read():
    model, x = nn.Sequential(OrderedDict(two=Pair(), one=First(), head=nn.Linear(4, 2))), torch.randn(3, 4)
    with pytest.raises(ValueError, match="block two puts out a tuple"), surgery.capture(model, ["two"]):
        model(x)
    assert not model.two._forward_hooks and not model._forward_pre_hooks
    with pytest.raises(ValueError, match=r"no output of \['head'\] came"), surgery.capture(model, ["one", "head"]):
        model.one(model.two(x))
    with pytest.raises(ValueError, match="names must hold a block"), surgery.capture(model, []):
        pass
    relu = nn.ReLU()
    nested = nn.Sequential(nn.Sequential(nn.Linear(4, 4), relu), relu, nn.Linear(4, 2))
    with pytest.raises(ValueError, match="block 1 is used at other places too"), surgery.capture(nested, ["0", "1"]):
        pass
    assert not nested[0]._forward_hooks
    replica = model.head._replicate_for_data_parallel()
    replica.weight, replica.bias = model.head.weight, model.head.bias
    with pytest.raises(ValueError, match="block head runs on several devices"), surgery.capture(model, "head"):
        replica(x)


def test_one_name_is_a_name_and_names_may_come_from_a_generator():
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(14)])
    before = copy.deepcopy(model.state_dict())
    surgery.reinitialise(model, "12")
    surgery.reinitialise(model, (name for name in ("3", "5")))
    assert {key.split(".")[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])} == {
        "3", "5", "12"}
    with surgery.capture(model, "12") as seen:
        model(torch.randn(2, 4))
    assert list(seen) == ["12"]
    with pytest.raises(ValueError, match="no block"):
        surgery.reinitialise(model, "14")
    with pytest.raises(ValueError, match="n must be in 0..14, got '12'"):
        surgery.freeze(model, "12")


def renewed(model, names):
    """Move every value away from where it begins, renew the blocks; return the names of what stayed."""
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(3)
    before = copy.deepcopy(model.state_dict())
    surgery.reinitialise(model, names)
    return {key for key, value in model.state_dict().items() if torch.equal(value, before[key])}


class Scaled(nn.Module):
    """A layer with a scale of its own, as in ConvNeXt, that nothing sets anew."""

    def __init__(self):
        super().__init__()
        self.layer, self.scale = nn.Linear(4, 4), nn.Parameter(torch.full((4,), 1e-6))

    def forward(self, x):
        return self.scale * self.layer(x)


def test_reinitialise_renews_attention_recurrent_layers_and_statistics():
    model = models.tiny_vit(4)
    assert renewed(model, ["block1", "pool"]) == {key for key in model.state_dict()
                                                  if key.split(".")[0] not in ("block1", "pool")}
    assert not model.block1.attention.out_proj.bias.any(), "attention begins with a bias of zero"
    assert renewed(nn.Sequential(nn.LSTM(3, 4), nn.Linear(4, 2)), "0") == {"1.weight", "1.bias"}
    net = nn.Sequential(nn.Sequential(nn.Embedding(5, 4), nn.BatchNorm1d(4), nn.PReLU()), nn.Linear(4, 2))
    assert renewed(net, "0") == {"1.weight", "1.bias"}
    lazy = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2))
    assert surgery.reinitialise(lazy, "0") is lazy


@pytest.mark.parametrize(("block", "says"), [
    (Scaled(), r"\['0.scale'\]"),
    (nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), "0.parametrizations.weight.original0"),
    (nn.Sequential(nn.Linear(4, 4), nn.ParameterList([torch.zeros(3)])), r"\['0.1.0'\]")])
def test_reinitialise_names_what_it_cannot_renew_and_changes_nothing(block, says):
    model = nn.Sequential(block, nn.Linear(4, 2), nn.BatchNorm1d(2))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=says):
        surgery.reinitialise(model, ["1", "0", "2"])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_replace_head_keeps_what_a_head_flattens_and_the_mode():
    model = models.pretrained("squeezenet1_1", None, n_classes=4)
    surgery.replace_head(model, 3)
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 3)
    assert not any(module.training for module in model.modules())
    dropped = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Dropout(), nn.Linear(4, 2)))
    assert isinstance(surgery.replace_head(dropped, 3)[1], nn.Linear)


@pytest.mark.parametrize("wrapped", [lambda model: model, torch.optim.swa_utils.AveragedModel, copy.deepcopy, saved])
def test_averaging_weights_leaves_the_statistics_of_frozen_blocks(wrapped):
    model = surgery.freeze(models.conv8(3), 2)
    model.conv1[1].running_mean.fill_(7.0), model.conv3[1].running_mean.fill_(7.0)
    model = wrapped(model)
    torch.optim.swa_utils.update_bn([torch.randn(8, 1, 24, 24)], model)
    inside = surgery.unwrap(model)
    assert (inside.conv1[1].running_mean == 7).all() and (inside.conv3[1].running_mean < 6).all()
    surgery.reinitialise(inside, "conv1")                            # what is asked for is done, frozen or not
    assert (inside.conv1[1].running_mean == 0).all()
    inside.conv2[1].running_mean.fill_(7.0)
    surgery.unfreeze(model)
    torch.optim.swa_utils.update_bn([torch.randn(8, 1, 24, 24)], model)
    assert (inside.conv2[1].running_mean < 6).all()


def test_numbers_where_names_are_expected_and_heads_without_a_size():
    model = models.conv8(3)
    for wrong in (2, None, [2]):
        with pytest.raises(ValueError, match="model has no block"):
            surgery.reinitialise(model, wrong)
        with pytest.raises(ValueError, match="model has no block"), surgery.capture(model, wrong):
            pass
    with pytest.raises(ValueError, match=r"n must be in 0\.\.8, got 2\.0"):
        surgery.freeze(model, 2.0)
    with pytest.raises(ValueError, match="no linear layer or convolution of known size"):
        surgery.replace_head(nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(3)), 2)
