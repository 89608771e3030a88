"""Fill in a hidden word from the mean of its neighbours: continuous bag of words (CBOW; Mikolov et al. 2013)."""
import torch
from torch import Tensor, nn


class FillIn(nn.Module):
    """Score every word for one hidden place: a linear map of the mean vector of the visible neighbours.

    Shapes: tokens (n, length) int64 as by `data.numbered`, 0 where a text has ended; place (n,) -> scores
        (n, n_words + 1).
    Convention: row 0 of the vectors stays zero; neighbours further away than window are not read.
    Errors: ValueError unless n_words, dim and window are positive.
    """

    def __init__(self, n_words: int, dim: int, window: int):
        super().__init__()
        if min(n_words, dim, window) < 1:
            raise ValueError(f"n_words, dim and window must be >= 1, got {n_words}, {dim} and {window}")
        self.vectors, self.out = nn.Embedding(n_words + 1, dim, padding_idx=0), nn.Linear(dim, n_words + 1)
        self.window = window

    def forward(self, tokens: Tensor, place: Tensor) -> Tensor:
        away = (torch.arange(tokens.shape[1], device=tokens.device) - place[:, None]).abs()      # (n, length)
        return self.out(mean_vector(self.vectors, tokens, (away > 0) & (away <= self.window)))


def mean_vector(vectors: nn.Embedding, tokens: Tensor, visible: Tensor | bool = True) -> Tensor:
    """Return the mean vector of each row's visible words, (n, dim); of no words it is zero.

    Shapes: tokens (n, length) int64, 0 for no word; visible bool (n, length), or one for all.
    """
    visible = ((tokens > 0) & visible).float()[..., None]                                      # (n, length, 1)
    return (vectors(tokens) * visible).sum(1) / visible.sum(1).clamp(min=1)
