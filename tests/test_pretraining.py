"""Pretraining on two views: every task sees what it may see, and as many views a step as the others."""
import pytest
import torch
from torch import nn

from tlutils import env, models, pretraining, selfsup, worlds

VIEWS = {"area": (0.5, 1.0), "rotate": 0.2, "flip": 0.0, "colour": 0.5, "mix": 0.56, "grey": 0.2, "blur": 0.0}
HOW = {"views": VIEWS, "steps": 3, "views_per_step": 32, "lr": 2e-3}


@pytest.fixture(scope="module")
def images():
    return worlds.pool("glyphs", 0, n_pool=240, n_classes=4, n_other=6, n_labelled=6, n_test=40, side=24)


def encoder(seed):
    env.seed_everything(seed)
    return models.conv_encoder(widths=(4, 8, 8), n_features=16).to(env.device())


def pretext(task, x, labels, seed=0):
    f = encoder(seed)
    model, losses = pretraining.pretext(task, f, x, labels, n_features=16, widths=(4, 8, 8), seed=seed, **HOW)
    assert next(model.children()) is f
    return f, losses


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("task", pretraining.TASKS)
def test_the_seed_decides_and_the_encoder_moves(images, task):
    (f, losses), (g, again) = (pretext(task, images.x, images.other) for _ in range(2))
    assert losses == again and len(losses) == 3 and torch.equal(weights(f), weights(g))
    assert not torch.equal(weights(f), weights(encoder(0)))
    assert not torch.equal(weights(f), weights(pretext(task, images.x, images.other, 1)[0]))


def test_supervised_sees_labelled_images_alone_and_the_others_no_label(images):
    blank = torch.where((images.other < 0)[:, None, None, None], 0.0, images.x)
    ours, theirs = (pretext("supervised", x, images.other)[0] for x in (images.x, blank))
    assert torch.equal(weights(ours), weights(theirs))
    no_first_class = torch.where((images.other == 0)[:, None, None, None], 0.0, images.x)
    assert not torch.equal(weights(ours), weights(pretext("supervised", no_first_class, images.other)[0]))
    for task in ("rotation", "pair", "imputation"):
        ours, theirs = (pretext(task, images.x, labels)[0] for labels in (images.other, images.other * 0))
        assert torch.equal(weights(ours), weights(theirs))


@pytest.mark.parametrize("task", pretraining.TASKS)
def test_every_task_sees_as_many_views_a_step(images, task):
    seen, f = [], encoder(0)
    f.register_forward_pre_hook(lambda module, x: seen.append(len(x[0])))
    pretraining.pretext(task, f, images.x, images.other, n_features=16, widths=(4, 8, 8), seed=0, **HOW)
    assert seen == [32, 32, 32]


def test_a_loss_of_ones_own_is_given_two_views_and_places(images):
    seen = []

    def own(model, batch):
        (v1, v2), places = batch
        seen.append((len(v1), len(v2), places.tolist()))
        return model(torch.cat([v1, v2])).square().mean()

    pretraining.pretrain(encoder(0), own, images.x, seed=0, **HOW)
    assert [line[:2] for line in seen] == [(16, 16)] * 3
    assert len({place for line in seen for place in line[2]}) == 48 and max(max(line[2]) for line in seen) < 240


def test_a_pair_comes_from_the_whole_image_and_imputation_keeps_colours(images, monkeypatch):
    seen, two_views = [], selfsup.two_views
    monkeypatch.setattr(selfsup, "two_views", lambda *args, **views: seen.append(views) or two_views(*args, **views))
    for task, changed in (("rotation", {}), ("pair", {"area": (1.0, 1.0), "rotate": 0.0, "flip": 0.0}),
                          ("imputation", {"colour": 0.0, "mix": 0.0, "grey": 0.0})):
        pretext(task, images.x, images.other)
        assert seen[-1] == VIEWS | changed


def test_rotation_turns_every_view_four_times(images):
    turned, model = [], nn.Sequential(encoder(0), nn.Linear(16, 4).to(images.x.device))
    model.register_forward_pre_hook(lambda module, x: turned.append(len(x[0])))
    pretraining.rotation_loss(model, ((images.x[:4], images.x[4:8]), None))
    assert turned == [32]


def test_guards(images):
    with pytest.raises(ValueError, match="task must be one of supervised, .* got 'jigsaw'"):
        pretext("jigsaw", images.x, images.other)
