"""One visible training loop, and the two things that one does with a trained network: score it, read its features."""
import contextlib
import copy
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlutils import surgery

CHECK_EVERY = 25  # steps between two looks at the losses; each look waits for a GPU


def fit(model: nn.Module, batches: Iterable, loss_fn: Callable, optimizer: torch.optim.Optimizer, *, scheduler=None,
        mixed_precision: bool | None = None, progress: bool = False) -> list[float]:
    """Train model in place, one step for each batch; return the loss of every step.

    Shapes: a batch is whatever loss_fn(model, batch) takes; loss_fn returns a scalar tensor.
    Convention: model is put in training mode (frozen blocks stay in eval mode) and left in eval mode; the scheduler
        steps after each step; mixed precision (bfloat16) by default on CUDA devices that have it.
    Errors: FloatingPointError that names the first step whose loss is not finite; ValueError if there was no batch, or
        loss_fn returns no scalar tensor.
    """
    where = next(model.parameters()).device.type
    mixed = where == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)  # a T4 would imitate it, slowly
    mixed = mixed if mixed_precision is None else mixed_precision
    if progress:
        from tqdm.auto import tqdm  # only who asks for a bar needs it
        batches = tqdm(batches)
    losses: list[Tensor] = []
    model.train()
    for step, batch in enumerate(batches):
        with torch.autocast(where, torch.bfloat16) if mixed else contextlib.nullcontext():
            loss = loss_fn(model, batch)
        if not isinstance(loss, Tensor) or loss.ndim:
            what = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"loss_fn must return a scalar tensor, got {what}")
        if not loss.requires_grad:
            raise ValueError("nothing to train: the loss depends on no parameter of model that is not frozen")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(loss.detach().float())
        if step % CHECK_EVERY == 0:
            _check_finite(losses)
    if not losses:
        raise ValueError("batches was empty: not one step was taken")
    _check_finite(losses)
    model.eval()
    return torch.stack(losses).tolist()


def train(model: nn.Module, x: Tensor, y: Tensor, *, lr: float, steps: int, batch_size: int, seed: int,
          loss: Callable | None = None, parameters=None,
          transform: Callable[[Tensor, torch.Generator], Tensor] | None = None) -> list[float]:
    """Train model in place on random batches of (x, y) by the protocol of this book; return the loss of every step.

    Shapes: x (n, ...), y (n,), as for `batches`; loss(model, batch) is `classify` by default.
    Convention: `fit` on `batches` with `adamw`. parameters are those that require a gradient, or what an optimiser
        takes: groups with their own rates. For another optimiser or schedule call `fit`.
    Errors: as for `fit`, `batches` and `adamw`.

    >>> len(train(nn.Linear(2, 2), torch.eye(2), torch.tensor([0, 1]), lr=0.1, steps=5, batch_size=2, seed=0))
    5
    """
    parameters = [p for p in model.parameters() if p.requires_grad] if parameters is None else parameters
    optimizer, schedule = adamw(parameters, lr, steps)
    return fit(model, batches(x, y, batch_size, steps, seed, transform), loss or classify, optimizer,
               scheduler=schedule)


