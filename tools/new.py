"""Begin a chapter from the template: python tools/new.py slug  (make new NAME=slug)."""
import re
import sys
from pathlib import Path

import book
import chapter
import files
import normalise

# One entry per cell: ("m", markdown), ("c", code), ("solution", code), ("question", code), ("claim", code),
# ("draw", code that only draws, folded on the page), ("setup", "").
TEMPLATE = [
    ("m", "# {title}\n\n**The thesis of the chapter in one sentence: what transfers, when, and how we will know.**"
          "\n\nIn the field's words: the terms under which somebody would search for it."),
    ("m", "{badge}\n\n*About 3 minutes on two CPU cores; no GPU needed.*"),
    ("m", "## What you will be able to do\n\n- *derive* ...\n- *build* ...\n- *decide* ..."),
    ("m", "Run this cell first. It says where the chapter runs and how long it will take."),
    ("setup", ""),
    ("m", "## Predict first\n\nA question that the experiment will answer. Write your answer down before you read on."
          "\n\n- **A.** The first tempting answer.\n- **B.** The second one.\n- **C.** The third one."),
    ("question", "# @title Question\nfrom tlutils.quiz import predict\n\npredict(\"The question in a few words?\","
                 "\n        (\"A\", \"first\"), (\"B\", \"second\"), (\"C\", \"third\"), key=\"{number}\")"),
    ("m", "## Explore\n\nThe living figure: a slider that answers the question under the reader's hand. It reads a"
          " record, since nothing of the chapter has run yet."),
    ("draw", "import matplotlib.pyplot as plt\n\nfrom tlutils import plotting\nfrom tlutils.explore import explore\n\n"
             "plotting.use_style()\n\ndef frame(ax, slope):\n    ax.plot([0, 1], [0, slope])\n"
             "    ax.set(ylim=(0, 5), xlabel=\"input (unit)\", ylabel=\"output (unit)\")\n\n"
             "explore(frame, \"slope\", [1, 2, 3], alt=\"A line that rises by {}.\")"),
    ("m", "## The picture\n\nThe idea in one drawing, before any symbol."),
    ("draw", "fig, ax = plt.subplots(figsize=(5, 2.5))\nax.plot([0, 1], [0, 1])\n"
          "ax.set(xlabel=\"input (unit)\", ylabel=\"output (unit)\")\nplt.show()\n"
          "# alt: What the figure shows, in one or two sentences, for a reader who cannot see it."),
    ("m", "## The equation\n\n$$y = f(x;\\theta)$$\n\n| symbol | meaning | shape | in code |\n|---|---|---|---|\n"
          "| $x$ | an input | $(n, d)$ | `x` |"),
    ("m", "## In the open\n\nThe algorithm in at most 25 lines that read like the equation."),
    ("c", "def f(x, theta):\n    return x * theta"),
    ("m", "## Check by hand\n\nFirst a case whose answer is known, then equality with the packaged twin."),
    ("c", "f(2, 3)"),
    ("m", "## The experiment\n\nSmall, over several seeds. Say what to expect before a cell, what was seen after it."),
    ("c", "scores = [f(seed, 1) for seed in range(3)]"),
    ("m", "## What we see\n\nOne figure, one message: what you see, and what would have proved it wrong."),
    ("m", "## The larger run\n\nThe recorded run beside the paper's number."),
    ("m", "## Claims\n\nCoarse statements that hold for every seed, on CPU and GPU."),
    ("claim", "from tlutils.results import claim\n\nclaim(\"scores grow with the seed\", scores == sorted(scores))"),
    ("m", "## Back to the prediction\n\nWhich answer was right, and why the others tempt."),
    ("question", "# @title Question\nfrom tlutils.quiz import choose\n\nchoose(\"The question in a few words?\","
                 "\n       (\"A. first\", True, \"Why it is right.\"),\n       (\"B. second\", False, \"Why not.\"),"
                 "\n       (\"C. third\", False, \"Why not.\"), key=\"{number}\")"),
    ("m", "## Where it fails\n\nA case where the method does not work, shown."),
    ("m", "## Exercises\n\n### Questions\n\nThree or more, each with a reason for every wrong answer."),
    ("question", "# @title Question\nfrom tlutils.quiz import choose\n\nchoose(\"One right answer?\", "
                 "(\"this\", True, \"Why.\"), (\"that\", False, \"Why not.\"))"),
    ("m", "Any number of answers may be right."),
    ("question", "# @title Question\nfrom tlutils.quiz import choose_all\n\nchoose_all(\"Which are right?\", "
                 "(\"this\", True, \"Why.\"), (\"that\", False, \"Why not.\"))"),
    ("m", "A number, with a tolerance."),
    ("question", "# @title Question\nfrom tlutils.quiz import number\n\nnumber(\"How many?\", 7, tolerance=0.5, "
                 "why=\"Why.\", otherwise=\"Where to look.\")"),
    ("m", "### Exercise 1\n\nA question whose answer is a cell."),
    ("solution", "# @title Solution\nf(3, 4)"),
    ("m", "### Exercise 2\n\nA question whose answer is a cell."),
    ("solution", "# @title Solution\nf(4, 5)"),
    ("m", "### Exercise 3\n\nA question whose answer is a cell."),
    ("solution", "# @title Solution\nf(5, 6)"),
    ("m", "## Summary\n\n1. First line.\n2. Second line.\n3. Third line.\n4. Fourth line.\n5. Fifth line."),
    ("m", "## References\n\n- Author (year). Title. Venue. [link](https://example.org)"),
]
METADATA = {"claim": {"tags": ["nbval-check-output"]}, "draw": {"tags": ["draw"]},
            "setup": {"tags": ["setup", "volatile"]}, "solution": chapter.SOLUTION, "question": chapter.QUESTION}


