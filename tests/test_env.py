"""Env: seeds that hold, a scale that is checked, a greeting that tells the truth."""
import importlib.metadata
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from tlutils import env


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_seed_everything_fixes_all_three_generators():
    env.seed_everything(3)
    first = draw()
    env.seed_everything(3)
    assert draw() == first
    env.seed_everything(4)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_is_checked(seed):
    with pytest.raises(ValueError, match="seed must be in"):
        env.seed_everything(seed)


def test_scale_argument_wins_over_environment_over_default(monkeypatch):
    monkeypatch.delenv("TLUTILS_SCALE", raising=False)
    assert env.scale() == "laptop"
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    assert env.scale() == "full" and env.scale("laptop") == "laptop"
    monkeypatch.setenv("TLUTILS_SCALE", "huge")
    with pytest.raises(ValueError, match="'huge'"):
        env.scale()


def test_device_is_asked_anew_and_can_be_chosen(monkeypatch):
    monkeypatch.setenv("TLUTILS_DEVICE", "meta")
    assert env.device().type == "meta"
    monkeypatch.delenv("TLUTILS_DEVICE")
    assert env.device().type == ("cuda" if torch.cuda.is_available() else env.device().type)


@pytest.mark.parametrize("wrong", ["gpu", "cuda:one", "0", "cpu cpu"])
def test_a_device_that_is_none_is_told(wrong, monkeypatch):
    monkeypatch.setenv("TLUTILS_DEVICE", wrong)
    with pytest.raises(ValueError, match=f'TLUTILS_DEVICE must be "cpu", "cuda", .* got {wrong!r}'):
        env.device()


def test_a_device_that_is_not_here_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for asked, kind in ((" CPU ", "cpu"), ("cuda", "cuda"), ("cuda:0", "cuda")):
        monkeypatch.setenv("TLUTILS_DEVICE", asked)
        assert env.device().type == kind
    for asked, words in (("cuda:1", "torch sees 1 of the kind cuda"), ("mps", "torch sees 0 of the kind mps")):
        monkeypatch.setenv("TLUTILS_DEVICE", asked)
        with pytest.raises(ValueError, match=f"TLUTILS_DEVICE .* that is here, got '{asked}'; {words}"):
            env.device()


def test_versions_name_what_a_number_depends_on():
    assert {"python", "torch", "numpy", "scikit-learn"} <= set(env.versions())


def test_versions_where_a_package_is_missing(monkeypatch):
    def version(name, known=importlib.metadata.version):
        if name == "torchvision":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert env.versions()["torchvision"] == "not installed" and env.versions()["numpy"] == np.__version__


LIGHT = {"results": "load", "explore": "Explorer", "quiz": "Question"}


@pytest.mark.parametrize("blocked, code", [
    *((("torch", "torchvision", "safetensors"), f"import tlutils; from tlutils.{unit} import {name}")
      for unit, name in LIGHT.items()),
    (("torch",), "import tlutils; tlutils.results.load('01_what_is_transfer_learning', 'first_layer')"),
    (("torchvision", "safetensors"), "import tlutils, tlutils.plotting; tlutils.setup('04')"),
    (("torchvision", "safetensors"), "from tlutils import data, models, setup, surgery, train, zoo; "
                                     "models.conv8(3); data.glyphs('ab', 2, 0); zoo.table()"),
    (("torch",), "import tlutils\ntry: tlutils.nothing\nexcept AttributeError: pass\nelse: raise SystemExit(3)")])
def test_what_is_light_does_without_the_heavy_packages(blocked, code):
    block = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in blocked)
    done = subprocess.run([sys.executable, "-c", block + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = ("import sys, tlutils, tlutils.results, tlutils.quiz\nassert 'torch' not in sys.modules\n"
            "from tlutils import data, models, plotting, surgery, train, zoo\n"
            "assert not {'torchvision', 'safetensors', 'sklearn'} & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
