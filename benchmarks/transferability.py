"""Speed of the transferability measures: side by side, in one run and one thread, with a transcription of the published
code, the values compared, and the floor beside each figure.

    OMP_NUM_THREADS=1 python benchmarks/transferability.py            (about five minutes, 5 GB)
    OMP_NUM_THREADS=1 python benchmarks/transferability.py --quick    (seconds: sizes that only show that values agree)

Times are CPU seconds of this process, the median of interleaved repetitions; what travels from one machine to another
is the ratio. The floor is what no exact method avoids: one symmetric Gram matrix of the features in float64 for the
measures that need one, one read of the data for the others.
"""
import argparse
import os
import time
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import blas

from tlutils import transferability as T

TARGETS = {"TransRate": 3, "TransRate, d = 2048": 5, "H-Score": 3, "LogME": 8, "LEEP": 4, "NCE": 10, "scores": 2}


def coding_rate_listing(z, eps):
    """The paper's listing, as in Transfer-Learning-Library."""
    n, d = z.shape
    return 0.5 * np.linalg.slogdet(np.eye(d) + 1 / (n * eps) * z.transpose() @ z)[1]


def transrate_listing(x, y, eps=1e-4):
    """The paper's listing: equal weights for the classes."""
    z = x - np.mean(x, axis=0, keepdims=True)
    n_classes = int(y.max() + 1)
    rates = [coding_rate_listing(z[(y == c).flatten()], eps) for c in range(n_classes)]
    return coding_rate_listing(z, eps) - sum(rates) / n_classes


def h_score_published(x, y):
    """Transfer-Learning-Library: both covariances, pseudo-inverse, trace."""
    g = np.zeros_like(x)
    for c in range(int(y.max() + 1)):
        g[y == c] = np.mean(x[y == c], axis=0)
    return np.trace(np.dot(np.linalg.pinv(np.cov(x, rowvar=False), rcond=1e-15), np.cov(g, rowvar=False)))


def h_score_shrinkage_published(x, y):
    """Transfer-Learning-Library: Ledoit-Wolf covariance from scikit-learn."""
    from sklearn.covariance import LedoitWolf
    x = x.astype("float64")
    x = x - np.mean(x, axis=0, keepdims=True)
    fit = LedoitWolf(assume_centered=False).fit(x)
    g = np.zeros_like(x)
    for c in range(int(y.max() + 1)):
        g[y == c] = np.mean(x[y == c], axis=0)
    between = (1 - fit.shrinkage_) * np.cov(g, rowvar=False)
    return np.trace(np.dot(np.linalg.pinv(fit.covariance_, rcond=1e-15), between))


def logme_published(x, y):
    """thuml/LogME, its default fixed point, for n > d and full rank. numba compiles it: products are general ones."""
    x = x.astype(np.float64)
    n, d = x.shape
    _, s, vh = np.linalg.svd(blas.dgemm(1.0, x.T, x.T, trans_b=True))
    s = np.sqrt(s)
    u = (x @ vh.transpose()) / s.reshape(1, -1)
    sigma = s.reshape(-1, 1) ** 2
    evidences, weights = [], []
    for c in range(int(y.max() + 1)):
        target = (y == c).astype(np.float64).reshape(-1, 1)
        x1 = u.T @ target
        x2 = x1**2
        rest = (target**2).sum() - x2.sum()
        alpha, beta = 1.0, 1.0
        for _ in range(11):
            t = alpha / beta
            gamma = (sigma / (sigma + t)).sum()
            m2 = (sigma * x2 / (t + sigma) ** 2).sum()
            residual = (x2 / (1 + sigma / t) ** 2).sum() + rest
            alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (residual + 1e-5)
            if abs(alpha / beta - t) / t <= 1e-3:
                break
        weights.append((vh.T @ (1.0 / (t + sigma) * np.sqrt(sigma) * x1)).reshape(-1))
        evidences.append((d / 2 * np.log(alpha) + n / 2 * np.log(beta) - 0.5 * np.sum(np.log(alpha + beta * sigma))
                          - beta / 2 * residual - alpha / 2 * m2 - n / 2 * np.log(2 * np.pi)) / n)
    return np.mean(evidences)


def lfc_published(x, y):
    """Model-Spider, in float64: both n x n kernels."""
    kernel = x @ x.T
    one_hot = np.eye(int(y.max()) + 1)[y]
    same = 2.0 * (one_hot @ one_hot.T > 0) - 1.0
    kernel, same = kernel - kernel.mean(), same - same.mean()
    return (kernel * same).sum() / (np.linalg.norm(kernel) * np.linalg.norm(same))


