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
