"""What all tests share: the Makefile's helpers on the path, figures without a window, and the folder of real data."""
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))


@pytest.fixture(scope="session")
def real_root() -> Path:
    """The folder TLUTILS_DATA, if it holds real data."""
    root = os.environ.get("TLUTILS_DATA")
    if not root:
        pytest.skip("TLUTILS_DATA is not set: no real data to read")
    if not (Path(root) / "cifar100.npz").exists():
        pytest.skip(f"there is no cifar100.npz in TLUTILS_DATA ({root})")
    return Path(root)


@pytest.fixture
def photo_root(tmp_path, monkeypatch):
    """A data root with ten made-up photographs and the weights of one network."""
    import numpy as np
    import torch
    import torchvision
    from PIL import Image

    from tlutils.worlds import photographs

    rng = np.random.default_rng(0)
    for split, n in (("train", 6), ("val", 2)):
        for name, colour in (("ants", (150, 60, 20)), ("bees", (220, 200, 40))):
            folder = tmp_path / photographs.FOLDER / split / name
            folder.mkdir(parents=True)
            for k in range(n):
                picture = np.clip(rng.normal(colour, 40, (80, 70, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(picture).save(folder / f"{k}.png")
    weights = tmp_path / photographs.WEIGHTS
    weights.mkdir(parents=True)
    torch.manual_seed(1)
    torch.save(torchvision.models.squeezenet1_1(weights=None, num_classes=3).state_dict(), weights / "small.pth")
    monkeypatch.setenv("TLUTILS_DATA", str(tmp_path))
    for cached in (photographs.ants_and_bees, photographs.stored_codes):
        cached.cache_clear()
    yield tmp_path
    for cached in (photographs.ants_and_bees, photographs.stored_codes):
        cached.cache_clear()
