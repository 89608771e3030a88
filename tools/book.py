"""The chapters' cells, read in one way by tools and tests: what is code, what is a question, what a reader reads."""
import re

import files
import normalise


def load(path):
    """Return the cells of a notebook with their sources as strings."""
    return [cell | {"source": normalise.text(cell["source"])} for cell in files.read_notebook(path)["cells"]]


def code_cells(cells):
    """Return the code cells."""
    return [cell for cell in cells if cell["cell_type"] == "code"]


def tags(cell):
    """Return the tags of a cell."""
    return cell["metadata"].get("tags", [])


def is_solution(cell):
    """Return whether a cell is a folded solution."""
    return cell["cell_type"] == "code" and cell["source"].startswith("# @title Solution")


def is_question(cell):
    """Return whether a cell is a question of tlutils.quiz: the code that the reader does not read."""
    return cell["cell_type"] == "code" and cell["source"].startswith("# @title Question")


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
    return sum(len(plain(cell["source"]).split()) for cell in cells if cell["cell_type"] == "markdown")
