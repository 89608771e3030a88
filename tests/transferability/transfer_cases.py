"""The seeded cases on which the published implementations were run; the order of the draws is part of a case."""
import json
from pathlib import Path

import numpy as np

STORED = json.loads(Path(__file__).with_name("values.json").read_text(encoding="utf-8"))


def softmax(scores):
    """Return the softmax of each row."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def case(seed, n, d, C, counts=None, mean_scale=1.0, Cs=20, src_scale=1.0, k_reg=0, reg_noise=0.5, mods=()):
    """Return X (n, d), labels y, source probabilities P (n, Cs), source labels z and regression targets Y, or None."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % C if counts is None else np.repeat(np.arange(C), counts))
    means = mean_scale * rng.standard_normal((C, d))
    X = means[y] + rng.standard_normal((len(y), d))
    source = src_scale * rng.standard_normal((C, Cs))
    P = softmax(source[y] + rng.standard_normal((len(y), Cs)))
    Y = None
    if k_reg:
        weights = rng.standard_normal((d, k_reg)) / np.sqrt(d)
        Y = X @ weights + reg_noise * rng.standard_normal((len(y), k_reg))
    for mod in mods:
        name, _, value = mod.partition(":")
        if name == "neardup":
            X[:, 1] = X[:, 0] + 1e-7 * rng.standard_normal(len(y))
        elif name == "exactdup":
            X[:, d // 2:] = X[:, :d // 2]
        elif name == "lowrank":
            X = rng.standard_normal((len(y), int(value))) @ rng.standard_normal((int(value), d))
        elif name == "offset":
            X = X + float(value)
        elif name == "onehot":
            X = np.eye(C)[y]
        elif name == "float32":
            X = X.astype(np.float32)
        elif name == "gap":
            y = np.where(y >= 1, y + 1, y)
        else:
            raise ValueError(mod)
    return {"X": X, "y": y, "P": P, "z": P.argmax(axis=1), "Y": Y}


CASES = {name: case(**settings) for name, settings in STORED["cases"].items()}


def labelled(seed, n=60, d=5, C=3, spread=1.0):
    """Return features and labels in which every one of C classes occurs."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % C)
    return rng.standard_normal((C, d))[y] * spread + rng.standard_normal((n, d)), y