def leep_published(p, y):
    """Transfer-Learning-Library."""
    n, n_source = p.shape
    n_classes = int(np.max(y) + 1)
    normalised = p / float(n)
    joint = np.zeros((n_classes, n_source), dtype=float)
    for c in range(n_classes):
        joint[c] = np.sum(normalised[y == c], axis=0)
    conditional = (joint / joint.sum(axis=0, keepdims=True)).T
    expected = p @ conditional
    return np.mean(np.log([row[label] for row, label in zip(expected, y, strict=True)]))


def nce_published(z, y):
    """Transfer-Learning-Library: a loop over the samples."""
    joint = np.zeros((int(np.max(y) + 1), int(np.max(z) + 1)), dtype=float)
    for s, t in zip(z, y, strict=True):
        joint[int(t), int(s)] += 1.0 / len(z)
    p_z = joint.sum(axis=0, keepdims=True)
    mask = p_z.reshape(-1) != 0
    conditional = (joint[:, mask] / p_z[:, mask]).T + 1e-20
    entropy = np.sum(-conditional * np.log(conditional), axis=1, keepdims=True)
    return -np.sum(entropy * p_z.reshape((-1, 1))[mask])


@dataclass
class Line:
    """One line of the report: CPU seconds of the published code and of ours, the floor, both values."""

    name: str
    sizes: str
    published_s: float
    ours_s: float
    floor_s: float
    values: tuple[float, float]
    tolerance: float

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.published_s / self.ours_s

    @property
    def agrees(self) -> bool:
        """Whether the two values are equal within the tolerance."""
        return abs(self.values[0] - self.values[1]) <= self.tolerance * abs(self.values[0])


def timed(*calls, repeats: int):
    """Return the median CPU seconds and the last value of each call; repetitions are interleaved."""
    seconds, values = [[] for _ in calls], [None] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            start = time.process_time()
            values[i] = call()
            seconds[i].append(time.process_time() - start)
    return [float(np.median(s)) for s in seconds], values


