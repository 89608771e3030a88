"""Say in one line why the environment cannot be made here, before anything is installed. Runs on any Python."""
import os
import shutil
import sys

OLDEST = (3, 11)  # of sphinx-book-theme; the package alone runs on 3.10


def problem(version, free_gb, needed_gb, has_venv, installer, named=True):
    """Return the one line that says what is in the way, or None; uv brings a Python unless one was named."""
    if tuple(version[:2]) < OLDEST and (named or installer != "uv"):
        return (
            "Python {}.{} is too old: the book needs {}.{} or newer. Name one that you have:  "
            "make book PYTHON=python3.12   or install uv, which brings one.".format(version[0], version[1], *OLDEST)
        )
    if free_gb < needed_gb:
        return (
            "Too little disk: the environment needs about {:.0f} GB free here and there are {:.1f}. "
            "With a CPU-only torch 2 GB are enough:  make book TORCH=cpu".format(needed_gb, free_gb)
        )
    if installer == "pip" and not has_venv:
        return (
            "This Python cannot make a virtual environment (ensurepip is missing). On Debian and Ubuntu:  "
            "apt install python3-venv   or install uv, which needs none."
        )
    return None


def has_venv():
    """Return whether this Python can make a virtual environment that holds pip."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def main(folder, installer, torch, named):
    """Print the problem, if there is one, and return the exit status."""
    # CUDA builds of torch unpack to about 6 GB and are downloaded to the same disk first; a CPU-only one is 1 GB.
    needed = 2.0 if torch == "cpu" else 8.0
    if os.path.isdir(os.path.join(folder, ".venv", "share", "jupyter")):
        needed = 0.5  # an environment is there: this is an update
    free = shutil.disk_usage(folder).free / 1e9 if hasattr(shutil, "disk_usage") else 0.0
    line = problem(sys.version_info, free, needed, has_venv(), installer, named)
    if line:
        sys.stderr.write(line + "\n")
    return 1 if line else 0


if __name__ == "__main__":
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    words = [word for word in sys.argv[1:] if word not in ("cpu", "named")]
    sys.exit(main(here, (words + ["pip"])[0], "cpu" if "cpu" in sys.argv else "", "named" in sys.argv))
