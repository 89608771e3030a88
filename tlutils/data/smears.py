"""Smears: grey pictures of cells that differ in number, size, outline and nucleus, far from anything written."""
import numpy as np

from tlutils.env import check_seed

CLASSES = ("ordinary", "crowded", "large", "spiky", "hollow", "clumped")
_NUMBER, _RADIUS = (5, 8, 3, 5, 5, 5), (3.4, 2.8, 4.6, 3.8, 3.6, 3.2)  # cells a picture, pixels at side 24


def smears(n: int, seed: int, *, side: int = 24, contrast: float = 0.35,
           noise: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """Return n pictures of cells on a cloudy ground in six classes (see CLASSES), balanced and shuffled.

    Equation: a cell covers distance r and angle phi from its centre where r < R (1 + a sin(m phi + b)), softly.
    Shapes: images uint8 (n, side, side), labels int64 (n,).
    Units: contrast and noise as shares of full contrast.
    Convention: number (+-1), radius (+-25 %), place, darkness and outline vary within each class, so that no single
        one of them tells the class; spiky cells have a up to 0.5, others up to 0.1; hollow cells are pale inside;
        clumped cells lie close to one point.
    Errors: ValueError if n < 1, side < 8, or contrast or noise < 0.
    """
    if n < 1 or side < 8 or min(contrast, noise) < 0:
        raise ValueError(f"need n >= 1, side >= 8 and contrast, noise >= 0; got {n}, {side}, {contrast}, {noise}")
    rng, many = np.random.default_rng(check_seed(seed)), max(_NUMBER) + 1
    labels = rng.permutation(np.arange(n) % len(CLASSES))
    is_class = {name: (labels == k)[:, None] for k, name in enumerate(CLASSES)}
    count = np.array(_NUMBER)[labels] + rng.integers(-1, 2, n)
    spread = np.where(is_class["clumped"], 0.22, 0.45)
    middle = np.where(is_class["clumped"], rng.uniform(0.3, 0.7, (2, n, 1)), 0.5)
    place = side * (middle + spread * rng.uniform(-1, 1, (2, n, many)))                       # (2, n, many)
    radius = side / 24 * np.array(_RADIUS)[labels][:, None] * rng.uniform(0.75, 1.25, (n, many))
    depth = np.where(is_class["spiky"], 0.5, 0.1) * rng.uniform(0.7, 1, (n, many))
    lobes, turn = rng.integers(4, 7, (n, many)), rng.uniform(0, 2 * np.pi, (n, many))
    y, x = np.mgrid[:side, :side] + 0.5
    cover, hollow = np.zeros((n, side, side)), is_class["hollow"][..., None]
    for k in range(many):
        dy, dx = (axis - at[:, k, None, None] for axis, at in zip((y, x), place, strict=True))
        r, (size, a, m, b) = np.hypot(dy, dx), (v[:, k, None, None] for v in (radius, depth, lobes, turn))
        cell = _soft(size * (1 + a * np.sin(m * np.arctan2(dy, dx) + b)) - r)
        cell = np.where(hollow, cell - 0.9 * _soft(0.55 * size - r), cell)
        cover = np.maximum(cover, cell * (k < count)[:, None, None])                          # cells may overlap
    waves = rng.uniform(-4, 4, (2, 3, n, 1, 1)) / side
    ground = np.sin(waves[0] * y + waves[1] * x + rng.uniform(0, 2 * np.pi, (3, n, 1, 1))).mean(0)
    picture = 0.6 * contrast * ground - contrast * rng.uniform(0.7, 1.5, (n, 1, 1)) * cover
    picture += 0.2 + noise * rng.normal(size=picture.shape)
    return np.clip(127.5 * (1 + picture), 0, 255).round().astype(np.uint8), labels.astype(np.int64)


def _soft(inside: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-2.5 * np.clip(inside, -20, 20)))
