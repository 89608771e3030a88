"""Domain shift: what may be seen is seen, what may not be seen changes nothing, and every variant is what it says."""
import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tlutils import data, train
from tlutils.experiments import reversal

TINY = reversal.Config(n_source=200, n_target=150, n_held=50, n_test=60, steps=6, source_steps=4, target_steps=4,
                       batch_size=16)
WORDS = dataclasses.replace(TINY, pair="reviews")


@pytest.fixture(scope="module")
def both():
    return reversal.domains(TINY, 0)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("name", [name for name in reversal.VARIANTS if name != "target"])
@pytest.mark.parametrize("config", [TINY, WORDS], ids=["pictures", "words"])
def test_no_target_label_is_touched(config, name):
    here = dataclasses.replace(config, **{k: v for k, v in reversal.VARIANTS[name].items() if k != "shares"})
    if config.pair == "reviews" and here.at != -1:
        pytest.skip("bags of words have no convolutions to attach to")
    both = reversal.domains(here, 0)
    poisoned = dataclasses.replace(both, y_t=torch.full_like(both.y_t, -7), y_test=torch.full_like(both.y_test, -7))
    found = [reversal.trained(one, here, 0)[0] for one in (both, poisoned)]
    assert torch.equal(weights(found[0]), weights(found[1]))
    back = [reversal.reverse_accuracy(model, one, here, 0) for model, one in zip(found, (both, poisoned), strict=True)]
    assert back[0] == back[1]


def test_the_network_trained_on_the_target_does_see_them(both):
    here = dataclasses.replace(TINY, method="target")
    turned = dataclasses.replace(both, y_t=9 - both.y_t)
    first, other = (reversal.trained(one, here, 0)[0] for one in (both, turned))
    assert not torch.equal(weights(first), weights(other))


def test_lambda_rises_or_does_not(both):
    lams = [lam for *_, lam in reversal.batches(both, dataclasses.replace(TINY, lam=2.0), 0)]
    assert lams[0] == 0 and lams == sorted(lams) and 1.9 < lams[-1] <= 2
    constant = dataclasses.replace(TINY, schedule=False, lam=0.3)
    assert [lam for *_, lam in reversal.batches(both, constant, 0)] == [0.3] * TINY.steps


def test_the_rate_falls_to_zero_in_the_last_quarter_and_the_critic_has_its_own():
    model, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    adam, schedule = reversal.optimiser(dataclasses.replace(TINY, domain_lr=10.0), model, critic, lr=0.01, steps=100)
    seen = []
    for _ in range(100):
        seen.append([group["lr"] for group in adam.param_groups])
        adam.step(), schedule.step()
    assert seen[0] == [0.01, 0.1] and seen[75] == [0.01, 0.1] and seen[99][0] == pytest.approx(0.0004)


def test_variants_change_the_network(both):
    def kinds(**changes):
        return {type(m) for m in reversal.network(dataclasses.replace(TINY, **changes), both, 0).modules()}
    assert nn.InstanceNorm2d in kinds() and nn.BatchNorm2d in kinds(norm="batch")
    assert nn.InstanceNorm2d not in kinds(norm="batch")
    naive = dataclasses.replace(TINY, **reversal.VARIANTS["naive"])
    _, critic = reversal.trained(both, naive, 0)
    assert critic[0].in_features == 32 * 3 * 3


def test_rows_of_a_run():
    here = dataclasses.replace(TINY, variants=("source", "dann"), reverse=("source",))
    rows = reversal.run(here, 0)
    assert rows and {row["metric"] for row in rows if row["method"] == "source"} == {
        "seconds", "accuracy", "source_accuracy", "proxy_a_distance", "reverse_accuracy"}
    assert {row["metric"] for row in rows if row["method"] == "dann"} == {
        "seconds", "accuracy", "source_accuracy", "proxy_a_distance", "domain_loss"}
    assert reversal.run(here, 0)[1]["value"] == rows[1]["value"]


def test_it_learns():
    here = dataclasses.replace(WORDS, n_source=1000, n_target=1000, method="source", source_steps=100)
    both = reversal.domains(here, 0)
    model, _ = reversal.trained(both, here, 0)
    assert train.evaluate(model, both.x_held, both.y_held) > 0.8


def test_variants_with_the_same_shares_have_the_same_domains():
    here = dataclasses.replace(TINY, variants=("dann", "source, skewed", "naive", "dann, skewed", "dann, four classes"))
    parts = reversal.data(here, 0)
    assert list(parts) == ["domains", "domains, shares 8 8 8 8 1 1 1 1 1 1", "domains, shares 1 1 1 1 0 0 0 0 0 0"]
    assert torch.equal(parts["domains"].x_t, reversal.domains(TINY, 0).x_t)
    told = reversal.EXPERIMENT.describe(here)["parts"]
    assert {part["n"] for part in told.values()} == {200} and len({part["sha256"] for part in told.values()}) == 3


@pytest.mark.parametrize(("changes", "message"), [({"pair": "cats"}, "pair"), ({"method": "magic"}, "method")])
def test_bad_input(changes, message):
    here = dataclasses.replace(TINY, **changes)
    with pytest.raises(ValueError, match=message):
        reversal.trained(reversal.domains(here, 0), here, 0)


def fake_mnist(monkeypatch, seed=0):
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 256, (300, 28, 28), dtype=np.uint8), np.arange(300) % 10
    made = data.Dataset("mnist", images, labels, images[:40], labels[:40], np.array([str(k) for k in range(10)]))
    monkeypatch.setattr(data, "load", lambda name, **_: made)


def test_the_full_scale_is_mnist_m_and_runs_without_its_photographs(monkeypatch, tmp_path):
    monkeypatch.setenv("TLUTILS_DATA", str(tmp_path))
    monkeypatch.delenv("TLUTILS_SCALE", raising=False)
    assert reversal.live() == reversal.LIVE
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    assert reversal.live() == dataclasses.replace(reversal.MNIST_M, pair="mnist_strips")
    with pytest.raises(FileNotFoundError, match="BSDS500"):
        reversal.domains(reversal.MNIST_M, 0)
    fake_mnist(monkeypatch)
    small = dataclasses.replace(reversal.live(), n_source=100, n_target=120, n_held=50)
    both = reversal.domains(small, 0)
    assert both.x_s.shape == (100, 3, 28, 28) and both.x_t.shape == (120, 3, 28, 28) and len(both.x_test) == 40
    (tmp_path / "BSDS500" / "images" / "train").mkdir(parents=True)
    np.savez(tmp_path / "mnist_m_test.npz", images=np.zeros((5, 32, 32, 3), np.uint8), labels=np.arange(5))
    assert reversal.live() == reversal.MNIST_M
    for name in ("one", "two"):
        picture = np.random.default_rng(len(name)).integers(0, 256, (60, 70, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "BSDS500" / "images" / "train" / f"{name}.jpg")
    assert len(reversal.domains(dataclasses.replace(small, pair="mnist_m"), 0).x_test) == 5
