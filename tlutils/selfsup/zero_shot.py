"""Zero-shot classification (Radford et al. 2021): a linear classifier whose weights are the features of sentences."""
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def class_vectors(encode: Callable[[list[str]], Tensor], texts: Sequence[Sequence[str]]) -> Tensor:
    """Return one unit vector a class: the mean of its prompts' unit vectors, again of length one.

    Equation: w_c = m_c / |m_c|,  m_c = mean over the prompts t of class c of encode(t) / |encode(t)|
    Shapes: texts holds the prompts of each of k classes; encode turns a list of n texts into features (n, dim), all
        prompts at once; -> (k, dim).
    Errors: ValueError if a class has no prompt, or encode gives no matrix with a row for each text.
    """
    if not len(texts) or not all(len(group) for group in texts) or any(isinstance(group, str) for group in texts):
        raise ValueError(f"texts must hold a list of prompts, at least one, for each class, got {texts!r:.80}")
    every = [text for group in texts for text in group]
    z = encode(every)
    if z.ndim != 2 or len(z) != len(every):
        raise ValueError(f"encode must give a row for each of {len(every)} texts, got {tuple(z.shape)}")
    z = F.normalize(z)
    return F.normalize(torch.stack([part.mean(0) for part in z.split([len(group) for group in texts])]))


def zero_shot(encode: Callable[[list[str]], Tensor], z: Tensor, texts: Sequence[Sequence[str]]) -> np.ndarray:
    """Return for each image the class whose prompts it is most similar to: int64 (n,).

    Equation: argmax over c of z . w_c, w_c from `class_vectors`
    Shapes: z (n, dim), image features; their length does not matter. encode and texts as for `class_vectors`.
    Errors: ValueError if images and texts have features of different width, and those of `class_vectors`.
    """
    vectors = class_vectors(encode, texts)
    if z.ndim != 2 or z.shape[1] != vectors.shape[1]:
        raise ValueError(f"z must be (n, {vectors.shape[1]}), as the features of texts are, got {tuple(z.shape)}")
    return (z @ vectors.T).argmax(1).cpu().numpy()


def each_alone(texts: list[list[str]]) -> list[list[list[str]]]:
    """Return the prompts of an ensemble one at a time: for each of them the list that `zero_shot` takes.

    Errors: ValueError if the classes have different numbers of prompts.

    >>> each_alone([["a red b", "a blue b"], ["a red k", "a blue k"]])
    [[['a red b'], ['a red k']], [['a blue b'], ['a blue k']]]
    """
    if len({len(group) for group in texts}) > 1:
        raise ValueError(f"texts must have as many prompts for each class, got {[len(group) for group in texts]}")
    return [[[text] for text in column] for column in zip(*texts, strict=True)]
