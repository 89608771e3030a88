"""The reader of the book: settings, contents, cells and outputs; what is damaged is named, and tools form no circle."""
import ast

import book
import chapter
import files
import pytest

TOC = """\
format: jb-book
root: index   # the front page
parts:
  - caption: Lessons
    chapters:
      - file: "chapters/01_one"
        title: file
      - {file: chapters/12_twelve}
  - caption: Reference
    chapters:
      - file: reference/api
        sections:
          - file: reference/api_0
      - url: https://example.org
"""


def stream(*lines):
    """Return the output of a cell that prints lines."""
    return {"output_type": "stream", "name": "stdout", "text": [line + "\n" for line in lines]}


def code(source="", *outputs, tags=()):
    """Return a code cell."""
    return {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": {"tags": list(tags)}}


def test_the_contents_are_read_in_order_with_sections_and_whatever_the_style(tmp_path):
    (tmp_path / "_toc.yml").write_text(TOC)
    lessons = ["chapters/01_one", "chapters/12_twelve"]
    assert book.chapters(tmp_path) == lessons
    assert book.pages(tmp_path) == ["index", *lessons, "reference/api", "reference/api_0"]
    lines = TOC.splitlines()
    for page, line, column in book.contents(tmp_path):
        assert lines[line][column:].lstrip('"').startswith(page)


def test_a_page_has_the_number_of_its_file_or_none():
    assert book.number("chapters/12_transrate") == "12" and book.number("chapters/01_x") == "01"
    for page in ("index", "reference/12_x", "chapters/1_x", "chapters/12x", "chapters/notes", "a/chapters/12_x"):
        assert book.number(page) is None


def test_the_contents_of_the_book_name_its_chapters():
    assert [f"chapters/{path.stem}" for path in chapter.paths()] == book.chapters()
    assert book.pages()[0] == "index" and len(set(book.pages())) == len(book.pages())


@pytest.mark.parametrize("settings", ["a: 1", "repository: x", "repository: {url: https://example.org}", "repository:",
                                      "repository: {url: 3, branch: main}", "- repository", "repository: {url: '"])
def test_settings_without_a_repository_are_named(tmp_path, settings):
    (tmp_path / "_config.yml").write_text(settings + "\n")
    for reading in (book.repository, book.base_url):
        with pytest.raises(files.Damaged, match="_config.yml is damaged") as told:
            reading(tmp_path)
        assert "\n" not in str(told.value)


def test_the_address_of_the_site_ends_with_one_slash(tmp_path):
    for address in ("https://example.org/book", "https://example.org/book/"):
        (tmp_path / "_config.yml").write_text(f"html: {{baseurl: {address}}}\n")
        assert book.base_url(tmp_path) == "https://example.org/book/"


def test_what_is_damaged_ends_a_command_and_can_be_caught(tmp_path):
    (tmp_path / "_toc.yml").write_text("parts: [\n")
    for kind in (SystemExit, ValueError):
        with pytest.raises(kind, match="_toc.yml is damaged .line"):
            book.pages(tmp_path)


def test_outputs_and_claims_are_read_as_they_were_printed():
    cells = [code("print()", stream("holds: one thing", "holds not: another")),
             {"cell_type": "markdown", "source": "x"},
             code("show", {"output_type": "display_data", "data": {"text/html": ["<p>", "a</p>"], "text/plain": "a"}},
                  {"output_type": "stream", "name": "stdout", "text": "holds: two | things"})]
    assert book.claims(cells) == ["one thing", "two | things"]
    assert book.outputs(cells, "text/html") == ["<p>a</p>"] and book.outputs(cells, "image/png") == []
    assert book.outputs(cells, "text")[0] == "holds: one thing\nholds not: another\n"


def test_title_and_thesis_stand_in_the_first_cell_of_text():
    first = {"cell_type": "markdown", "source": "# Two words\n\n\n**What it says.**\n\nMore."}
    assert book.title_and_thesis([code("x"), first]) == ("Two words", "What it says.")
    assert book.title_and_thesis([first | {"source": "# Only"}]) == ("Only", "")


def imports(path):
    """Return the tools that a tool imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


def circle(arrows):
    """Return the names that lie on a circle of arrows, or lead to one: what is left when all others are taken away."""
    left = dict(arrows)
    while ends := [name for name, to in left.items() if not to & set(left)]:
        for name in ends:
            del left[name]
    return sorted(left)


def test_tools_and_extensions_import_each_other_in_no_circle():
    for folder in ("tools", "_ext"):
        assert circle({path.stem: imports(path) for path in (book.ROOT / folder).glob("*.py")}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": set()}) == ["a", "b", "c"]
