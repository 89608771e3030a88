"""Execute the chapters with other versions than the book's:  python tools/environments.py colab|oldest|newest [02 ...]

colab   the versions that Colab publishes (tools/versions/colab.txt). The package is installed by the set-up cell, in
        an emulation of a Colab runtime whose git finds this checkout (its last commit) under the book's address.
oldest  the lower bounds of pyproject.toml.
newest  the newest versions on the index.
In each, installing the package with its dependencies must change no version, every cell must run, and every claim must
print what the stored chapter holds. --at FOLDER holds the environments (default _build/environments), --python PATH
names the Python to use.
"""
import argparse
import difflib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import book
import chapter
import files
import nbformat
import normalise
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

# The Pythons wanted, best first; where there is none of them the tool says so and takes its own.
PYTHONS = {"colab": ["3.12"], "oldest": ["3.10", "3.11"], "newest": ["3.14", "3.13", "3.12"]}
COLAB = chapter.ROOT / "tools" / "versions" / "colab.txt"


def requirements(name, pyproject=chapter.ROOT / "pyproject.toml"):
    """Return what an environment holds before the package comes, as requirement lines."""
    if name == "colab":
        return [line for line in COLAB.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    block = re.search(r"^dependencies = \[(.*?)^\]", Path(pyproject).read_text(encoding="utf-8"), re.M | re.S).group(1)
    bounds = re.findall(r'"([\w-]+)>=([\d.]+)"', block)
    pins = [f"{package}=={low}" if name == "oldest" else package for package, low in bounds]
    return [*pins, "ipykernel", "pip"]


def works(python):
    """Return whether this Python starts; a shim of a version manager may not."""
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def find_python(name):
    """Return the path of a Python for the environment: from the search path, from pyenv, else the one that runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in PYTHONS[name]:
        found = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]
        for python in filter(None, found):
            if works(python):
                return str(python)
    print(f"There is no Python {' or '.join(PYTHONS[name])} here; {sys.version.split()[0]} takes its place.")
    return sys.executable


def installer(python):
    """Return the words that install into the environment of `python`: uv where it is there, else pip."""
    uv = None if os.environ.get("UV") in ("0", "no") else shutil.which("uv")
    return [uv, "pip", "install", "-q", "--python", python] if uv else [python, "-m", "pip", "install", "-q"]


def make(name, folder, python=None):
    """Make the environment anew in `folder`; return its Python."""
    python = python or find_python(name)
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    inside = str(folder / "bin" / "python")
    wanted = requirements(name)
    print(f"{name}: {subprocess.check_output([inside, '--version'], text=True).strip()}, {len(wanted)} packages named")
    subprocess.run([*installer(inside), "--upgrade", *wanted], check=True)
    return inside


def freeze(python):
    """Return {package: version} of an environment, asked from its own Python."""
    code = ("import importlib.metadata as m, json\n"
            "print(json.dumps({d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}))")
    return json.loads(subprocess.check_output([python, "-c", code], text=True))


def changes(before, after):
    """Return what an installation of the package changed besides adding it, one line a package."""
    names = sorted((set(before) | set(after)) - {"tlutils"})
    return [f"{name}: {before.get(name, 'absent')} -> {after.get(name, 'absent')}" for name in names
            if before.get(name) != after.get(name)]


def install(python, folder):
    """Install the package as a wheel with its dependencies; return what that changed besides."""
    before = freeze(python)
    shutil.rmtree(folder / "wheel", ignore_errors=True)
    subprocess.run([python, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", folder / "wheel", chapter.ROOT],
                   check=True)
    wheel, = (folder / "wheel").glob("*.whl")
    subprocess.run([*installer(python), wheel], check=True)
    return changes(before, freeze(python))


def kernel(python, folder, **variables):
    """Write a kernel `tested` that is this Python, under `folder`; return the variables of the process that uses it."""
    spec = folder / "kernels" / "tested" / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "tested", "language": "python",
                                "env": variables | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}}))
    return {"JUPYTER_PATH": str(folder), "IPYTHONDIR": str(folder / "ipython")}


def emulate_colab(folder, url, repository=chapter.ROOT):
    """Write a module google.colab that each Python loads at its start; return the variables of such a kernel."""
    package = folder / "emulation" / "google" / "colab"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text('"""A stand-in: only its presence is looked at."""\n')
    (folder / "emulation" / "sitecustomize.py").write_text("import google.colab\n")
    return {"PYTHONPATH": str(folder / "emulation"), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": url,
            "GIT_CONFIG_KEY_0": f"url.{Path(repository).as_uri()}.insteadOf"}


def printed(cell):
    """Return what a cell printed, in the form that a stored chapter has."""
    streams = [book.text(output["text"]) for output in cell["outputs"] if output.get("name") == "stdout"]
    return normalise.clean_text("".join(streams)).strip()


def compare(stored, executed):
    """Return (number of claim cells, differences of what they print) of two versions of a notebook."""
    pairs = [(old, new) for old, new in zip(stored["cells"], executed["cells"], strict=True)
             if "nbval-check-output" in old["metadata"].get("tags", [])]
    different = []
    for old, new in pairs:
        lines = difflib.unified_diff(printed(old).splitlines(), printed(new).splitlines(), "stored", "here", "", "", 0)
        different += list(lines)[2:]
    return len(pairs), different


def execute(path, folder):
    """Execute a copy of a chapter in `folder` with the kernel `tested`; return (line of the report, faults)."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    nb = nbformat.reads(json.dumps(stored), as_version=4)
    scratch = Path(tempfile.mkdtemp(dir=folder))  # no copy of the package lies beside it
    started = time.time()
    try:
        NotebookClient(nb, timeout=900, kernel_name="tested", resources={"metadata": {"path": str(scratch)}}).execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return f"{path.stem}: failed", [str(error)]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    count, different = compare(stored, nb)
    noise = {book.text(output["text"]).strip() for cell in nb.cells for output in cell.get("outputs", [])
             if output.get("name") == "stderr"}
    noise = [line for line in sorted(noise) if "it/s" not in line]
    line = f"{path.stem}: {(time.time() - started) / 60:.1f} min, {count} claim cells, {len(noise)} warnings"
    return "\n  ".join([line, *(text.splitlines()[0][:200] for text in noise)]), different


def main(name, chapters, at, python=None):
    """Make the environment, install the package, execute the chapters; return the exit status."""
    os.environ.pop("PYTHONPATH", None)  # make names this folder there, and the installed package is what is tried
    notebooks = [chapter.find(number) for number in chapters] or chapter.paths()
    for path in notebooks:
        files.read_notebook(path)  # said now, not after minutes
    folder = Path(at).resolve() / name
    python = make(name, folder, python)
    faults = [f"installing tlutils changed {line}" for line in install(python, folder)]
    variables = {}
    if name == "colab":
        subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "tlutils"], check=True)
        variables = emulate_colab(folder, book.repository()[0])
    os.environ.update(kernel(python, folder, **variables))
    before = freeze(python)
    for path in notebooks:
        line, wrong = execute(path, folder)
        print(line, flush=True)
        faults += [f"{path.stem}: {text}" for text in wrong]
    faults += [f"the chapters changed {line}" for line in changes(before, freeze(python))]
    print("\n".join(faults) or f"{name}: every cell ran, every claim prints what is stored, no package was changed.")
    return int(bool(faults))


def parse(words=None):
    """Read the command line; chapters may stand before or after the options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=PYTHONS)
    parser.add_argument("chapters", nargs="*")
    parser.add_argument("--at", default=chapter.ROOT / "_build" / "environments")
    parser.add_argument("--python")
    return parser.parse_intermixed_args(words)


if __name__ == "__main__":
    words = parse()
    with files.one_line():
        try:
            sys.exit(main(words.name, words.chapters, words.at, words.python))
        except subprocess.CalledProcessError as error:  # what it said stands above
            said = shlex.join(map(str, error.cmd))[:300]
            raise SystemExit(f"stopped: {said} ended with {error.returncode}") from None
