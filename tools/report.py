"""Print how long the chapters and how large the package are:  python tools/report.py   (make test shows it, too)

These are sizes to look at, not limits: a page or a file that is clearer when it is longer may be longer. The aims are
those of CONTRIBUTING.md; a number beyond its aim is marked with a star.
"""
import ast
import statistics

import book
import chapter
import files

PACKAGE = chapter.ROOT / "tlutils"
# aims for a chapter: (least, most)
CELLS, MEDIAN, LONGEST, SHORT, WORDS, SIZE_KB = (19, 40), (0, 6), (0, 40), (90, 100), (2000, 3500), (0, 500)
FILE_LINES = 300
# lines of code that each part of the package may have, all of it counted: an aim, and a line in CHANGELOG.md when a
# number is raised
BUDGET = {
    "core": (1300, ("__init__", "arrays", "env", "results", "surgery", "train", "models", "zoo")),
    "data and worlds": (1250, ("data", "worlds")),
    "transferability": (900, ("transferability",)),
    "adapters": (250, ("adapters",)),
    "selfsup": (550, ("selfsup",)),
    "domain": (200, ("domain",)),
    "analysis": (150, ("analysis",)),
    "experiments": (1700, ("experiments",)),
    "figures and pages": (350, ("figures", "plotting", "explore", "quiz")),
    "start and probes": (250, ("start", "probes", "pretraining"))}


def mark(value, aim):
    """Return a number as text, with a star if it lies outside of its aim."""
    return f"{value:,.0f}{'' if aim[0] <= value <= aim[1] else '*'}"


def chapter_sizes(path):
    """Return the sizes of one chapter, a dictionary of texts; the set-up cell and questions are no lesson."""
    cells = book.load(path)
    sizes = sorted(book.lines_of(cell) for cell in book.code_cells(cells)[1:] if not book.is_question(cell))
    sizes = sizes or [0]  # a chapter that has only begun
    short = 100 * sum(size < 20 for size in sizes) / len(sizes)
    return {"chapter": path.stem, "words": mark(book.words_of(cells), WORDS), "code cells": mark(len(sizes), CELLS),
            "median lines": mark(statistics.median(sizes), MEDIAN), "longest": mark(sizes[-1], LONGEST),
            "% under 20": mark(short, SHORT), "kB": mark(path.stat().st_size / 1000, SIZE_KB)}


def code_lines(source):
    """Return the number of lines of code: not blank, no comment, and no docstring, whose five parts are wanted."""
    documented = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            documented |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return sum(1 for number, line in enumerate(source.splitlines(), start=1)
               if line.strip() and not line.strip().startswith("#") and number not in documented)


def package_sizes(package=PACKAGE):
    """Return lines of code by part of the package, and the files of more than 300 lines."""
    parts, long = {}, {}
    for path in sorted(package.rglob("*.py")):
        text, place = path.read_text(encoding="utf-8"), path.relative_to(package)
        part = place.with_suffix("").parts[0]
        parts[part] = parts.get(part, 0) + code_lines(text)
        if (length := len(text.splitlines())) > FILE_LINES:
            long[place.as_posix()] = length
    return parts, long


def table(rows):
    """Return rows, one dictionary each, as lines of text in columns."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in
                                                   zip(line[1:], widths[1:], strict=True))]) for line in lines]


def report():
    """Return the report as lines of text."""
    parts, long = package_sizes()
    budget = [{"part of tlutils": part, "lines": mark(sum(parts.get(name, 0) for name in names), (0, most)),
               "aim": f"{most:,}", "of which": ", ".join(f"{name} {parts.get(name, 0)}" for name in names)}
              for part, (most, names) in BUDGET.items()]
    return [*table([chapter_sizes(path) for path in chapter.paths()]), "(* beyond the aim of CONTRIBUTING.md)", "",
            *table(budget), f"tlutils in all: {sum(parts.values()):,} lines of code",
            f"files over {FILE_LINES} lines: {', '.join(f'{name} {n}' for name, n in long.items()) or 'none'}"]


if __name__ == "__main__":
    with files.one_line():
        print("\n".join(report()))
