"""Execute one chapter in place and record what it took:  python tools/run.py 02  (make run CH=02)

The notebook is written only if every cell ran. At the larger scale (TLUTILS_SCALE=full) the stored chapter stays as it
is and the executed copy goes to _build/full/.
"""
import datetime
import json
import os
import sys
import time

import chapter
import files
import nbformat
import normalise
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

PEAK = """\
import resource as _r, sys as _s, torch as _t
_peak = _r.getrusage(_r.RUSAGE_SELF).ru_maxrss * (1 if _s.platform == "darwin" else 1024) / 1e9
print(_peak, _t.cuda.max_memory_allocated() / 1e9 if _t.cuda.is_available() else 0.0)"""


def execute(nb, folder):
    """Execute a notebook (nbformat node) in `folder`; return (minutes, peak memory in GB)."""
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel before one of the home folder
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    done = []

    def tell(cell, cell_index):
        if cell.cell_type == "code":
            done.append(cell_index)
            first = next(iter(cell.source.splitlines()), "")
            print(f"  [{time.time() - started:6.1f} s] cell {len(done)} of {len(code)}: {first[:80]}", flush=True)

    # the kernel listens on this machine alone; its warning that others could listen in helps nobody here
    quiet = ["--IPKernelApp.log_level=ERROR"]
    client = NotebookClient(nb, timeout=None, extra_arguments=quiet, kernel_name="python3",
                            resources={"metadata": {"path": str(folder)}}, on_cell_start=tell)
    started = time.time()
    with client.setup_kernel():
        for index, cell in enumerate(nb.cells):
            client.execute_cell(cell, index)
        minutes = (time.time() - started) / 60
        client.on_cell_start = None
        probe = nbformat.v4.new_code_cell(PEAK)
        nb.cells.append(probe)  # nbclient executes only cells of its notebook
        client.execute_cell(probe, len(nb.cells) - 1)
        nb.cells.pop()
    memory, on_device = (float(part) for part in probe.outputs[0]["text"].split())
    return minutes, max(memory, on_device)


def record(path, number, key, run):
    """Add one run to results/chapters.json, from which `tlutils.setup` tells the expected minutes.

    Two runs that end at once take turns, so neither writes over what the other has just added.
    """
    path.parent.mkdir(exist_ok=True)
    with files.locked(path.parent):
        runs = files.read_json(path) if path.exists() else {}
        if not isinstance(runs.setdefault(number, {}), dict):
            raise SystemExit(f"{path} is damaged (chapter {number} holds {runs[number]!r:.40}); restore it with git")
        runs[number][key] = run
        files.write(path, (json.dumps(runs, indent=1, sort_keys=True) + "\n").encode())


def main(number, root=chapter.ROOT):
    """Execute the chapter, normalise it, write it, record its run time; return the exit status."""
    from tlutils import env, start

    path = chapter.find(number)
    before = path.read_bytes()
    previous = files.read_notebook(path, before)
    times = root / "results" / "chapters.json"
    if times.exists():
        files.read_json(times)  # said now, not after minutes
    nb = nbformat.reads(json.dumps(previous), as_version=4)
    try:
        env.scale()
        calibration = start.calibrate()
    except (ValueError, RuntimeError, AssertionError) as error:  # TLUTILS_SCALE, or TLUTILS_DEVICE in PyTorch's words
        raise SystemExit(str(error).split("\n")[0]) from None
    files.check_writable(path.parent if env.scale() == "laptop" else root / "_build" / env.scale(), times.parent)
    print(f"{path.relative_to(root)}: {env.device_name()}, scale {env.scale()}", flush=True)
    try:
        minutes, memory = execute(nb, path.parent)
    except (CellExecutionError, DeadKernelError) as error:
        print(f"{error}\n{path.name} failed; the stored notebook is unchanged.", file=sys.stderr)
        return 1
    target = path
    if env.scale() != "laptop":
        target = root / "_build" / env.scale() / path.name
    elif not path.exists() or path.read_bytes() != before:
        target = root / "_build" / "executed" / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    content = normalise.to_bytes(normalise.normalise(json.loads(nbformat.writes(nb, version=4)), previous))
    files.write(target, content)
    if target.parent.name == "executed":
        print(f"{path.name} was saved by someone else while it ran, and is left as it is. What ran lies in "
              f"{target.relative_to(root)}; run it again.", file=sys.stderr)
        return 1
    run = {"minutes": round(minutes, 2), "memory_gb": round(memory, 2), "calibration_s": round(calibration, 4),
           "device": env.device_name(), "versions": env.versions(),
           "date_utc": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")}
    record(times, path.name[:2], f"{env.scale()}/{env.device().type}", run)
    print(f"{target.relative_to(root)}: {minutes:.1f} min, {memory:.1f} GB, {len(content) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1]:
        raise SystemExit("usage: make run CH=02")
    with files.one_line():
        sys.exit(main(sys.argv[1]))