def notebook(name, url, branch):
    """Return the template as a notebook for the chapter `name` (04_slug)."""
    title = name[3:].replace("_", " ").capitalize()
    cells = []
    for kind, source in TEMPLATE:
        if kind == "m":
            if source.startswith(("# {title}", "{badge}")):
                source = source.format(title=title, badge=chapter.badge(name, url, branch))
            cells.append({"cell_type": "markdown", "metadata": {}, "source": source})
            continue
        source = chapter.setup_cell(name, url) if kind == "setup" else source.replace("{number}", name[:2])
        cells.append({"cell_type": "code", "metadata": METADATA.get(kind, {}), "source": source,
                      "execution_count": None, "outputs": []})
    return {"cells": cells, "metadata": normalise.METADATA, "nbformat": 4, "nbformat_minor": 5}


def add_to_toc(root, name):
    """Return the text of _toc.yml with the chapter added after the last one of a smaller number, with its indent."""
    places = [(line, column) for page, line, column in book.contents(root) if page.startswith("chapters/")]
    if not places:
        raise files.Damaged("_toc.yml names no chapter; restore it with git")
    lines = files.read_text(root / "_toc.yml").splitlines()
    before = [(line, column) for page, line, column in book.contents(root) if book.number(page)
              and book.number(page) < name[:2]]
    at, column = max(before) if before else min(places)
    lines.insert(at + bool(before), f"{lines[at][:column]}chapters/{name}")
    return "\n".join(lines) + "\n"


def main(slug, root=chapter.ROOT, number=None):
    """Write the chapter's notebook and its line of the table of contents; return the path.

    number ("10") gives it that number and its place in the order; without one it becomes the last chapter.

    Stopped between the two, it is finished by the same command: a chapter that has no line is given it.
    """
    slug = slug.strip().lower().replace("-", "_").replace(" ", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", slug):
        raise SystemExit(f"NAME must be a slug such as gradient_reversal, of at most 60 letters, got {slug[:80]!r}")
    if number is not None and not (re.fullmatch("[0-9]{1,2}", number) and int(number)):
        raise SystemExit(f"CH must be a number from 1 to 99, got {number!r:.80}")
    root = Path(root)
    there = sorted(path.stem for path in (root / "chapters").glob("[0-9][0-9]_*.ipynb"))
    listed = book.chapters(root)
    same = [name for name in there if name[3:] == slug]
    if any(f"chapters/{name}" in listed for name in same):
        raise SystemExit(f"there is already a chapter {slug}")
    wanted = int(number or max((int(name[:2]) for name in there), default=0) + 1)
    if taken := [name for name in there if int(name[:2]) == wanted and name not in same]:
        raise SystemExit(f"chapter {wanted} is {taken[0][3:]}; take a number that is free")
    name = same[0] if same else f"{wanted:02d}_{slug}"
    path = root / "chapters" / f"{name}.ipynb"
    url, branch = book.repository(root)
    contents = add_to_toc(root, name)
    if not same:
        files.write(path, normalise.to_bytes(normalise.normalise(notebook(name, url, branch))))
    files.write(root / "_toc.yml", contents.encode())
    return path


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or not sys.argv[1]:
        raise SystemExit("usage: make new NAME=slug  (CH=10: with that number)")
    with files.one_line(), files.locked(chapter.ROOT):  # two at once take turns, for numbers and contents
        made = main(sys.argv[1], number=sys.argv[2] if len(sys.argv) == 3 else None)
    print(f"{made.relative_to(chapter.ROOT)} and its line in _toc.yml: write it in JupyterLab, then  "
          f"make run CH={made.name[:2]}")