def classify(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the loss of ordinary classification: mean cross-entropy of model(x) and labels y, for batch = (x, y).

    Errors: ValueError if x is empty or no batch, y not one integer label for each row, or a label has no column.
    """
    x, y = batch
    _check_lengths(x, y)
    scores = _rows(model, x)
    return F.cross_entropy(scores, _labels(y, scores))


def classify_each(n_classes: Sequence[int]) -> Callable:
    """Return the loss of several tasks on the same images: the mean over tasks of the cross-entropy of each.

    Equation: L = 1/T sum_t CE(f(x)[columns of t], y_t): one body with T heads that lie side by side in one layer.
    Shapes: task t has n_classes[t] columns of model(x) (n, sum of n_classes), in that order; y (n, T) integers.
    Errors: ValueError as for `classify`, or if model(x) has another number of columns.

    >>> loss = classify_each((2, 3))
    >>> round(loss(nn.Identity(), (torch.zeros(1, 5), torch.tensor([[1, 2]]))).item(), 4)     # (ln 2 + ln 3) / 2
    0.8959
    """
    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        _check_lengths(x, y)
        scores = _rows(model, x)
        if scores.shape[1:] != (sum(n_classes),) or y.shape[1:] != (len(n_classes),):
            raise ValueError(f"scores and y must be (n, {sum(n_classes)}) and (n, {len(n_classes)}), got "
                             f"{tuple(scores.shape)} and {tuple(y.shape)}")
        parts = zip(scores.split(tuple(n_classes), 1), y.unbind(1), strict=True)
        return torch.stack([F.cross_entropy(part, _labels(labels, part)) for part, labels in parts]).mean()
    return loss


def classify_in_eval_norms(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return `classify` with every BatchNorm in eval mode: weights are fine-tuned, running statistics stay."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return classify(model, batch)


def squared_error(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the mean squared error of the one number that model puts out, for batch = (x, y), y (n,) numbers.

    >>> squared_error(nn.Identity(), (torch.tensor([[1.0], [3.0]]), torch.tensor([1.0, 1.0])))
    tensor(2.)
    """
    x, y = batch
    return F.mse_loss(model(x)[:, 0], y)


def batches(x: Tensor, y: Tensor, batch_size: int, steps: int, seed: int,
            transform: Callable[[Tensor, torch.Generator], Tensor] | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield `steps` random batches of (x, y), each epoch a new order without replacement.

    Shapes: x (n, ...), y (n,); the batches stay on their device. transform(x, generator) may augment a batch.
    Convention: batches span the end of an epoch, so every batch is full; with n < batch_size it has n rows.
        The order depends on the seed alone, any integer, of numpy too.
    Errors: ValueError if lengths differ, are zero, batch_size or steps < 1, or seed is no integer.

    >>> x, y = torch.arange(5.0), torch.arange(5)
    >>> [len(labels) for _, labels in batches(x, y, batch_size=4, steps=3, seed=0)]
    [4, 4, 4]
    """
    _check_lengths(x, y)
    if min(batch_size, steps) < 1:
        raise ValueError(f"batch_size and steps must be >= 1, got {batch_size} and {steps}")
    try:
        seed = operator.index(seed)
    except TypeError:
        raise ValueError(f"seed must be an integer, got {seed!r}") from None
    order_rng, transform_rng = torch.Generator().manual_seed(seed), torch.Generator(x.device).manual_seed(seed)
    size = min(batch_size, len(x))
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < size:
            order = torch.cat([order, torch.randperm(len(x), generator=order_rng)])
        index, order = order[:size].to(x.device), order[size:]
        batch = x[index]
        yield batch if transform is None else transform(batch, transform_rng), y[index]


def adamw(parameters, lr: float, steps: int, weight_decay: float = 0.01):
    """Return the optimiser and schedule of this book: AdamW, and one cycle up to lr and down to zero.

    Convention: parameters as for any torch optimiser; groups that bring their own "lr" keep its ratio to the others.
    Errors: ValueError if lr <= 0 or steps < 1.

    >>> optimizer, schedule = adamw([torch.zeros(3, requires_grad=True)], lr=1e-3, steps=100)
    >>> schedule.get_last_lr()[0] < 1e-4                                              # the cycle begins low
    True
    """
    if lr <= 0 or steps < 1:
        raise ValueError(f"lr must be > 0 and steps >= 1, got {lr} and {steps}")
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    rates = [group["lr"] for group in optimizer.param_groups]
    # OneCycleLR wants three steps at least, and takes one more than we do
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=max(int(steps) + 1, 3))


WARM_UP, COOL_DOWN = 20, 0.2  # steps; share of a budget


def warm_up_stable_decay(t: int, budget: int) -> float:
    """Return the share of the learning rate at step t = 0, 1, ... of a run of `budget` steps: up, level, down (WSD).

    >>> [warm_up_stable_decay(t, budget=100) for t in (0, 19, 50, 80, 90, 99)]
    [0.05, 1, 1, 1, 0.5, 0.05]
    """
    return min(1, (t + 1) / WARM_UP, (budget - t) / (COOL_DOWN * budget))


def decayed_branches(model: nn.Module, x: Tensor, y: Tensor, *, budgets: Sequence[int], lr: float, batch_size: int,
                     seed: int, transform=None) -> dict[int, nn.Module]:
    """Train model at a level rate; for each budget end a copy of it with a falling one. Return {budget: network}.

    Equation: rate lr `warm_up_stable_decay(t, T)` at step t of T.
    Convention: the network of budget T is what a run planned for T steps alone gives, batch by batch; only the common
        part, the trunk, is computed once. transform changes each batch, as in `batches`. AdamW, weight decay 0.01.
        model is left as the trunk.
    Errors: ValueError unless budgets are rising and at least 5.
    """
    if not budgets or list(budgets) != sorted(set(budgets)) or budgets[0] < 5:
        raise ValueError(f"budgets must be rising and at least 5, got {tuple(budgets)}")
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    trunk, done, ends = batches(x, y, batch_size, budgets[-1], seed, transform), 0, {}

    def go(net, optimizer, its_batches, first, budget):
        share = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: warm_up_stable_decay(first + t, budget))
        return fit(net, its_batches, classify, optimizer, scheduler=share)

    for budget in budgets:
        level = budget - round(COOL_DOWN * budget)
        go(model, optimizer, islice(trunk, level - done), done, budget)
        done, (end, its_optimizer) = level, copy.deepcopy((model, optimizer))
        rest = islice(batches(x, y, batch_size, budget, seed, transform), level, None)
        go(end, its_optimizer, rest, level, budget)
        ends[budget] = end
    return ends


WAYS = ("frozen", "tutorial", "adapted")  # to train a head on a body that stays


def train_head(model: nn.Sequential, x: Tensor, y: Tensor, *, way: str, lr: float, steps: int, batch_size: int,
               seed: int) -> nn.Sequential:
    """Train the head of model on (x, y) with the body frozen in one of three ways; return model in eval mode.

    Shapes: x (n, ...), y (n,), as for `batches`.
    Convention: "frozen" freezes weights and statistics, so the features are computed once; "tutorial" takes the
        gradient from the body's weights and calls model.train(), so that every batch is normalised by its own
        statistics and moves the running ones; "adapted" sets the statistics to those of x, then freezes both.
        The batches are the same in all three.
    Errors: ValueError for another way; as for `surgery.adapt_statistics`, and for `train`.
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {WAYS}, got {way!r}")
    head = surgery.part(model, -1)
    if way == "tutorial":
        surgery.part(model, stop=-1).requires_grad_(False)
        learner, inputs = model, x
    else:
        surgery.freeze(surgery.adapt_statistics(model, x) if way == "adapted" else model)
        learner, inputs = head, features(model, x)
    train(learner, inputs, y, lr=lr, steps=steps, batch_size=batch_size, seed=seed, parameters=head.parameters())
    return model.eval()


@torch.no_grad()
def predict(model: nn.Module, x: Tensor, batch_size: int = 1000) -> Tensor:
    """Return model(x) in eval mode, batch by batch, without a graph; the mode of model is left as it was.

    Shapes: x (n, ...) -> (n, ...), on the device of x.
    Convention: model gets a copy of each batch, so x stays as it is where the first layer works in place.
    Errors: ValueError if x is empty or no batch, batch_size < 1, or model does not put out one tensor of n rows.
    """
    if not isinstance(x, Tensor) or x.ndim == 0 or len(x) == 0 or batch_size < 1:
        raise ValueError("x must be a tensor, must not be empty and batch_size must be >= 1, got x "
                         f"{tuple(getattr(x, 'shape', ()))}, a {type(x).__name__}, and {batch_size}")
    with _in_eval_mode(model):
        return torch.cat([_rows(model, part.clone()) for part in x.split(batch_size)])


def evaluate(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 1000) -> float:
    """Return the accuracy of model on (x, y), between 0 and 1.

    Shapes: x (n, ...), y (n,) labels that index the columns of model's output.
    Errors: ValueError if lengths differ or are zero, y is not one integer label for each row, a label has no column,
        or the model puts out NaN.

    >>> evaluate(nn.Identity(), torch.eye(4), torch.tensor([0, 1, 2, 0]))             # scores say 0, 1, 2, 3
    0.75
    """
    _check_lengths(x, y)
    scores = predict(model, x, batch_size)
    y = _labels(y, scores)
    if len(bad := scores.flatten(1).isnan().any(1).nonzero()):
        raise ValueError(f"model puts out NaN for {len(bad)} of {len(x)} rows of x, the first at {int(bad[0])}")
    return (scores.argmax(1) == y).float().mean().item()


def features(model: nn.Sequential, x: Tensor, n: int | None = None, batch_size: int = 1000) -> Tensor:
    """Return the output of the first n blocks of model (default: all but the head), computed once, to be reused.

    Shapes: x (b, ...) -> the n-th block's output (b, ...); n = 0 gives x back.
    Convention: eval mode, no graph, so `model[n:]` can be trained on the result as if the first n blocks were frozen.
    Errors: ValueError if n is not in 0..number of blocks, x is empty or no batch, or model cannot be cut in parts.

    >>> from tlutils.models import conv8
    >>> features(conv8(n_classes=10), torch.zeros(5, 1, 24, 24)).shape
    torch.Size([5, 64])
    """
    n_blocks = len(surgery.part(model))
    n = n_blocks - 1 if n is None else n
    if n not in range(n_blocks + 1) or isinstance(n, float):
        raise ValueError(f"n must be in 0..{n_blocks}, got {n!r}")
    return predict(surgery.part(model, stop=n), x, batch_size)


def feature_change(before: nn.Sequential, after: nn.Sequential, x: Tensor) -> float:
    """Return the relative change of the features of x: |h_after(x) - h_before(x)| / |h_before(x)|.

    Convention: h is all but the head; the norm is that of the whole matrix (n, d).
    Errors: ValueError as for `features`.
    """
    old, new = features(before, x), features(after, x)
    return ((new - old).norm() / old.norm()).item()


def _check_lengths(x: Tensor, y: Tensor) -> None:
    shapes = [tuple(getattr(values, "shape", ())) for values in (x, y)]  # a number and a list have none
    if not isinstance(x, Tensor) or not all(shapes) or len(x) != len(y) or len(x) == 0:
        raise ValueError(f"x and y must be tensors of the same length > 0, got shapes {shapes[0]} and {shapes[1]}"
                         + ("" if isinstance(x, Tensor) else f", x a {type(x).__name__}"))


@contextlib.contextmanager
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _rows(model: nn.Module, x: Tensor) -> Tensor:
    """Return model(x), a tensor with a row for each of x."""
    try:
        out = model(x)
    except Exception as error:
        if _is_one_example(model, x):
            raise ValueError(f"x must be a batch (n, ...), got one example {tuple(x.shape)}; take x[None]") from error
        dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), x.dtype)
        other = x.dtype != dtype and (x.is_floating_point() or x.dtype == torch.uint8)
        if other and isinstance(error, RuntimeError) and not torch.is_autocast_enabled(x.device.type):
            raise ValueError(f"x must suit model, whose weights are {dtype}, got {x.dtype}: {error}") from error
        raise
    if not isinstance(out, Tensor):
        raise ValueError(f"model must put out one tensor, got {type(out).__name__}")
    if out.ndim == 0 or len(out) != len(x):
        raise ValueError(f"x must be a batch (n, ...) and model put out a row for each of it, got x {tuple(x.shape)} "
                         f"and an output {tuple(out.shape)}")
    return out


