"""One door to every data set of the book."""
from pathlib import Path

from tlutils.data.dataset import Dataset
from tlutils.data.embedded import load_digits, load_glyphs, load_photos
from tlutils.data.real import KNOWN, load_real

EMBEDDED = {"glyphs": load_glyphs, "digits": load_digits, "photos": load_photos}


def load(name: str, root: str | Path | None = None, download: bool = False) -> Dataset:
    """Load a data set by its name.

    Embedded, no network: glyphs (60 letters, 24 x 24), digits (handwriting, 24 x 24), photos (patches, 32 x 32 x 3).
    Real, through torchvision: mnist, fashion_mnist, cifar10, cifar100 (with train_coarse, test_coarse, superclasses in
    its extras). Each is kept as ROOT/<name>.npz, where ROOT is `root`, else TLUTILS_DATA, else the user's cache folder.
    Shapes: images uint8 (n, h, w) or (n, h, w, 3), labels int64 (n,).
    Convention: nothing is downloaded unless download=True; embedded sets ignore `root` and `download`.
    Errors: ValueError for an unknown name or a damaged file, FileNotFoundError for a set that is not there,
    ConnectionError for a download that fails.
    """
    if name in EMBEDDED:
        return EMBEDDED[name]()
    if name not in KNOWN:
        raise ValueError(f"name must be one of {', '.join([*EMBEDDED, *KNOWN])}, got {name!r}")
    return load_real(name, root, download)
