"""Five ways: each begins and trains as its name says, each reads the same labelled images, and the rates are chosen."""
import dataclasses

import numpy as np
import pytest
import torch

from tlutils import models, probes, train, worlds
from tlutils.experiments import five_ways
from tlutils.results import Run, load

SMALL = five_ways.Config(n_source_classes=4, n_source=80, source_steps=8, n_test=40, labels_per_class=(2, 4),
                         steps=(3, 3), batch_size=16, probe_layers=(2, 7), targets=("shifted",), trials=tuple(
                             (how, size, 1e-3, False) for how in five_ways.TRAINED for size in (2, 4)))


@pytest.fixture(scope="module")
def source():
    return worlds.source_network(SMALL, seed=0)


@pytest.fixture(scope="module")
def few(source):
    return worlds.target("digits", SMALL, 0, source[1], most=4).few(4, 0)


def trained(how, source, few, **options):
    return five_ways.trained(how, source[0], few.x, few.y, **{"lr": 1e-9, "steps": 1, "seed": 0, "C": 0.1} | options)


def test_lp_ft_and_adapters_begin_as_the_probe_and_the_others_with_one_random_head(source, few):
    probe = probes.probe_head(source[0], few.x, few.y, C=0.1)
    before = train.predict(probe, few.x_test)
    for how in ("LP-FT", "adapters"):  # in training mode the norms' statistics move a little, the weights do not
        torch.testing.assert_close(trained(how, source, few).head.weight, probe.head.weight, rtol=0, atol=1e-6)
    heads = [trained(how, source, few).head.weight for how in ("fine-tune", "scratch")]
    torch.testing.assert_close(heads[0], heads[1], rtol=0, atol=1e-6)
    assert (heads[0] - probe.head.weight).abs().max() > 0.01
    assert torch.equal(train.predict(probes.probe_head(source[0], few.x, few.y), few.x_test), before)


def test_scratch_owes_nothing_to_the_source_and_fine_tuning_everything(source, few):
    other = (models.conv8(4), None)
    a, b = (trained("scratch", net, few, lr=1e-3, steps=3).conv3[0].weight for net in (source, other))
    assert torch.equal(a, b)
    torch.testing.assert_close(trained("fine-tune", source, few).conv3[0].weight, source[0].conv3[0].weight)


def test_changing_images_change_what_is_learned_and_another_word_is_refused(source, few):
    plain, changed = (trained("LP-FT", source, few, lr=1e-3, steps=3, augment=how).head.weight for how in (False, True))
    assert not torch.equal(plain, changed)
    with pytest.raises(ValueError, match="how must be one of"):
        trained("lp-ft", source, few)


def test_letters_are_alike_in_contrast_whichever_way_they_are_inked():
    x = torch.randn(3, 1, 24, 24)
    np.testing.assert_allclose(five_ways.contrast(x), five_ways.contrast(-x), atol=1e-6)


def test_one_small_run_has_every_way_inside_and_outside():
    run = Run.of(five_ways.run(SMALL, seed=1))
    names = {*five_ways.WAYS, "probe 7", "nearest pixels", "nearest contrast"}
    for metric in ("accuracy", "outside_accuracy"):
        assert {made["method"] for made in run.rows if made["metric"] == metric} == names
    assert {made["labels_per_class"] for made in run.rows} == {2, 4}
    assert set(run.select(metric="chosen_layer")) <= {2, 7}
    inside, outside = (run.select(method="probe", metric=metric) for metric in ("accuracy", "outside_accuracy"))
    assert not np.array_equal(inside, outside)


def test_a_comparison_of_rates_names_them_and_reads_no_probe():
    config = dataclasses.replace(SMALL, labels_per_class=(2,), steps=(3,), trials=(
        ("LP-FT", 2, 1e-3, False), ("LP-FT", 2, 1e-3, True), ("scratch", 2, 1e-2, False)))
    rows = five_ways.run(config, seed=1)
    assert {(made["method"], made["lr"], made["variant"]) for made in rows} == {
        ("LP-FT", 1e-3, "plain"), ("LP-FT", 1e-3, "changed images"), ("scratch", 1e-2, "plain")}


def test_the_rates_are_those_that_the_comparison_of_rates_has_chosen():
    compared = [load(five_ways.CHAPTER, name) for name in ("five_ways_rates", "five_ways_above", "five_ways_top")]
    assert all(run["seeds"] == [10, 11] for run in compared)
    assert sorted(five_ways.chosen(*compared)) == sorted(five_ways.LAPTOP.trials)
    made = [{"method": "scratch", "labels_per_class": 5, "lr": lr, "variant": "plain", "value": value}
            for lr, value in ((1e-3, 0.5), (1e-2, 0.4), (1e-2, 0.7))]
    assert five_ways.chosen(Run({"rows": made})) == (("scratch", 5, 1e-2, False),)


@pytest.mark.parametrize("name", ["five_ways", "five_heads", "five_lower"])
def test_a_record_tells_the_commit_of_its_thresholds_and_uses_no_seed_that_chose_the_rates(name):
    run, expected = load(five_ways.CHAPTER, name), five_ways.EXPERIMENT.expected[name]
    assert run["thresholds"]["expected"] == [line.text for line in expected]
    assert run["thresholds"]["commit"] and not run["dirty"]
    assert any(line.holds(run) for line in expected)
    assert not set(run["seeds"]) & {10, 11}


def test_the_record_has_each_way_at_its_chosen_rate():
    run = load(five_ways.CHAPTER, "five_ways")
    told = {(made["method"], made["labels_per_class"], made["lr"], made["variant"] == "changed images")
            for made in run.rows if "lr" in made}
    assert told == set(five_ways.LAPTOP.trials)
