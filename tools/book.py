"""The book as it is written: its settings, its table of contents, the chapters' cells and what these put out.

Tools, extensions and tests read all of it here, in one way. What is damaged is named in one line (files.Damaged): it
ends a command, and a directive of a page can catch it as a ValueError.
"""
import re
from pathlib import Path

import files
import yaml

ROOT = Path(__file__).resolve().parent.parent


def config(root=ROOT):
    """Return the settings of the book, _config.yml, as a dictionary."""
    return files.read_yaml(Path(root, "_config.yml"))


def repository(root=ROOT):
    """Return (url, branch) of the repository: _config.yml is the one place that holds them."""
    block = config(root).get("repository")
    found = [block.get(key) if isinstance(block, dict) else None for key in ("url", "branch")]
    if not all(isinstance(value, str) and value for value in found):
        raise files.Damaged(f"{Path(root, '_config.yml')} is damaged (it names no repository with url and branch); "
                            "restore it with git")
    return found[0], found[1]


def base_url(root=ROOT):
    """Return the address of the published site; it ends with a slash."""
    block = config(root).get("html")
    found = block.get("baseurl") if isinstance(block, dict) else None
    if not isinstance(found, str) or not found.startswith("http"):
        raise files.Damaged(f"{Path(root, '_config.yml')} is damaged (html: baseurl: {found!r:.40} is no address); "
                            "restore it with git")
    return found.rstrip("/") + "/"


def contents(root=ROOT):
    """Return what _toc.yml names, in order: (page, line, column) each, where in the file its name stands, from 0."""
    path = Path(root, "_toc.yml")
    files.read_yaml(path)  # or a line that says what is wrong with it

    def named(node):
        if isinstance(node, yaml.SequenceNode):
            for value in node.value:
                yield from named(value)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value in ("root", "file") and isinstance(value, yaml.ScalarNode):
                    yield value.value, value.start_mark.line, value.start_mark.column
                else:
                    yield from named(value)

    return list(named(yaml.compose(files.read_text(path), Loader=yaml.SafeLoader)))


def pages(root=ROOT):
    """Return the pages of the book in the order of its table of contents, as paths without a suffix."""
    return [page for page, _, _ in contents(root)]


def chapters(root=ROOT):
    """Return the chapters among the pages, in order: chapters/01_what_is_transfer_learning, ..."""
    return [page for page in pages(root) if page.startswith("chapters/")]


def number(page):
    """Return the number of a chapter, "12", by the name of its page, chapters/12_transrate; None for another page."""
    folder, _, name = page.rpartition("/")
    return name[:2] if folder == "chapters" and name[:2].isdecimal() and name[2:3] == "_" else None


def needs(root=ROOT):
    """Return which chapters a chapter builds on, {number: [number, ...]}, from chapters/needs.yml."""
    path = Path(root, "chapters", "needs.yml")
    return files.read_yaml(path) if path.exists() else {}


def text(value):
    """Return a source or an output as one string: notebooks store either a string or a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def load(path):
    """Return the cells of a notebook with their sources as strings."""
    return [cell | {"source": text(cell["source"])} for cell in files.read_notebook(path)["cells"]]


def code_cells(cells):
    """Return the code cells."""
    return [cell for cell in cells if cell["cell_type"] == "code"]


def markdown_cells(cells):
    """Return the cells of text."""
    return [cell for cell in cells if cell["cell_type"] == "markdown"]


def tags(cell):
    """Return the tags of a cell."""
    return cell["metadata"].get("tags", [])


def is_solution(cell):
    """Return whether a cell is a folded solution."""
    return cell["cell_type"] == "code" and cell["source"].startswith("# @title Solution")


def is_question(cell):
    """Return whether a cell is a question of tlutils.quiz: the code that the reader does not read."""
    return cell["cell_type"] == "code" and cell["source"].startswith("# @title Question")


def outputs(cells, kind):
    """Return what cells put out: "text" as printed, or the content of one type such as text/html; a string each."""
    found = []
    for cell in cells:
        for output in cell.get("outputs", []):
            content = output.get("text") if kind == "text" else output.get("data", {}).get(kind)
            found += [text(content)] if content else []
    return found


def claims(cells):
    """Return the claims that held when the chapter ran, word by word as its cells printed them."""
    lines = "\n".join(outputs(cells, "text")).split("\n")
    return [line.removeprefix("holds: ") for line in lines if line.startswith("holds: ")]


def title_and_thesis(cells):
    """Return the title of a chapter and the sentence below it."""
    parts = [part.strip() for part in markdown_cells(cells)[0]["source"].split("\n\n") if part.strip()]
    return parts[0].lstrip("# "), (parts[1].strip("*") if len(parts) > 1 else "")


def reading_minutes(cells, words=200, lines=12):
    """Return the minutes that a chapter takes to read, to the next five: words a minute, and lines of visible code."""
    read = sum(len(cell["source"].split()) for cell in markdown_cells(cells)) / words
    for cell in code_cells(cells):
        if not {"setup", "quiz", "hide-cell", "draw"} & set(tags(cell)):
            read += sum(bool(line.strip()) for line in cell["source"].splitlines()) / lines
    return max(5, 5 * round(read / 5))


def lines_of(cell):
    """Return the number of a cell's lines; the alternative text of its figure is not code."""
    source = re.sub(r"^# ?alt:.*(?:\n#.*)*\s*\Z", "", cell["source"], flags=re.M)
    return len([line for line in source.splitlines() if line.strip()])


def plain(text):
    """Return markdown without code, mathematics, pictures, addresses and tags: the words that a reader reads."""
    text = re.sub(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|(?<!\\)\$[^$\n]+\$|<!--.*?-->", " ", text, flags=re.S)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", " ", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"<[^>]+>|https?://\S+", " ", text)


def words_of(cells):
    """Return the number of words in the markdown of a chapter."""
    return sum(len(plain(cell["source"]).split()) for cell in markdown_cells(cells))
