"""MoCo (He et al. 2020): a queue of old keys in the place of a large batch, made by an encoder that changes slowly."""
import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils.arrays import at_least_float32, full_precision, no_autocast
from tlutils.selfsup.nt_xent import check_temperature, unit_rows


@full_precision
def info_nce(q: Tensor, k: Tensor, queue: Tensor, temperature: float | Tensor = 0.07) -> Tensor:
    """Return the loss of finding the key of each query among that key and a queue of others.

    Equation: mean of -log exp(q k+ / tau) / [exp(q k+ / tau) + sum_j exp(q k_j / tau)]          (He et al. 2020, eq. 1)
    Shapes: queries q and keys k (N, d), queue (K, d) -> a scalar.
    Convention: all rows are normalised here; no gradient flows to keys, queue and rows of zeros. Computed in float32
        at least, whatever the inputs' type and autocast.
    Errors: ValueError for shapes that differ or a temperature that is not positive.
    """
    fit = q.ndim == queue.ndim == 2 and q.shape == k.shape and queue.shape[1] == q.shape[1]
    if not fit or 0 in (*q.shape, *queue.shape):
        raise ValueError("q and k must be (N, d) and queue (K, d), got "
                         f"{tuple(q.shape)}, {tuple(k.shape)} and {tuple(queue.shape)}")
    check_temperature(temperature)
    q, k, queue = unit_rows(q), unit_rows(k.detach()), unit_rows(queue.detach())
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / temperature   # (N, 1 + K), the key first
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))


class MomentumEncoder(nn.Module):
    """A copy of an encoder that follows it slowly and is not trained.

    Equation: theta_k <- m theta_k + (1 - m) theta_q                                             (He et al. 2020, eq. 2)
    Convention: floating-point buffers (BatchNorm statistics) follow like parameters, counters are copied. In half
        precision a step would be lost to rounding: the exact values are kept in float32 beside it.
    Errors: ValueError unless 0 <= m <= 1.
    """

    def __init__(self, encoder: nn.Module, m: float = 0.99):
        super().__init__()
        if not 0 <= m <= 1:
            raise ValueError(f"m must be in 0..1, got {m}")
        self.encoder, self.m = copy.deepcopy(encoder).requires_grad_(False), m
        self._exact: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, encoder: nn.Module) -> None:
        """Follow encoder by one step, also where one of the two is compiled or parallel.

        Errors: ValueError if encoder has not the weights of the one that was copied.
        """
        own, theirs = _values(self.encoder), _values(encoder)
        if differ := sorted(key for key in own.keys() | theirs.keys() if key not in own or key not in theirs
                            or own[key].shape != theirs[key].shape):
            raise ValueError(f"encoder differs from the one that was copied in {differ}")
        for key, value in own.items():
            if value.is_floating_point():
                exact = value
                if value.dtype in (torch.float16, torch.bfloat16):
                    exact = self._exact.get(key)
                    if exact is None or not torch.equal(exact.to(value), value):        # loaded or moved meanwhile
                        exact = value.float()
                    self._exact[key] = exact
                exact.lerp_(theirs[key].to(exact), 1 - self.m)
                value.copy_(exact)
            else:
                value.copy_(theirs[key])

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


def _values(encoder: nn.Module) -> dict[str, Tensor]:
    """Return the state dict without the names that `torch.compile` and `nn.DataParallel` put before those inside."""
    return {".".join(word for word in key.split(".") if word not in ("_orig_mod", "module")): value
            for key, value in encoder.state_dict().items()}


class Queue:
    """The last `size` keys, the oldest overwritten first; random directions until it is full.

    Shapes: keys (N, dim) pushed, N at most size; `keys` is (size, dim), rows normalised, float32.
    Convention: keys of any float type are normalised in float32; `next` is the place that is overwritten next.
    Errors: ValueError for sizes below 1, keys of another width, not finite or more than the queue holds (it stays as it
        was), or a queue that is larger than the n_data images that fill it: it would hold an image's own key as
        another's.
    """

    def __init__(self, size: int, dim: int, n_data: int | None = None, device: torch.device | str | None = None):
        if min(size, dim) < 1:
            raise ValueError(f"size and dim must be >= 1, got {size} and {dim}")
        if n_data is not None and size > n_data:
            raise ValueError(f"size must be at most the {n_data} images of the data, got {size}")
        self.keys, self.next = F.normalize(torch.randn(size, dim, device=device), dim=1), 0

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Put keys (N, dim) into the queue."""
        if keys.ndim != 2 or keys.shape[1] != self.keys.shape[1] or len(keys) > len(self.keys):
            size, dim = self.keys.shape
            raise ValueError(f"keys must be (N, {dim}) with N <= {size}, got {tuple(keys.shape)}")
        if not keys.is_floating_point() or not keys.isfinite().all():
            raise ValueError(f"keys must be finite floats, got {keys.dtype} with "
                             f"{int((~keys.isfinite()).any(1).sum())} rows of NaN or infinity")
        place = (self.next + torch.arange(len(keys), device=self.keys.device)) % len(self.keys)
        with no_autocast(keys.device):
            self.keys[place] = unit_rows(at_least_float32(keys)).to(self.keys)
        self.next = (self.next + len(keys)) % len(self.keys)

    def state_dict(self) -> dict:
        """Return a copy of the keys and the place that is overwritten next, for a checkpoint."""
        return {"keys": self.keys.clone(), "next": self.next}

    def load_state_dict(self, state: dict) -> None:
        """Take what `state_dict` returned; the device stays. ValueError for keys of another shape or no such place."""
        keys, place = state["keys"], state["next"]
        if keys.shape != self.keys.shape or not 0 <= place < len(keys):
            raise ValueError(f"state must hold keys {tuple(self.keys.shape)} and a place in them, got "
                             f"{tuple(keys.shape)} and {place}")
        self.keys, self.next = keys.detach().to(self.keys, copy=True), int(place)


class MoCoLoss:
    """The loss of one step of MoCo, called as loss(model, ((v1, v2), ...)); it keeps the slow encoder and the queue.

    Shapes: two views (N, ...) of the same images; model gives (2N, dim) for both; the queue holds `size` keys.
    Convention: each view is a query once, the other view's key its positive; the keys of both enter the queue after
        the loss has read it. m and temperature as in `MomentumEncoder` and `info_nce`, n_data as in `Queue`.
    Errors: ValueError as these three have it.
    """

    def __init__(self, model: nn.Module, *, dim: int, size: int, m: float = 0.99, temperature: float = 0.07,
                 n_data: int | None = None):
        check_temperature(temperature)
        self.slow = MomentumEncoder(model, m).train()
        self.queue = Queue(size, dim, n_data, device=next(model.parameters()).device)
        self.temperature = temperature

    def __call__(self, model: nn.Module, batch) -> Tensor:
        x = torch.cat(batch[0])
        q, keys = model(x), self.slow(x)
        other = torch.cat(keys.chunk(2)[::-1])                                          # of view 1 that of view 2
        loss = info_nce(q, other, self.queue.keys.clone(), self.temperature)            # push writes in place
        self.queue.push(keys.float())
        self.slow.update(model)
        return loss