def data(n, d, n_classes, dtype=np.float64, seed=0):
    """Return features after a ReLU and labels, as a network's last layer gives them."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    x = rng.standard_normal((n, d), dtype=dtype)
    x += rng.standard_normal((n_classes, d), dtype=dtype)[y] / 2
    return np.maximum(x, 0, out=x), y


def gram(x):
    """The floor of the measures with second moments: one symmetric rank-n update in float64."""
    total = np.zeros((x.shape[1], x.shape[1]), order="F")
    for start in range(0, len(x), 4096):
        z = x[start:start + 4096].astype(np.float64, copy=False)
        blas.dsyrk(1.0, z.T, 1.0, total, lower=1, overwrite_c=1)


def lines(quick: bool, repeats: int):
    """Yield the lines of the report one by one."""
    n, d, c, n_source = (2000, 64, 10, 50) if quick else (50_000, 512, 100, 1000)
    x, y = data(n, d, c)
    sizes = f"n={n} d={d} C={c}"
    for name, published, ours, tolerance in (
            ("TransRate", transrate_listing, lambda x, y: T.transrate(x, y, weights="uniform"), 1e-9),
            ("H-Score", h_score_published, T.h_score, 1e-9),
            ("H-Score, shrinkage", h_score_shrinkage_published, lambda x, y: T.h_score(x, y, shrinkage=True), 1e-9),
            ("LogME", logme_published, lambda x, y: T.logme(x, y, method="fixed_point"), 1e-8),
            ("LogME, exact", logme_published, T.logme, 1e-3)):
        (published_s, ours_s, floor_s), values = timed(
            lambda f=published: f(x, y), lambda f=ours: f(x, y), lambda: gram(x), repeats=repeats)
        yield Line(name, sizes, published_s, ours_s, floor_s, tuple(values[:2]), tolerance)
    parts = (T.transrate, T.h_score, lambda x, y: T.h_score(x, y, shrinkage=True), T.logme, T.lfc)
    (parts_s, ours_s, floor_s), values = timed(
        lambda: [part(x, y) for part in parts], lambda: list(T.scores(x, y).values()), lambda: gram(x), repeats=repeats)
    yield Line("scores", sizes, parts_s, ours_s, floor_s, (sum(values[0]), sum(values[1])), 1e-9)
    small = slice(0, n if quick else 5000)  # two n x n kernels of the published code: 0.4 GB
    (published_s, ours_s, floor_s), values = timed(
        lambda: lfc_published(x[small], y[small]), lambda: T.lfc(x[small], y[small]), lambda: gram(x[small]), repeats=1)
    yield Line("LFC", f"n={len(x[small])} d={d} C={c}", published_s, ours_s, floor_s, tuple(values[:2]), 1e-9)
    (ours_s, floor_s), values = timed(lambda: T.lfc(x, y), lambda: gram(x), repeats=repeats)
    yield Line("LFC, n x n is out of reach", sizes, float("nan"), ours_s, floor_s, (values[0], values[0]), 0)
    del x
    p = np.random.default_rng(1).standard_normal((n, n_source))
    np.exp(p, out=p)
    p /= p.sum(1, keepdims=True)
    z = p.argmax(1)
    sizes = f"n={n} C_s={n_source} C={c}"
    for name, first, published, ours, tolerance in (("LEEP", p, leep_published, T.leep, 1e-12),
                                                    ("NCE", z, nce_published, T.nce, 1e-12)):
        (published_s, ours_s, floor_s), values = timed(
            lambda f=published, a=first: f(a, y), lambda f=ours, a=first: f(a, y), first.sum, repeats=repeats)
        yield Line(name, sizes, published_s, ours_s, floor_s, tuple(values[:2]), tolerance)
    del p
    d = 128 if quick else 2048
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-4)):  # the published code multiplies in this precision
        x, y = data(n, d, c, dtype)
        (published_s, ours_s, floor_s), values = timed(
            lambda x=x, y=y: transrate_listing(x, y), lambda x=x, y=y: T.transrate(x, y, weights="uniform"),
            lambda x=x: gram(x), repeats=max(1, repeats // 3))
        yield Line("TransRate, d = 2048", f"n={n} d={d} C={c} {np.dtype(dtype)}", published_s, ours_s, floor_s,
                   tuple(values[:2]), tolerance)
    if torch.cuda.is_available():
        yield from on_device(n, 512, where=torch.device("cuda"))


def on_device(n: int, d: int, n_classes: int = 100, *, where: torch.device):
    """Yield lines of features on the CPU (in the place of the published code) and on a device, wall time; the floor is
    the Gram matrix there, a general product. Apple's GPUs have no float64, so the features are float32 there."""
    x, y = data(n, d, n_classes, np.float32 if where.type == "mps" else np.float64)
    there = torch.from_numpy(x).to(where)
    probs = np.random.default_rng(1).dirichlet(np.ones(50), n).astype(x.dtype)
    probs_there = torch.from_numpy(probs).to(where)
    for name, measure in (("TransRate", T.transrate), ("H-Score", T.h_score), ("LogME", T.logme), ("LFC", T.lfc),
                          ("scores", lambda x, y: sum(T.scores(x, y).values())), ("LEEP", T.leep)):
        a, b = (probs, probs_there) if name == "LEEP" else (x, there)
        seconds, found = {}, {}
        for side, call in (("cpu", lambda m=measure, a=a: m(a, y)), ("device", lambda m=measure, b=b: m(b, y)),
                           ("floor", lambda b=b: b.T @ b)):
            times = []
            for _ in range(3):
                start = time.perf_counter()
                found[side] = call()
                if where.type != "cpu":
                    getattr(torch, where.type).synchronize()
                times.append(time.perf_counter() - start)
            seconds[side] = float(np.median(times[1:]))
        yield Line(f"{name} on {where.type}", f"n={n} d={b.shape[1]} C={n_classes}", seconds["cpu"], seconds["device"],
                   seconds["floor"], (found["cpu"], found["device"]), 1e-7)


def main():
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: do the values agree?")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1: the figures are for one thread")
    torch.set_num_threads(1)
    print(f"{'measure':<27}{'sizes':<34}{'published':>10}{'ours':>10}{'floor':>10}{'ratio':>8}{'target':>8}  values")
    for line in lines(options.quick, options.repeats):
        print(f"{line.name:<27}{line.sizes:<34}{line.published_s:>9.4f}s{line.ours_s:>9.4f}s{line.floor_s:>9.4f}s"
              f"{line.ratio:>8.1f}{TARGETS.get(line.name, '-'):>8}  {line.values[0]:.10g} {line.values[1]:.10g} "
              f"{'agree' if line.agrees else 'DIFFER'}", flush=True)


if __name__ == "__main__":
    main()