@torch.no_grad()
def _is_one_example(model: nn.Module, x: Tensor) -> bool:
    with _in_eval_mode(model):
        try:
            return len(model(x[None])) == 1
        except Exception:
            return False


def _labels(y: Tensor, scores: Tensor) -> Tensor:
    """Return y as the integers that index the columns of scores (n, k, ...)."""
    if scores.ndim < 2:
        raise ValueError(f"model must put out scores (n, k), got {tuple(scores.shape)}")
    want = (len(scores), *scores.shape[2:])
    if not isinstance(y, Tensor) or y.shape != want or y.is_floating_point() or y.is_complex():
        what = f"{y.dtype} of shape {tuple(y.shape)}" if hasattr(y, "dtype") else type(y).__name__
        raise ValueError(f"y must be a tensor of integer labels of shape {want}, got {what}")
    y, k = y.long(), scores.shape[1]
    low, high = (int(bound) for bound in torch.aminmax(y))
    if low < 0 or high >= k:
        raise ValueError(f"labels must be in 0..{k - 1}, got {low}..{high}; data.select_classes numbers them from 0")
    return y


def _check_finite(losses: list[Tensor]) -> None:
    recent = torch.stack(losses[-CHECK_EVERY:])
    bad = (~torch.isfinite(recent)).nonzero()
    if len(bad):
        step = len(losses) - len(recent) + int(bad[0])
        raise FloatingPointError(f"the loss is {float(losses[step])} at step {step}: lower the learning rate, "
                                 "or look at the inputs of that batch")
