"""A pair of pieces of one image: where does the second lie, seen from the first? (Doersch, Gupta & Efros 2015)"""
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Siamese(nn.Module):
    """p(y | r[f(x1), f(x2)]): one encoder f reads both, r reads the two features side by side.

    Shapes: a pair of inputs (n, ...), of which f makes (n, n_features) -> scores (n, n_answers).
    """

    def __init__(self, f: nn.Module, n_features: int, n_answers: int, hidden: int = 128):
        super().__init__()
        self.f = f
        self.r = nn.Sequential(nn.Linear(2 * n_features, hidden), nn.ReLU(), nn.Linear(hidden, n_answers))

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        z1, z2 = self.f(torch.cat(pair)).chunk(2)                                       # one f for both
        return self.r(torch.cat([z1, z2], 1))


def pair_batch(v1: Tensor, v2: Tensor, size: int, generator: torch.Generator | None = None):
    """Cut two neighbouring pieces of every image, one from each view; say where the second lies, seen from the first.

    Shapes: v1, v2 (n, c, s, s) -> ((n, c, s, s), (n, c, s, s)), answers (n,): 0 right, 1 above, 2 left, 3 below.
    Convention: each piece is a square of `size` pixels somewhere in a quarter of the image, enlarged to the image's
        size. Both views must show the same section, or the answer would be wrong: crop before you call.
    Errors: ValueError unless the images are squares of even side and 1 <= size <= half of it.
    """
    n, _, s, w = v1.shape
    if s != w or s % 2 or v1.shape != v2.shape or not 1 <= size <= s // 2:
        raise ValueError(f"need two views (n, c, s, s), s even, 1 <= size <= s / 2; got {tuple(v1.shape)}, "
                         f"{tuple(v2.shape)} and size {size}")

    def draw(high, *shape):
        return torch.randint(high, shape, generator=generator).to(v1.device)

    answer, free, aside = draw(4, n), draw(2, n), draw(s // 2 - size + 1, 4, n)
    # in which quarter the first piece lies, counted down and to the right; the second lies one further
    down, right = answer.new_tensor([[0, -1, 0, 1], [1, 0, -1, 0]])[:, answer]
    rows = torch.where(down == 0, free, (down < 0).long())
    columns = torch.where(right == 0, free, (right < 0).long())
    quarter = s // 2
    return (_cut(v1, rows * quarter + aside[0], columns * quarter + aside[1], size),
            _cut(v2, (rows + down) * quarter + aside[2], (columns + right) * quarter + aside[3], size)), answer


def _cut(x: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    n, c, s, _ = x.shape
    ticks = torch.arange(size, device=x.device)
    rows, columns = (top[:, None] + ticks)[:, None, :, None], (left[:, None] + ticks)[:, None, None, :]
    part = x[torch.arange(n, device=x.device)[:, None, None, None], torch.arange(c, device=x.device)[:, None, None],
             rows, columns]                                                             # (n, c, size, size)
    part = F.interpolate(part, s, mode="bilinear", align_corners=False)
    return part.contiguous(memory_format=torch.channels_last)
