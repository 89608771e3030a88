"""Characters in colours that say nothing about the character: material for learning without labels."""
import numpy as np

from tlutils.data.glyphs import glyphs
from tlutils.env import check_seed


def colour_glyphs(characters, n: int, seed: int, *, jitter: float = 0.67, gradient: float = 0.35, noise: float = 0.06,
                  side: int = 24, return_attributes: bool = False):
    """Draw n images of the given characters, each with an ink, a ground and a gradient of its own.

    With a mask m of `glyphs`, uniform colours ink and ground, and places u, v in -1..1, a colour is
    ground + m (ink - ground) + gradient (u g1 + v g2) + noise N(0, 1), with g1 and g2 uniform in -1/2..1/2.
    Returns: images (n, side, side, 3) uint8, labels (n,) int64 and, if asked for, the dict of `glyphs` with ink and
    ground as colours (n, 3) in 0..1.
    Convention: ink and ground differ by at least 0.6 in Euclidean distance (of 0..1 colours), so that every character
        can be seen. As in `glyphs`, the same arguments give the same images, and the global random state is left alone.
    Errors: ValueError as for `glyphs`, or for a gradient or noise below 0.

    >>> images, labels = colour_glyphs("abc", n=6, seed=0)
    >>> images.shape, sorted(labels.tolist())
    ((6, 24, 24, 3), [0, 0, 1, 1, 2, 2])
    """
    if gradient < 0 or noise < 0:
        raise ValueError(f"gradient and noise must be >= 0, got gradient={gradient}, noise={noise}")
    grey, labels, drawn = glyphs(characters, n, seed, jitter=jitter, noise=0, background=0, side=side,
                                 return_attributes=True)
    mask = (grey / np.float32(127.5) - 1) * (drawn["polarity"] / drawn["ink"])[:, None, None]   # (n, side, side)
    rng = np.random.default_rng([check_seed(seed), 1])
    ink, ground = rng.random((2, n, 3))
    while len(close := np.flatnonzero(np.linalg.norm(ink - ground, axis=1) < 0.6)):
        ink[close], ground[close] = rng.random((2, len(close), 3))
    g = gradient * (rng.random((n, 3, 2)) - 0.5)                                                 # (n, 3, 2)
    v, u = np.meshgrid(*[np.linspace(-1, 1, side)] * 2, indexing="ij")
    ramp = np.einsum("nck,kxy->nxyc", g, np.stack([u, v]), optimize=True)
    paint = ground[:, None, None] + mask.clip(0, 1)[..., None] * (ink - ground)[:, None, None] + ramp
    paint += noise * rng.standard_normal(paint.shape, dtype=np.float32)
    images = np.clip(np.rint(255 * paint), 0, 255).astype(np.uint8)
    return (images, labels, drawn | {"ink": ink, "ground": ground}) if return_attributes else (images, labels)
