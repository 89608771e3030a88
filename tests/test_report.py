"""The report of sizes: it counts what a reader reads, marks what is beyond an aim, and stops nothing."""
import json

import chapter
import pytest
import report


def notebook(path, *cells):
    """Write a notebook of (type, source) pairs."""
    made = [{"cell_type": kind, "source": source, "metadata": {}, "outputs": []} for kind, source in cells]
    path.write_text(json.dumps({"cells": made, "nbformat": 4}))
    return path


def test_a_chapter_that_has_only_begun_is_measured(tmp_path):
    for cells in ([], [("markdown", "Two words")], [("code", "import tlutils")]):
        assert report.chapter_sizes(notebook(tmp_path / "01_x.ipynb", *cells))["code cells"] in ("0*", "1*")


def test_a_damaged_chapter_is_named_in_one_line(tmp_path):
    path = tmp_path / "01_x.ipynb"
    for content in (b"", b'{"nbformat": 4, "cells": [', b"\xff"):
        path.write_bytes(content)
        with pytest.raises(SystemExit, match="01_x.ipynb is damaged"):
            report.chapter_sizes(path)


def test_a_chapter_is_measured_without_set_up_questions_and_descriptions(tmp_path):
    long = "\n".join(f"x{i} = {i}" for i in range(41))
    path = notebook(tmp_path / "01_x.ipynb", ("markdown", "Four words in $x = y$ all, [linked](http://a/b)."),
                    ("code", "import tlutils\ntlutils.setup('01')"), ("code", "a = 1\n\nb = 2\n# alt: a\n# picture"),
                    ("code", long), ("code", "# @title Question\nchoose('?')"))
    sizes = report.chapter_sizes(path)
    assert sizes == {"chapter": "01_x", "words": "5*", "code cells": "2*", "median lines": "22*", "longest": "41*",
                     "% under 20": "50*", "kB": sizes["kB"]}


def test_lines_of_code_are_counted_without_docstrings_comments_and_blanks():
    assert report.code_lines('"""One."""\n\n# two\ndef f():\n    """Three\n    four."""\n    return 5\n') == 2


def test_the_package_is_counted_by_part_and_long_files_are_named(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.py").write_text("x = 1\n" * 301)
    (tmp_path / "data" / "b.py").write_text("y = 2\n")
    (tmp_path / "env.py").write_text('"""Text."""\n')
    assert report.package_sizes(tmp_path) == ({"data": 302, "env": 0}, {"data/a.py": 301})


def test_every_chapter_and_every_part_is_in_it():
    text = "\n".join(report.report())
    assert all(path.stem in text for path in chapter.paths())
    assert all(f"{part} " in text for part in ("surgery", "experiments", "transferability", "results"))
