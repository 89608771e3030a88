"""What every chapter shares: its headings, its badge, its set-up cell. Brings the stored cells up to date:

    python tools/chapter.py        (after a change of SETUP or SINCE; nothing else in the notebooks changes)
"""
import re

import book
import files
import normalise

ROOT = book.ROOT
CHAPTERS = ROOT / "chapters"

# The sections of a chapter, in this order. A section's heading begins with its name ("The equation: ...");
# further headings may stand between them.
HEADINGS = [
    "What you will be able to do",
    "Predict first",
    "Explore",
    "The picture",
    "The equation",
    "In the open",
    "Check by hand",
    "The experiment",
    "What we see",
    "The larger run",
    "Claims",
    "Back to the prediction",
    "Where it fails",
    "Exercises",
    "Summary",
    "References",
]

BADGE = (
    "[![Open this chapter in Colab](../_static/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{repository}/blob/{branch}/chapters/{name}.ipynb)"
)
SETUP = """\
# Set-up, the same in every chapter. On Colab it installs the book's package, tlutils,
# and touches nothing else.
import sys
from importlib.metadata import distributions

if "google.colab" in sys.modules and not any(
        d.version >= "{since}" for d in distributions(name="tlutils")):
    %pip install -q --no-deps git+{url}
sys.path.append("..")  # in a copy of the book the package lies beside the chapters
try:
    import tlutils
except ModuleNotFoundError as missing:
    sys.exit(f"{{missing}}. Check the network, then run this cell again. Outside Colab:  "
             "%pip install git+{url}")
tlutils.setup("{number}", since="{since}")"""
# The oldest tlutils that the chapters run with. The cell compares versions as text: each part stays below 10.
SINCE = "0.2.0"

SOLUTION = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["hide-cell"]}
# A question of tlutils.quiz: its source holds the answers, so every view shows only what the cell puts out.
QUESTION = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["quiz", "remove-input"]}


def badge(name, url, branch):
    """Return the markdown of the Colab badge of the chapter `name` (02_general_to_specific)."""
    return BADGE.format(repository=url.removeprefix("https://github.com/"), branch=branch, name=name)


def setup_cell(name, url):
    """Return the source of the set-up cell of the chapter `name`; only its number differs between chapters."""
    return SETUP.format(url=url, number=name[:2], since=SINCE)


def paths():
    """Return the chapters' notebooks, in order."""
    return sorted(CHAPTERS.glob("[0-9][0-9]_*.ipynb"))


def find(number):
    """Return the notebook of the chapter with this number ("02", "2" or 2)."""
    digits = re.fullmatch("[0-9]{1,4}", str(number))
    wanted = [path for path in paths() if digits and path.name.startswith(f"{int(number):02d}_")]
    if len(wanted) != 1:
        have = ", ".join(path.name[:2] for path in paths()) or "none yet"
        raise SystemExit(f"CH must be the number of one chapter, got {number!r}; there are: {have}")
    return wanted[0]


def refresh(path, url):
    """Give a stored chapter the set-up cell of today; return whether that changed it."""
    nb, before = files.read_notebook(path), path.read_bytes()
    cell = next((cell for cell in nb["cells"] if "setup" in book.tags(cell)), None)
    if cell is None:
        raise SystemExit(f"{path} has no set-up cell (tag setup)")
    cell["source"] = setup_cell(path.stem, url)
    after = normalise.to_bytes(normalise.normalise(nb))
    if after != before:
        files.write(path, after)
    return after != before


if __name__ == "__main__":
    with files.one_line():
        for notebook in paths():
            if refresh(notebook, book.repository()[0]):
                print(f"{notebook.relative_to(ROOT)}: new set-up cell")
