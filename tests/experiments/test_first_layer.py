"""The first layer: a network that starts small, and small runs whose rows are complete."""
import dataclasses

import numpy as np
import pytest
import torch
import torchvision

from tlutils import results
from tlutils.experiments import first_layer

TINY = dataclasses.replace(first_layer.LAPTOP, sources=("letters", "texture"), n_train=128, n_test=64, n_classes=12,
                           n_filters=4, steps=2, batch_size=32)


def test_network_starts_small_and_is_fixed_by_its_seed():
    small, usual = (first_layer.network(5, dataclasses.replace(TINY, initial_scale=s), seed=4) for s in (0.1, 1.0))
    assert small[0][0].weight.shape == (4, 1, 7, 7)
    torch.testing.assert_close(10 * small[0][0].weight, usual[0][0].weight)
    assert torch.equal(small.head.weight, usual.head.weight)
    assert small(torch.zeros(2, 1, 24, 24, device=small.head.weight.device)).shape == (2, 5)


def test_an_unknown_source_is_named():
    with pytest.raises(ValueError, match="got 'cats'"):
        first_layer.task("cats", TINY, 0)


def test_a_small_run_gives_complete_rows_and_repeats_itself():
    rows = first_layer.run(TINY, seed=1)
    results.check_rows(rows)
    assert {(r["source"], r["method"], r["metric"]) for r in rows} == {
        (s, m, "gabor_share") for s in TINY.sources for m in ("untrained", "trained", "scrambled")} | {
        (s, "trained", "accuracy") for s in TINY.sources}
    assert rows == first_layer.run(TINY, seed=1)
    untrained = [r["value"] for r in rows if r["method"] == "untrained"]
    assert untrained[0] == untrained[1]            # the same initial values, whatever the source
    parts = first_layer.EXPERIMENT.describe(TINY)["parts"]
    assert {name: part["n"] for name, part in parts.items()} == {"letters": 128, "texture": 128}


def test_filters_of_a_pretrained_file_keep_their_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    state = torchvision.models.squeezenet1_0(num_classes=3).state_dict()
    torch.save(state, folder / "some.pth")
    config = dataclasses.replace(TINY, pretrained=("squeezenet1_0", "some.pth"))
    rows = first_layer.run(config, seed=0)
    results.check_rows(rows)
    kept = [row for row in rows if "pixels" in row]
    weight = state["features.0.weight"].numpy()
    assert len(kept) == len(weight) and len(rows) == 3 * len(weight)
    picture = np.frombuffer(bytes.fromhex(kept[5]["pixels"]), np.uint8).reshape(7, 7, 3).transpose(2, 0, 1)
    np.testing.assert_allclose(picture / 127.5 - 1, weight[5] / np.abs(weight[5]).max(), atol=0.005)
    parts = first_layer.EXPERIMENT.describe(config)["parts"]
    torch.save(state | {"features.0.bias": state["features.0.bias"] + 1}, folder / "some.pth")
    assert list(parts) == ["weights: some.pth"] and parts != first_layer.EXPERIMENT.describe(config)["parts"]


def test_patches_are_coded_without_labels():
    config = dataclasses.replace(TINY, n_patches=200)
    rows = first_layer.run(config, seed=1)
    results.check_rows(rows)
    assert [(r["source"], r["method"]) for r in rows] == [
        (s, m) for s in TINY.sources for coding in ("PCA", "ICA", "sparse coding")
        for m in (coding, f"{coding}, scrambled")]
    assert rows == first_layer.run(config, seed=1)
    parts = first_layer.EXPERIMENT.describe(config)["parts"]
    assert {name: part["n"] for name, part in parts.items()} == {"letters": 200, "texture": 200}
