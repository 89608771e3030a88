"""A shelf of small pretrained networks that come with the package: load one in milliseconds, without a network."""
import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from tlutils import models, results, surgery

FOLDER = Path(__file__).resolve().parent / "checkpoints"
COLUMNS = ("name", "architecture", "source", "task", "n_classes", "accuracy", "parameters", "size_kb")


def names() -> list[str]:
    """Return the names of the checkpoints on the shelf."""
    return list(_manifest()["checkpoints"])


def card(name: str) -> dict:
    """Return what is known of a checkpoint: architecture, source, task, its accuracy there, how it was made, SHA-256.

    Errors: ValueError for a name that is not on the shelf.
    """
    cards = _manifest()["checkpoints"]
    if name not in cards:
        raise ValueError(f"name must be one of {', '.join(cards)}, got {name!r}")
    return cards[name]


def table() -> results.Table:
    """Return the shelf as a table: one row a checkpoint.

    Units: accuracy on held-out images of the checkpoint's own task, 0 to 1; size_kb of the file, 1 kB = 1000 bytes.
    """
    return results.Table({key: {"name": name, **card(name)}[key] for key in COLUMNS} for name in names())


def load(name: str, n_classes: int | None = None) -> nn.Sequential:
    """Return a checkpoint as a network in eval mode on the CPU; n_classes puts on a new random head.

    Shapes: images (n, 1, 24, 24) from `data.to_tensor` -> scores; the last block is the head.
    Convention: weights are stored in float16 and computed with in float32.
    Errors: ValueError for an unknown name, or a file that is missing or whose SHA-256 is not that of the manifest.
    """
    from safetensors.torch import load as parse
    facts, path = card(name), FOLDER / f"{name}.safetensors"
    content = path.read_bytes() if path.exists() else b""
    if (digest := hashlib.sha256(content).hexdigest()) != facts["sha256"]:
        raise ValueError(f"the file of {name} is {'damaged' if content else 'missing or empty'} ({path}: SHA-256 "
                         f"{digest[:12]}..., not {facts['sha256'][:12]}...); install the package again, or restore "
                         "the file with git")
    model = models.BUILDERS[facts["architecture"]](facts["n_classes"], **facts["options"])
    model.load_state_dict({key: tensor.float() if tensor.is_floating_point() else tensor
                           for key, tensor in parse(content).items()})
    if n_classes is not None:
        surgery.replace_head(model, n_classes)
    return model.eval()


def store(name: str, model: nn.Sequential, facts: dict, folder: Path = FOLDER) -> Path:
    """Write a network and its facts to the shelf, replacing one of the same name; return the file.

    Shapes: facts holds what `load` and `table` read (architecture, options, n_classes, source, task, accuracy) and
        any further provenance; parameters, size_kb and sha256 are added here.
    Convention: float16; the file and then the manifest are written under temporary names and renamed, so that a full
        disk leaves both as they were; two processes that store at once take turns.
    Errors: ValueError for a name that is no plain word, an unknown architecture or a missing fact; for a model that is
        not what these facts build, or weights that float16 cannot hold.
    """
    from safetensors.torch import save as serialise
    if not (isinstance(name, str) and re.fullmatch(r"\w+([.-]\w+)*", name)):
        raise ValueError(f"name must be letters, digits and single hyphens, it names a file; got {name!r}")
    if facts.get("architecture") not in models.BUILDERS:
        raise ValueError(f"architecture must be one of {', '.join(models.BUILDERS)}, got {facts.get('architecture')!r}")
    if missing := {"options", "n_classes", "source", "task", "accuracy"} - set(facts):
        raise ValueError(f"facts must hold {', '.join(sorted(missing))}")
    state = {key: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
             for key, tensor in surgery.unwrap(model).state_dict().items()}
    with torch.device("meta"):  # what `load` will build: no memory, and no random number is drawn
        plan = models.BUILDERS[facts["architecture"]](facts["n_classes"], **facts["options"]).state_dict()
    shapes = [{key: tuple(tensor.shape) for key, tensor in tensors.items()} for tensors in (plan, state)]
    if differ := sorted({key for key, _ in shapes[0].items() ^ shapes[1].items()}):
        raise ValueError("model must be what architecture, options and n_classes of facts build, it differs in "
                         f"{', '.join(differ[:3])}{', ...' if len(differ) > 3 else ''}")
    if bad := [key for key, tensor in state.items() if not tensor.isfinite().all()]:
        raise ValueError(f"model must hold finite weights that float16 can store (up to 65504), not so {bad}")
    content, path = serialise(state), folder / f"{name}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{name}.{uuid.uuid4().hex}.part"
    with _alone(folder):
        try:
            manifest = _manifest(folder)
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        manifest["checkpoints"][name] = facts | {
            "parameters": sum(p.numel() for p in model.parameters()), "size_kb": round(len(content) / 1000),
            "sha256": hashlib.sha256(content).hexdigest()}
        results.write_json(folder / "manifest.json", manifest)
    return path


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock on folder, where the system has them: who adds to the manifest must not lose another's addition."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _manifest(folder: Path = FOLDER) -> dict:
    path = folder / "manifest.json"
    if not path.exists():
        return {"checkpoints": {}}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest["checkpoints"], dict):
            raise TypeError("its checkpoints are no dictionary")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); install the package again, or restore it with git") from None
    return manifest
