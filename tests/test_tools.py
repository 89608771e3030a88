"""The Makefile's helpers: preflight, normaliser, build, serve, run, new, repo, record, freeze, notebook_text."""
import ast
import base64
import copy
import dataclasses
import functools
import http.server
import importlib.util
import io
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import book
import build
import chapter
import files
import matplotlib
import new
import new_experiment
import normalise
import notebook_text
import numpy as np
import one_chapter
import preflight
import pytest
import record
import repo
import serve
from PIL import Image, PngImagePlugin


def png(pixels, **info):
    """Return pixels as PNG bytes with text chunks, as matplotlib writes them."""
    metadata = PngImagePlugin.PngInfo()
    for key, value in info.items():
        metadata.add_text(key, value)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", pnginfo=metadata, dpi=(100, 100))
    return file.getvalue()


def few_colours():
    """Return a picture of three colours."""
    pixels = np.full((40, 60, 3), 255, np.uint8)
    pixels[5:20, 10:50] = (0, 114, 178)
    pixels[25:30] = (213, 94, 0)
    return pixels


def pixels_of(data):
    """Return the RGB pixels of PNG bytes."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def figure(data):
    """Return the output of a cell that shows a picture."""
    return {"output_type": "display_data", "metadata": {"needs_background": "light"},
            "data": {"image/png": base64.b64encode(data).decode(), "text/plain": "<Figure size 600x400 with 1 Axes>"}}


def stream(text, name="stdout"):
    """Return the output of a cell that prints."""
    return {"output_type": "stream", "name": name, "text": text}


def notebook(*cells):
    """Return a notebook of code cells given as (source, outputs, metadata)."""
    code = [{"cell_type": "code", "id": f"random{i}", "source": source, "outputs": outputs, "metadata": metadata,
             "execution_count": 7 + i} for i, (source, outputs, metadata) in enumerate(cells)]
    return {"cells": code, "metadata": {"language_info": {"name": "python", "version": "3.99.1"}, "widgets": {}},
            "nbformat": 4, "nbformat_minor": 5}


def messy():
    """Return a notebook with everything that the normaliser removes."""
    noisy = np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    return notebook(
        ("print(1)\n\n", [stream("a"), stream("warning", "stderr"), stream("b\n")],
         {"execution": {"iopub.execute_input": "now"}}),
        ("object()", [{"output_type": "execute_result", "metadata": {}, "execution_count": 8,
                       "data": {"text/plain": "<object at 0x7f3a2c1d4e50>"}}], {"tags": ["b", "a", "a"]}),
        ("ax.plot(x)\n# alt: One line that rises\n#      from left to right.",
         [figure(png(few_colours(), Software="x"))], {}),
        ("ax.imshow(noise)", [figure(png(noisy))], {}),
        ("loop()", [stream(" 10%|#   | 1/10\r100%|####| 10/10\n"), stream("first\rlast\n")], {}),
        ("   ", [], {}))


def test_normalising_removes_what_changes_by_itself():
    nb = normalise.normalise(messy())
    text = normalise.to_bytes(nb).decode()
    assert [cell["execution_count"] for cell in nb["cells"]] == [1, 2, 3, 4, 5]
    assert nb["cells"][0]["outputs"] == [{"output_type": "stream", "name": "stdout", "text": ["ab\n"]}]
    assert nb["cells"][1]["outputs"][0]["data"]["text/plain"] == ["<object at 0x0>"]
    assert nb["cells"][1]["metadata"] == {"tags": ["a", "b"]}
    assert nb["cells"][2]["metadata"]["mystnb"]["image"]["alt"] == "One line that rises from left to right."
    assert "".join(nb["cells"][4]["outputs"][0]["text"]).strip() == "last"
    for gone in ("stderr", "iopub", "3.99.1", "widgets", "needs_background", "random0", "0x7f3a"):
        assert gone not in text
    assert text.endswith("}\n") and not text.endswith("\n\n")


def test_no_line_is_lost_where_the_kernel_cut_what_a_cell_printed():
    """A newline alone is a piece like any other; what was printed is the same wherever it was cut."""
    printed = "first  1\nsecond 2\n\nthird  3\n"
    for cuts in ([8], [8, 9], [9, 18], list(range(1, len(printed)))):
        pieces = [printed[a:b] for a, b in zip([0, *cuts], [*cuts, len(printed)], strict=True)]
        nb = normalise.normalise(notebook(("f()", [stream(piece) for piece in pieces], {})))
        assert "".join(nb["cells"][0]["outputs"][0]["text"]) == printed
    kept = normalise.normalise(notebook(("f()", [stream("a"), stream("w\n", "stderr"), stream("\n"),
                                                 stream("w\n", "stderr"), stream("b")], {})))
    assert "".join(kept["cells"][0]["outputs"][0]["text"]) == "a\nb"


def test_normalising_twice_changes_nothing():
    once = normalise.to_bytes(normalise.normalise(messy()))
    assert normalise.to_bytes(normalise.normalise(json.loads(once))) == once
    assert normalise.to_bytes(normalise.normalise(json.loads(once), json.loads(once))) == once


def test_an_unchanged_run_again_gives_unchanged_bytes():
    stored = normalise.to_bytes(normalise.normalise(messy()))
    again = messy()
    for cell in again["cells"]:
        cell["execution_count"], cell["id"] = 90, "other"
    again["cells"][1]["outputs"][0]["data"]["text/plain"] = "<object at 0x7f0000000000>"
    assert normalise.to_bytes(normalise.normalise(again, json.loads(stored))) == stored
    again["cells"][0]["outputs"][0]["text"] = "c"
    assert normalise.to_bytes(normalise.normalise(again, json.loads(stored))) != stored


def test_a_picture_with_the_same_pixels_keeps_its_stored_bytes():
    rgb = io.BytesIO()
    Image.fromarray(few_colours()).save(rgb, "png", compress_level=0)  # the same picture by another compressor
    stored = normalise.normalise(notebook(("plot()", [figure(rgb.getvalue())], {})))
    b64 = base64.b64encode(rgb.getvalue()).decode()
    assert stored["cells"][0]["outputs"][0]["data"]["image/png"] == b64
    again = notebook(("plot()", [figure(png(few_colours(), Software="x"))], {}))
    assert normalise.normalise(again, stored) != normalise.normalise(again)
    assert normalise.normalise(again, stored) == stored


def test_cell_ids_are_unique_even_for_equal_cells():
    cells = normalise.normalise(notebook(("x", [], {}), ("x", [], {}), ("y", [], {})))["cells"]
    assert len({cell["id"] for cell in cells}) == 3


def test_pictures_keep_their_pixels_and_lose_their_metadata():
    for pixels in (few_colours(), np.dstack([few_colours(), np.full((40, 60), 255, np.uint8)])):
        before = png(pixels, Software="Matplotlib", Title="secret")
        after = normalise.clean_png(before)
        assert np.array_equal(pixels_of(after), few_colours())
        assert len(after) < len(before) and b"secret" not in after
        assert {name for name, _ in normalise.chunks(after)} == {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
        assert normalise.clean_png(after) == after


def test_palette_only_where_the_eye_sees_no_difference():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (60, 60, 3)).astype(np.uint8)
    assert np.array_equal(pixels_of(normalise.clean_png(png(noise))), noise), "noise in colour cannot be reduced"
    ramp = np.stack([np.broadcast_to(np.linspace(0, 255, 300), (50, 300))] * 3, 2).astype(np.uint8)
    ramp[::2, :, 2] //= 2
    reduced = normalise.clean_png(png(ramp))
    difference = np.abs(pixels_of(reduced).astype(int) - ramp)
    assert b"PLTE" in reduced and 0 < difference.max() <= 30


SVG = ('<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><!-- 1 -->'
       '<metadata><dc:date>2026-11-30</dc:date></metadata>\n<path d="M0 0L1 1"/>\n</svg>\n')


def vector(svg=SVG):
    """Return the output of a cell that shows a plot."""
    return {"output_type": "display_data", "metadata": {}, "data": {"image/svg+xml": svg, "text/plain": "<Figure>"}}


def test_an_svg_loses_its_date_and_names_itself_after_its_alternative_text():
    alt = '# alt: A line "up"\n#      & <beyond>.'
    nb = normalise.normalise(notebook((f"plot()\n{alt}", [vector()], {}), ("plot()", [vector()], {})))
    named, bare = (normalise.text(cell["outputs"][0]["data"]["image/svg+xml"]) for cell in nb["cells"])
    assert named.startswith('<svg role="img" aria-label="A line &quot;up&quot; &amp; &lt;beyond&gt;." xmlns=')
    assert bare == ('<svg role="img" xmlns="http://www.w3.org/2000/svg" width="9" height="9">\n<path d="M0 0L1 1"/>\n'
                    '</svg>\n')
    assert nb["cells"][0]["outputs"][0]["data"]["image/svg+xml"] == named.splitlines(keepends=True), "lines to compare"
    assert normalise.normalise(nb) == nb == normalise.normalise(nb, nb)
    later = notebook((f"plot()\n{alt}", [vector(SVG.replace("11-30", "12-01"))], {}), ("plot()", [vector()], {}))
    assert normalise.normalise(later) == nb, "an unchanged run on another day"


def test_a_sharp_picture_keeps_the_width_that_it_has_on_the_page():
    shown = figure(png(few_colours())) | {"metadata": {"image/png": {"width": 30, "height": 20, "x": 1}, "y": 2}}
    nb = normalise.normalise(notebook(("plot()", [shown], {})))
    assert nb["cells"][0]["outputs"][0]["metadata"] == {"image/png": {"width": 30}}
    assert normalise.normalise(nb) == nb


def test_a_volatile_cell_does_not_keep_an_old_plot():
    def cell(svg):
        return notebook(("plot(took)", [stream("3 s\n"), vector(svg)], {"tags": ["volatile"]}))

    old = normalise.normalise(cell(SVG))
    assert normalise.normalise(cell(SVG), old) == old
    changed = normalise.normalise(cell(SVG.replace("L1 1", "L1 2")), old)
    assert changed["cells"][0]["outputs"][1] != old["cells"][0]["outputs"][1], "only numbers differ, and it is the plot"


def test_a_cell_that_only_draws_is_folded_everywhere_and_opens_again():
    source = "ax.plot(x)\n\nplt.show()\n# alt: One line\n#      that rises."
    (cell,) = (nb := normalise.normalise(notebook((source, [vector()], {"tags": ["draw"]}))))["cells"]
    words = "How this is drawn, 2 lines"
    assert cell["metadata"] == {
        "cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["draw", "hide-input"],
        "mystnb": {"code_prompt_show": words, "code_prompt_hide": words, "image": {"alt": "One line that rises."}}}
    assert normalise.normalise(nb) == nb
    cell["source"] = ["ax.plot(x)"]
    assert "1 line'" in str(normalise.normalise(nb)["cells"][0]["metadata"])
    cell["metadata"]["tags"].remove("draw")
    assert normalise.normalise(nb)["cells"][0]["metadata"] == {"mystnb": {"image": {"alt": "One line that rises."}}}


def test_what_goes_deeper_keeps_its_tag():
    nb = normalise.normalise(notebook(("1", [], {"tags": ["deeper"]})))
    assert nb["cells"][0]["metadata"] == {"tags": ["deeper"]}


def test_a_transparent_picture_is_laid_on_white():
    clear = np.zeros((4, 4, 4), np.uint8)
    assert (pixels_of(normalise.clean_png(png(clear))) == 255).all()


def volatile(text, source="print(took)"):
    """Return a notebook of one volatile cell."""
    return notebook((source, [stream(text)], {"tags": ["volatile"]}))


@pytest.mark.parametrize("text, kept", [("took 3.1 s\n", True), ("took 3.1 min\n", False)])
def test_a_volatile_cell_keeps_its_text_when_only_numbers_changed(text, kept):
    old = normalise.normalise(volatile("took 2.9 s\n"))
    assert (normalise.normalise(volatile(text), old) == old) is kept
    assert normalise.normalise(volatile(text, "print(other)"), old)["cells"][0]["outputs"][0]["text"] == [text]


def test_check_mode_reports_and_leaves_the_file(tmp_path, capsys):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(messy()))
    before = path.read_bytes()
    assert normalise.main(["--check", str(path)]) == 1 and path.read_bytes() == before
    assert "a.ipynb" in capsys.readouterr().out
    assert normalise.main([str(path)]) == 0 and path.read_bytes() != before
    assert normalise.main(["--check", str(path)]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["a.ipynb"]


@pytest.mark.parametrize("source, alt", [
    ("plot()\n# alt: A line.", "A line."), ("plot()\n# alt: A line\n#      that falls.\n", "A line that falls."),
    ("# alt: A line.\nplot()", None), ("plot()", None), ("# alt: first\nplot()\n# alt: second", "second")])
def test_alt_text_is_the_comment_that_ends_the_cell(source, alt):
    assert normalise.alt_text(source) == alt


def test_notebook_text_shows_sources_and_printed_text_but_no_picture():
    text = "\n".join(notebook_text.lines(normalise.normalise(messy())))
    assert "# %% [code] a b" in text and "print(1)" in text and "#> ab" in text and "iVBOR" not in text


def environment(version=(3, 12), free=50.0, needed=8.0, has_venv=True, installer="pip", named=True):
    """Return what preflight says about a machine."""
    return preflight.problem(version, free, needed, has_venv, installer, named)


def test_preflight_says_in_one_line_what_is_in_the_way():
    assert environment() is None
    assert environment(version=(3, 11)) is None and environment(installer="uv", has_venv=False) is None
    old = {"version": (3, 9), "installer": "uv"}
    assert environment(**old, named=False) is None, "uv brings a Python"
    assert "3.9 is too old" in environment(**old, named=True), "but not in the place of the one that was named"
    assert "3.9 is too old" in environment(version=(3, 9), named=False)
    for line, words in ((environment(version=(3, 10)), ("3.10", "3.11")), (environment(version=(2, 7)), ("2.7",)),
                        (environment(free=7.9), ("8 GB", "7.9")),
                        (environment(has_venv=False), ("ensurepip", "python3-venv"))):
        assert all(word in line for word in words) and "\n" not in line


def test_a_new_chapter_that_stopped_before_its_line_is_finished_by_the_same_command(small_book, monkeypatch):
    contents, write = (small_book / "_toc.yml").read_text(), files.write

    def stopped(path, content):
        if path.name == "_toc.yml":
            raise OSError("no room")
        write(path, content)

    monkeypatch.setattr(files, "write", stopped)
    with pytest.raises(OSError, match="no room"):
        new.main("reversal", small_book)
    assert (small_book / "_toc.yml").read_text() == contents
    path = small_book / "chapters" / "04_reversal.ipynb"
    path.write_text(path.read_text() + "\n")  # its reader has begun to write
    before = path.read_bytes()
    monkeypatch.undo()
    assert new.main("reversal", small_book) == path and path.read_bytes() == before
    assert (small_book / "_toc.yml").read_text().count("- file: chapters/04_reversal\n") == 1
    with pytest.raises(SystemExit, match="already a chapter reversal"):
        new.main("reversal", small_book)


def test_chapters_begun_at_once_have_each_their_number_and_their_line(small_book):
    shutil.copytree(chapter.ROOT / "tools", small_book / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    started = [subprocess.Popen([sys.executable, "tools/new.py", f"topic_{k}"], cwd=small_book, stdout=subprocess.PIPE)
               for k in "abcd"]
    assert [process.communicate(timeout=60) and process.returncode for process in started] == [0, 0, 0, 0]
    made = sorted(path.stem for path in (small_book / "chapters").iterdir())
    assert [name[:3] for name in made] == ["03_", "04_", "05_", "06_", "07_"]
    assert book.chapters(small_book) == [f"chapters/{name}" for name in made]


@pytest.mark.parametrize("name", ["_config.yml", "_toc.yml"])
def test_settings_in_another_encoding_are_named_and_nothing_is_written(small_book, name):
    (small_book / name).write_bytes((small_book / name).read_bytes() + b"# \xfc\n")
    with pytest.raises(SystemExit, match=f"{name} is damaged"):
        new.main("reversal", small_book)
    assert [path.name for path in (small_book / "chapters").iterdir()] == ["03_old.ipynb"]


def test_preflight_is_written_for_old_pythons():
    source = (chapter.ROOT / "tools" / "preflight.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 4))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.AnnAssign)]
    assert subprocess.run([sys.executable, str(chapter.ROOT / "tools" / "preflight.py"), "uv", "cpu"]).returncode == 0


@pytest.fixture
def small_book(tmp_path):
    """Return a folder with the settings of the book and one chapter."""
    (tmp_path / "chapters").mkdir()
    for name in ("_config.yml", "pyproject.toml", "CITATION.cff", "README.md"):
        shutil.copy(chapter.ROOT / name, tmp_path / name)
    (tmp_path / "_toc.yml").write_text("root: index\nparts:\n  - caption: Lessons\n    chapters:\n"
                                       "      - file: chapters/03_old\n  - caption: Reference\n    chapters:\n"
                                       "      - file: reference/notation\n")
    (tmp_path / "chapters" / "03_old.ipynb").write_text("{}")
    return tmp_path


def test_a_new_chapter_has_the_next_number_the_template_and_a_line_in_the_contents(small_book):
    path = new.main("Gradient-reversal", small_book)
    assert path.name == "04_gradient_reversal.ipynb"
    toc = (small_book / "_toc.yml").read_text().splitlines()
    assert toc[4:6] == ["      - file: chapters/03_old", "      - file: chapters/04_gradient_reversal"]
    cells = json.loads(path.read_text())["cells"]
    headings = [cell["source"][0][3:].strip() for cell in cells if cell["source"][0].startswith("## ")]
    assert headings == chapter.HEADINGS
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert "".join(code[0]["source"]) == chapter.setup_cell("04_gradient_reversal", book.repository()[0])
    assert "".join(cells[1]["source"]).startswith(chapter.badge("04_gradient_reversal", *book.repository()))
    assert sum(cell["metadata"] == chapter.SOLUTION for cell in code) == 3
    assert sum(cell["metadata"] == chapter.QUESTION for cell in code) == 5
    assert 'key="04"' in "".join("".join(cell["source"]) for cell in code)
    with pytest.raises(SystemExit, match="already"):
        new.main("gradient_reversal", small_book)
    new.main("late", small_book, "9")
    assert new.main("between", small_book, number="07").name == "07_between.ipynb"
    new.main("first", small_book, "1")
    toc = (small_book / "_toc.yml").read_text().splitlines()
    assert toc[4:9] == [f"      - file: chapters/{name}" for name in (
        "01_first", "03_old", "04_gradient_reversal", "07_between", "09_late")]
    with pytest.raises(SystemExit, match="chapter 7 is between; take a number that is free"):
        new.main("other", small_book, "7")
    for wrong in ("0", "100", "x", "-1", ""):
        with pytest.raises(SystemExit, match="CH must be a number from 1 to 99"):
            new.main("other", small_book, wrong)
    for wrong in ("4th", "a" * 300, "../x", "\N{LATIN SMALL LETTER E WITH ACUTE}tude"):
        with pytest.raises(SystemExit, match="slug"):
            new.main(wrong, small_book)
    (small_book / "_toc.yml").write_text("parts:\n")
    with pytest.raises(SystemExit, match="_toc.yml names no chapter"):
        new.main("another", small_book)
    assert not list(small_book.rglob("*another*"))


def test_the_template_executes(small_book, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    scope = {}
    with matplotlib.rc_context():
        for kind, source in new.TEMPLATE:
            if kind in ("c", "draw", "claim", "solution", "question"):
                exec(source.replace("{number}", "04"), scope)
    assert scope["scores"] == [0, 1, 2]


def test_moving_the_repository_rewrites_every_address(small_book):
    old = book.repository()[0]
    (small_book / "chapters" / "03_old.ipynb").unlink()
    made = new.main("moved", small_book)
    url = "https://github.com/someone/a-book"
    changed = repo.main(url + "/", small_book)
    assert {path.name for path in changed} >= {"_config.yml", "pyproject.toml", "CITATION.cff", "README.md", made.name}
    assert book.repository(small_book)[0] == url
    texts = "".join(path.read_text() for path in small_book.rglob("*") if path.is_file())
    assert old not in texts and old.removeprefix("https://") not in texts and "someone.github.io/a-book" in texts
    assert f"git+{url}" in texts and "colab.research.google.com/github/someone/a-book/blob/main" in texts
    assert repo.main(url, small_book) == []
    with pytest.raises(SystemExit, match="URL must look like"):
        repo.main("github.com/someone/a-book", small_book)


def moved_half_way(book, url, after, monkeypatch):
    """Move a book, stopped after so many files."""
    written, write = [], files.write

    def stop(path, content):
        if len(written) == after:
            raise KeyboardInterrupt
        written.append(path)
        write(path, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "write", stop)
        repo.main(url, book)


@pytest.mark.parametrize("after", range(5))
@pytest.mark.parametrize("name", ["what-transfers-2", "what-transfers.js", "other"])
def test_a_move_that_stopped_half_way_is_finished_by_the_same_command(small_book, monkeypatch, after, name):
    (small_book / "chapters" / "03_old.ipynb").unlink()
    new.main("first", small_book)
    owner = book.repository()[0].split("/")[-2]
    whole = small_book.with_name("whole")
    shutil.copytree(small_book, whole)
    url = f"https://github.com/{owner}/{name}"
    assert len(repo.main(url, whole)) == 5
    moved_half_way(small_book, url, after, monkeypatch)
    repo.main(url, small_book)
    for path in whole.rglob("*"):
        assert path.is_dir() or (small_book / path.relative_to(whole)).read_bytes() == path.read_bytes(), path
    shutil.rmtree(whole)


def test_a_move_that_stopped_half_way_may_go_elsewhere(small_book, monkeypatch):
    (small_book / "chapters" / "03_old.ipynb").unlink()
    new.main("first", small_book)
    moved_half_way(small_book, "https://github.com/half/way", 3, monkeypatch)
    repo.main("https://github.com/the/end", small_book)
    texts = "".join(path.read_text() for path in small_book.rglob("*") if path.is_file())
    assert "half/way" not in texts and "half.github.io" not in texts and book.repository()[0] not in texts


def test_a_damaged_file_stops_a_move_before_anything_is_written(small_book):
    (small_book / "chapters" / "03_old.ipynb").unlink()
    made = new.main("first", small_book)
    for path, content in ((made, made.read_bytes()[:500]), (made, b"[]"), (small_book / "README.md", b"\xff\xfe"),
                          (small_book / "_config.yml", b"title: x\n")):
        before = {file: file.read_bytes() for file in small_book.rglob("*") if file.is_file()}
        path.write_bytes(content)
        with pytest.raises(SystemExit, match="damaged"):
            repo.main("https://github.com/someone/a-book", small_book)
        path.write_bytes(before[path])
        assert {file: file.read_bytes() for file in small_book.rglob("*") if file.is_file()} == before


def test_a_move_leaves_other_repositories_alone(small_book):
    (small_book / "chapters" / "03_old.ipynb").unlink()
    made = new.main("first", small_book)
    nb = json.loads(made.read_text())
    nb["cells"][-1]["source"] = "%pip install git+https://github.com/other/tool"
    made.write_text(json.dumps(nb))
    repo.main("https://github.com/someone/a-book", small_book)
    assert "git+https://github.com/other/tool" in made.read_text()


def test_moving_touches_only_the_whole_name():
    for kept in ("https://github.com/a/b.js", "https://a.github.io/b-c/", "https://xa.github.io/b/", "github.com/a/bb"):
        assert repo.rewrite(kept, "https://github.com/a/b", "https://github.com/x/y") == kept
    text = "See https://github.com/a/b. And git+https://github.com/a/b.git"
    assert repo.rewrite(text, "https://github.com/a/b", "https://github.com/x/y") == text.replace("a/b", "x/y")
    text = repo.rewrite("https://github.com/a/b https://github.com/a/b-c", "https://github.com/a/b", "https://github.com/x/y")
    assert text == "https://github.com/x/y https://github.com/a/b-c"
    text = "https://mybinder.org/v2/gh/a/b/main https://mybinder.org/v2/gh/a/b-c/main https://a.github.io/b/"
    assert repo.rewrite(text, "https://github.com/a/b", "https://github.com/x/y") == (
        "https://mybinder.org/v2/gh/x/y/main https://mybinder.org/v2/gh/a/b-c/main https://x.github.io/y/")


def test_recorded_commands_come_from_the_results_once_each(tmp_path):
    folder = tmp_path / "02_general"
    folder.mkdir()
    for name, seconds in (("a", 60.0), ("b", 90.0)):
        (folder / f"{name}.json").write_text(json.dumps({"command": "python -m x --record", "wall_s": seconds}))
    assert record.commands("2", tmp_path) == {"python -m x --record": 90.0}
    assert record.commands("03", tmp_path) == {}
    (folder / "c.json").write_text('{"command": 3}')
    with pytest.raises(SystemExit, match="c.json is damaged"):
        record.commands("02", tmp_path)


def test_only_experiments_of_the_book_are_run(tmp_path):
    for path in (chapter.ROOT / "results").glob("[0-9][0-9]_*/*.json"):
        command = json.loads(path.read_text(encoding="utf-8"))["command"]
        assert record.argument_list(command) == ({}, [sys.executable, *command.split()[1:]])
    assert record.argument_list("TLUTILS_SCALE=full python3 -m tlutils.experiments.anb 'a b' --seeds 0") == (
        {"TLUTILS_SCALE": "full"}, [sys.executable, "-m", "tlutils.experiments.anb", "a b", "--seeds", "0"])


@pytest.mark.parametrize("command", [
    "", "touch x", "python", "python -m", "python -c 'import tlutils.experiments.anb'", "python x.py", "python -m pip",
    "python -m tlutils.experiments", "python -m tlutils.experiments.", "python -m tlutils.experiments.no_such_run",
    "python -m tlutils.experiments.anb.x", "python -m tlutils.experiments/../../x", "python -mtlutils.experiments.anb",
    "python -I -m tlutils.experiments.anb", "/tmp/python -m tlutils.experiments.anb", "sh -m tlutils.experiments.anb",
    "LD_PRELOAD=x python -m tlutils.experiments.anb", "PYTHONPATH=/tmp python -m tlutils.experiments.anb", "'unclosed",
    "TLUTILS_SCALE=full PATH=x python -m tlutils.experiments.anb", "python -m tlutils.experiments.__init__",
    "env python -m tlutils.experiments.anb", "python -m xtlutils.experiments.anb", "TLUTILS_SCALE=full",
    "python\n-c x -m tlutils.experiments.anb"])
def test_any_other_command_of_a_record_is_told_and_not_run(command):
    with pytest.raises(SystemExit, match="no experiment of the book"):
        record.argument_list(command)


def test_a_lock_pins_and_leaves_out_the_package_itself():
    import freeze
    lines = freeze.lock({"Torch": "2.15.0+cpu", "tlutils": "0.1.0", "a_b.c": "1"}).splitlines()
    assert lines[1:] == ["a-b-c==1", "torch==2.15.0"]


@pytest.fixture
def run_here(tmp_path, monkeypatch):
    """Return tools/run.main bound to a folder with one chapter, and the path of that chapter."""
    import run
    path = tmp_path / "chapters" / "05_tiny.ipynb"
    path.parent.mkdir()
    monkeypatch.setattr(chapter, "CHAPTERS", path.parent)
    monkeypatch.delenv("TLUTILS_SCALE", raising=False)

    def execute(*sources):
        path.write_text(json.dumps(notebook(*((source, [], {}) for source in sources))))
        return run.main("05", tmp_path)

    return execute, path


def test_run_executes_in_place_and_records_time_and_memory(run_here, tmp_path):
    execute, path = run_here
    assert execute("x = 40 + 2", "x") == 0
    cells = json.loads(path.read_text())["cells"]
    assert len(cells) == 2 and cells[1]["outputs"][0]["data"]["text/plain"] == ["42"]
    made = json.loads((tmp_path / "results" / "chapters.json").read_text())["05"]
    (key, figures), = made.items()
    assert key.startswith("laptop/") and figures["minutes"] < 2
    assert figures["memory_gb"] > 0.1 and figures["calibration_s"] > 0


def test_a_failed_run_leaves_the_stored_notebook_as_it_was(run_here, tmp_path, capsys):
    execute, path = run_here
    sources = ("1 + 1", "raise RuntimeError('broken on purpose')")
    assert execute(*sources) == 1
    assert json.loads(path.read_text()) == notebook(*((source, [], {}) for source in sources))
    assert "broken on purpose" in capsys.readouterr().err
    assert not (tmp_path / "results").exists() and [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_larger_scale_leaves_the_stored_notebook_as_it_was(run_here, tmp_path, monkeypatch):
    execute, path = run_here
    import run
    assert execute("1") == 0
    stored = path.read_bytes()
    monkeypatch.setenv("TLUTILS_SCALE", "full")
    assert run.main("5", tmp_path) == 0
    assert path.read_bytes() == stored and (tmp_path / "_build" / "full" / path.name).exists()
    assert len(json.loads((tmp_path / "results" / "chapters.json").read_text())["05"]) == 2


def test_a_wrong_chapter_number_is_told():
    for wrong in ("99", "x", "", "\N{SUPERSCRIPT TWO}", "2 3", "-1", "9" * 5000, "1.", "\N{ARABIC-INDIC DIGIT TWO}"):
        with pytest.raises(SystemExit, match="CH must be"):
            chapter.find(wrong)


def test_the_normaliser_does_not_change_what_it_is_given():
    nb = messy()
    before = copy.deepcopy(nb)
    normalise.normalise(nb)
    assert nb == before


@pytest.mark.parametrize("how", ["saved", "removed"])
def test_what_was_saved_while_a_chapter_ran_is_kept(run_here, tmp_path, capsys, monkeypatch, how):
    execute, path = run_here
    import run

    def meanwhile(nb, folder):
        path.write_text('{"saved": "meanwhile"}') if how == "saved" else path.unlink()
        return 1.0, 1.0

    monkeypatch.setattr(run, "execute", meanwhile)
    assert execute("1 + 1") == 1
    assert (path.read_text() == '{"saved": "meanwhile"}') if how == "saved" else not path.exists()
    assert (tmp_path / "_build" / "executed" / path.name).exists() and not (tmp_path / "results").exists()
    assert "saved by someone else while it ran" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"nbformat": 4, "cells": [3]}', b"\xff", b"[" * 50_000,
                                     b'{"nbformat": 4, "cells": [{"cell_type": "code", "metadata": {}, "source": []}]}',
                                     b'{"nbformat": 3, "worksheets": []}', b"<<<<<<< HEAD\n{}"], ids=repr)
def test_a_damaged_notebook_is_named_in_one_line(run_here, tmp_path, content, capsys):
    _, path = run_here
    import run
    path.write_bytes(content)
    for command in (lambda: run.main("05", tmp_path), lambda: normalise.main([str(path)]),
                    lambda: chapter.refresh(path, "https://github.com/a/b"), lambda: build.check(tmp_path)):
        with pytest.raises(SystemExit, match="05_tiny.ipynb is damaged") as told:
            command()
        assert "\n" not in str(told.value) and path.read_bytes() == content
    with pytest.raises(SystemExit, match="cannot be read"):
        normalise.main([str(tmp_path / "no.ipynb")])


def cut_notebooks():
    """Yield a notebook for each part that a cell or an output may lose."""
    printed = stream("one\n")
    error = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]}
    shown = figure(png(few_colours()))
    b64 = shown["data"]["image/png"]
    wrong = [{key: value for key, value in output.items() if key != lost} for output in (printed, error, shown)
             for lost in output if lost != "metadata"]
    wrong += [shown | {"data": {"image/png": cut}} for cut in ("", b64[:len(b64) // 2], b64[:41], "no picture")]
    wrong += [vector(cut) for cut in ("", "no picture", SVG[:80])]
    wrong += ["x", None, printed | {"text": None}, printed | {"text": [None]}, shown | {"data": {"text/plain": 3}}]
    for output in wrong:
        yield notebook(("1", [output], {}))
    yield notebook(("1", [], {"tags": None}))
    yield notebook(("1", [], {"tags": ["a", 1]}))
    yield notebook(([None], [], {}))


def test_a_notebook_with_a_damaged_output_is_named_and_left(tmp_path):
    path = tmp_path / "05_tiny.ipynb"
    for nb in cut_notebooks():
        path.write_text(json.dumps(nb))
        before = path.read_bytes()
        with pytest.raises(SystemExit, match="05_tiny.ipynb is damaged"):
            normalise.main([str(path)])
        assert path.read_bytes() == before


def test_a_damaged_notebook_is_shown_as_it_is_by_git_diff(tmp_path):
    path = tmp_path / "x.ipynb"
    for content in (b'{"cells": [', b"[3]", b'{"cells": [{"no": 1}]}', b"\xc3\xa9"):
        path.write_bytes(content)
        done = subprocess.run([sys.executable, chapter.ROOT / "tools" / "notebook_text.py", path], capture_output=True)
        assert done.returncode == 0 and done.stdout == content


@pytest.mark.parametrize("name, value", [("TLUTILS_SCALE", "huge"), ("TLUTILS_DEVICE", "toaster")])
def test_a_wrong_setting_is_told_in_one_line(run_here, monkeypatch, name, value):
    execute, _ = run_here
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=value) as told:
        execute("1")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("scale, locked", [("laptop", "chapters"), ("laptop", "results"), ("full", "_build")])
def test_a_folder_that_cannot_be_written_is_told_before_a_run(run_here, tmp_path, monkeypatch, scale, locked):
    execute, path = run_here
    for name in ("results", "_build"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TLUTILS_SCALE", scale)
    monkeypatch.setattr(os, "access", lambda folder, how: folder != tmp_path / locked)  # root may write everywhere
    with pytest.raises(SystemExit, match=f"{locked} cannot be written: nothing was run"):
        execute("raise RuntimeError('it ran')")


SAYS = "import files\nwith files.one_line():\n    {}\n"


@pytest.mark.parametrize("does, status, out, err", [
    ("print('\\N{LATIN SMALL LETTER U WITH DIAERESIS}bung \\N{RIGHTWARDS ARROW}')", 0, "\\xfcbung \\u2192\n", ""),
    ("raise KeyboardInterrupt", 130, "", "Stopped.\n"),
    ("open('no/file')", 1, "", "[Errno 2] No such file or directory: 'no/file'\n")], ids=["umlaut", "Ctrl-C", "disk"])
def test_a_command_ends_in_one_line_on_a_terminal_without_umlauts(does, status, out, err):
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "",
                                "PYTHONPATH": str(chapter.ROOT / "tools")}
    done = subprocess.run([sys.executable, "-c", SAYS.format(does)], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)


def test_damaged_run_times_are_named_before_the_chapter_runs(run_here, tmp_path):
    execute, _ = run_here
    times = tmp_path / "results" / "chapters.json"
    times.parent.mkdir()
    for content in ('{"05": {', "[]"):
        times.write_text(content)
        with pytest.raises(SystemExit, match="chapters.json is damaged"):
            execute("raise RuntimeError('it ran')")


def add_times(path, number):
    """Add thirty run times to a file, one after the other."""
    import run
    for k in range(30):
        run.record(path, number, f"laptop/{k}", {"minutes": 1})


def test_run_times_of_two_runs_at_once_are_all_kept(tmp_path):
    path = tmp_path / "results" / "chapters.json"
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=add_times, args=(path, number)) for number in ("02", "03", "04")]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    kept = {number: len(runs) for number, runs in json.loads(path.read_text()).items()}
    assert kept == {"02": 30, "03": 30, "04": 30}
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # stands for a full disk
    try:
        with pytest.raises(OSError, match="not written.*a.ipynb"):
            normalise.write(path, bytes(50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(SystemExit, match="not written.*nowhere"), files.one_line():
        files.write(tmp_path / "nowhere" / "b", b"")


# A stand-in for Jupyter Book: a page a chapter and one that counts them, as slow as it is told.
BUILDER = """
import pathlib, sys, time
html = pathlib.Path(sys.argv[-1], "_build", "html")
(html / "chapters").mkdir(parents=True)
for path in sorted(pathlib.Path("chapters").glob("*.ipynb")):
    (html / "chapters" / path.with_suffix(".html").name).write_text(path.read_text())
    if pathlib.Path("slow").exists():
        pathlib.Path("at work").touch()
        time.sleep(600 if pathlib.Path("slow").read_text() == "for ever" else 1)
if pathlib.Path("broken").exists():
    print(pathlib.Path("broken").read_text())
    sys.exit("a warning that is an error")
if pathlib.Path("picture").exists():
    (html / "chapters" / "picture.html").write_text(pathlib.Path("picture").read_text())
(html / "index.html").write_text(str(len(list(html.glob("chapters/*.html")))))
"""


@pytest.fixture
def site(tmp_path):
    """Return a function that builds a book of two chapters, and its folder."""
    (tmp_path / "chapters").mkdir()
    (tmp_path / "_config.yml").write_text("title: Two\n")
    (tmp_path / "_toc.yml").write_text("root: index\n")
    for name in ("01_one", "02_two"):
        cell = {"cell_type": "markdown", "metadata": {}, "source": f"# {name}"}
        (tmp_path / "chapters" / f"{name}.ipynb").write_text(json.dumps({"nbformat": 4, "cells": [cell]}))
    return lambda: build.main(tmp_path, [sys.executable, "-c", BUILDER]), tmp_path


def shown(folder):
    """Return {page: text} of a built site."""
    html = folder / "_build" / "html"
    return {path.relative_to(html).as_posix(): path.read_text() for path in html.rglob("*") if path.is_file()}


def inode(folder):
    """Return what tells one built site from the next."""
    return (folder / "_build" / "html").stat().st_ino, (folder / "_build" / "html").stat().st_ctime_ns


def test_the_book_is_built_when_the_content_of_a_source_changed_and_only_then(site):
    make, folder = site
    assert make() == 0 and set(shown(folder)) == {"index.html", "chapters/01_one.html", "chapters/02_two.html"}
    first = inode(folder)
    one = folder / "chapters" / "01_one.ipynb"
    os.utime(one)
    (folder / "chapters" / ".ipynb_checkpoints").mkdir()
    (folder / "chapters" / ".ipynb_checkpoints" / "x.ipynb").touch()
    assert make() == 0 and inode(folder) == first, "a date is no change"
    one.write_text(one.read_text().replace("# 01_one", "# XYZZY"))
    os.utime(one, (1, 1))
    assert make() == 0 and "XYZZY" in shown(folder)["chapters/01_one.html"], "an old date hides no change"
    (folder / "chapters" / "02_two.ipynb").unlink()
    assert make() == 0 and set(shown(folder)) == {"index.html", "chapters/01_one.html"}
    (folder / "_build" / "html" / "chapters" / "01_one.html").unlink()
    assert make() == 0 and "chapters/01_one.html" in shown(folder), "a page that was lost comes back"
    assert sorted(path.name for path in (folder / "_build").iterdir()) == ["built.json", "html"]


def test_a_site_that_lacks_a_picture_is_not_called_built(site, capsys):
    make, folder = site
    html = folder / "_build" / "html"
    (folder / "picture").write_text('<img alt="" src="../_images/b.png?v=1"><img src="data:image/png;base64,AAAA">')
    assert make() == 1 and "_images/b.png" in capsys.readouterr().err
    assert build.missing(html) == ["_images/b.png"] and not (folder / "_build" / "built.json").exists()
    (html / "_images").mkdir()
    (html / "_images" / "b.png").touch()
    assert build.missing(html) == []
    (folder / "picture").unlink()
    assert make() == 0 and "picture.html" not in shown(folder)


def test_a_build_that_fails_leaves_the_last_book(site, capsys):
    make, folder = site
    (folder / "broken").touch()
    assert make() == 1 and not (folder / "_build" / "html").exists()
    (folder / "broken").unlink()
    assert make() == 0
    before = shown(folder)
    (folder / "broken").touch()
    (folder / "chapters" / "02_two.ipynb").unlink()
    assert make() == 1 and shown(folder) == before
    assert "_build/html is the one built before" in capsys.readouterr().err
    (folder / "broken").write_text("Traceback:\nOSError: [Errno 28] No space left: 'x.html'\nRuntimeError: \n")
    assert make() == 1 and shown(folder) == before
    out, err = capsys.readouterr()
    assert "No space" not in out
    assert err.startswith("The book was not built: [Errno 28] No space left: 'x.html'; _build/html")
    (folder / "broken").unlink()
    assert make() == 0 and shown(folder)["index.html"] == "1"
    (folder / "results").mkdir()
    (folder / "results" / "chapters.json").write_text("{")
    with pytest.raises(SystemExit, match="chapters.json is damaged"):
        make()


@pytest.mark.parametrize("name", ["_config.yml", "_toc.yml", "chapters/needs.yml", "references.bib", "reference/a.md"])
def test_a_damaged_setting_or_page_is_named_before_the_book_is_built(site, name):
    make, folder = site
    (folder / name).parent.mkdir(exist_ok=True)
    yaml = name.endswith(".yml")
    for content in (b"\xfc: 1\n", *([b"", b"a: [\n", b"\tb: 1\n", b"- a\n"] if yaml else [])):
        (folder / name).write_bytes(content)
        with pytest.raises(SystemExit, match=f"{name} is damaged") as told:
            make()
        assert "\n" not in str(told.value) and not (folder / "_build" / "html").exists()
    (folder / name).write_bytes(b"\xc3\xbc: 1\n")
    assert make() == 0
    if name.startswith("_"):
        (folder / name).unlink()
        with pytest.raises(SystemExit, match=f"{name} cannot be read"):
            make()


def started(folder):
    """Start a build of the stand-in in a process group of its own, and wait until it writes."""
    code = f"import build, sys; sys.exit(build.main({str(folder)!r}, [sys.executable, '-c', {BUILDER!r}]))"
    environment = os.environ | {"PYTHONPATH": str(chapter.ROOT / "tools")}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.time() + 60
    while not (folder / "at work").exists() and time.time() < deadline:
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_a_build_that_is_stopped_leaves_the_last_book_and_the_next_one_is_whole(site, how):
    make, folder = site
    assert make() == 0
    before = shown(folder)
    (folder / "chapters" / "02_two.ipynb").unlink()
    (folder / "slow").write_text("for ever")
    process = started(folder)
    os.killpg(process.pid, how)
    said = process.communicate(timeout=60)[0]
    assert shown(folder) == before and (how != signal.SIGINT or "Stopped" in said)
    (folder / "slow").unlink()
    assert make() == 0 and set(shown(folder)) == {"index.html", "chapters/01_one.html"}
    assert sorted(path.name for path in (folder / "_build").iterdir()) == ["built.json", "html"]


def test_stopped_between_the_old_and_the_new_book_the_next_build_mends_it(site):
    make, folder = site
    assert make() == 0
    (folder / "_build" / "html").rename(folder / "_build" / ".last")
    assert make() == 0 and shown(folder)["index.html"] == "2"


def test_a_build_folder_that_cannot_be_written_is_told_in_one_line(site, monkeypatch):
    make, folder = site
    (folder / "_build").mkdir()
    mkdir = type(folder).mkdir

    def refused(path, *words, **more):
        if path.parent.name == "_build":  # root, who may run the tests, may write everywhere
            raise PermissionError(13, "Permission denied", str(path))
        mkdir(path, *words, **more)

    monkeypatch.setattr(type(folder), "mkdir", refused)
    with pytest.raises(SystemExit, match="Permission denied.*_build"), files.one_line():
        make()
    assert not (folder / "at work").exists()


def test_two_builds_at_once_take_turns(site):
    make, folder = site
    (folder / "slow").write_text("a little")
    first, second = started(folder), started(folder)
    said = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0] and shown(folder)["index.html"] == "2"
    assert "waiting for it" in "".join(said) and "Traceback" not in "".join(said)


def test_a_build_whose_parent_was_killed_ends_before_the_next_begins(site, capsys):
    make, folder = site
    (folder / "slow").write_text("a little")
    process = started(folder)
    process.kill()
    process.wait()
    (folder / "slow").unlink()
    assert make() == 0 and "waiting for it" in capsys.readouterr().out and shown(folder)["index.html"] == "2"
    process.stdout.close()
    assert sorted(path.name for path in (folder / "_build").iterdir()) == ["built.json", "html"]


def test_the_book_is_served_to_this_machine_alone(tmp_path):
    with pytest.raises(SystemExit, match="make book"):
        serve.main("8000", tmp_path)
    (tmp_path / "index.html").write_text("the book")
    for wrong in ("", "x", "0", "65536", "-1", "8000.5", "\N{SUPERSCRIPT TWO}"):
        with pytest.raises(SystemExit, match="PORT must be a number"):
            serve.main(wrong, tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"Port {port} cannot be used"):
            serve.main(str(port), tmp_path)
    code = f"import serve; serve.main('{port}', {str(tmp_path)!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=os.environ | {"PYTHONPATH": str(chapter.ROOT / "tools")})
    assert f"http://localhost:{port}" in process.stdout.readline()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        assert answer.read() == b"the book"
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", port)) != 0, "it listens at 127.0.0.1, not everywhere"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in err


@pytest.fixture
def make_here(tmp_path):
    """Return a function that runs the book's Makefile with a Python that only prints its words, and its folder."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(chapter.ROOT / name, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && echo starts && exit\n'
                      'echo "$TLUTILS_SCALE" >&2; printf "<%s>" "$@"\n')
    python.chmod(0o755)
    shell = 'touch ".venv/ready-$(cat requirements.txt pyproject.toml | cksum | cut -d" " -f1)"'
    subprocess.run(shell, shell=True, cwd=tmp_path, check=True)

    def make(*words):
        clean = {key: value for key, value in os.environ.items()
                 if key not in ("MAKEFLAGS", "MAKELEVEL", "CH", "NAME", "URL", "PORT", "SCALE", "REQUIREMENTS")}
        done = subprocess.run(["make", "-s", *words], cwd=tmp_path, env=clean | {"UV": "false"}, capture_output=True,
                              text=True)
        return done.returncode, done.stdout, done.stderr

    return make, tmp_path


@pytest.mark.parametrize("command, name, tool", [("new", "NAME", "new"), ("run", "CH", "run"), ("repo", "URL", "repo"),
                                                 ("results", "CH", "record"), ("serve", "PORT", "serve")])
def test_what_follows_a_variable_of_make_is_one_word_whatever_stands_in_it(make_here, command, name, tool):
    make, folder = make_here
    for value in ("02", "02 03", "a'b", 'a"b', "x; touch PWNED", "`touch PWNED`", "*", "a&b|c", "#1", ""):
        assert make(command, f"{name}={value}")[:2] == (0, f"<tools/{tool}.py><{value}>")
    assert not (folder / "PWNED").exists()
    assert make("run", "CH=02", "SCALE=full large")[2] == "full large\n"


def test_chapters_of_an_environment_are_several_words(make_here):
    make, _ = make_here
    status, out, _ = make("test-oldest", "CH=02 03", "ENVIRONMENTS=/some place")
    assert (status, out) == (0, "<tools/environments.py><oldest><--at></some place><02><03>")


def test_a_lock_that_was_not_written_yet_is_told_in_one_line(make_here):
    make, folder = make_here
    status, out, err = make("report", "REQUIREMENTS=requirements.lock")
    assert status and not out and len(err.splitlines()) == 1
    assert "There is no requirements.lock here; make freeze" in err
    assert make("help", "REQUIREMENTS=requirements.lock")[0] == 0


def test_make_begins_an_experiment_or_a_chapter_with_a_number_and_lists_recorded_runs(make_here):
    make, folder = make_here
    assert make("new", "EXPERIMENT=x; touch PWNED", "CH=02")[:2] == (
        0, "<tools/new_experiment.py><x; touch PWNED><02>")
    assert make("new", "NAME=a b", "CH=1 0")[:2] == (0, "<tools/new.py><a b><1 0>")
    assert make("results", "CH=02", "LIST=1")[:2] == (0, "<tools/record.py><02><--list>")
    assert make("test", "CH=`touch PWNED`")[:2] == (0, "<tools/one_chapter.py><`touch PWNED`>")
    assert not (folder / "PWNED").exists()


def test_an_experiment_from_the_template_runs_and_is_refused_twice(tmp_path):
    for folder in ("tlutils/experiments", "tests/experiments"):
        (tmp_path / folder).mkdir(parents=True)
    experiment, test = new_experiment.main("label_noise", "02", tmp_path)
    assert test.name == "test_label_noise.py" and "general_to_specific" in experiment.read_text()
    spec = importlib.util.spec_from_file_location("label_noise", experiment)
    module = importlib.util.module_from_spec(spec)
    sys.modules["label_noise"] = module
    try:
        spec.loader.exec_module(module)
        tiny = dataclasses.replace(module.LAPTOP, n_train=40, n_test=30, steps=2)
        assert [row["method"] for row in module.run(tiny, 0)] == ["batchnorm", "plain"]
        assert set(module.EXPERIMENT.describe(tiny)["parts"]) == {"texture"}
    finally:
        del sys.modules["label_noise"]
    compile(test.read_text(), str(test), "exec")
    with pytest.raises(SystemExit, match="there is already tlutils/experiments/label_noise.py"):
        new_experiment.main("label_noise", "02", tmp_path)
    for wrong in ("Label", "a-b", "../x", "class", "1x", ""):
        with pytest.raises(SystemExit, match="EXPERIMENT must be a name"):
            new_experiment.main(wrong, "02", tmp_path)
    with pytest.raises(SystemExit, match="CH must be the number"):
        new_experiment.main("other", "77", tmp_path)


def test_the_tests_of_one_chapter_are_its_text_its_experiments_and_its_notebook():
    text, experiments, notebook = one_chapter.commands(chapter.find("02"))
    assert text[1:] == ["-k", "02_general_to_specific"] and notebook[-1].endswith("02_general_to_specific.ipynb")
    assert [Path(test).name for test in experiments] == ["test_anb.py"]
    ran = []

    def run(words, **_):
        ran.append(words)
        return subprocess.CompletedProcess(words, 1 if len(ran) == 2 else 0)

    assert one_chapter.main("2", run) == 1 and len(ran) == 2
    with pytest.raises(SystemExit, match="CH must be the number"):
        one_chapter.main("77", run)


def test_a_wrong_address_gets_the_page_of_the_book(tmp_path):
    (tmp_path / "index.html").write_text("the book")
    (tmp_path / "404.html").write_text("not here")
    handler = functools.partial(serve.Handler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert urllib.request.urlopen(f"{address}/index.html").read() == b"the book"
        with pytest.raises(urllib.error.HTTPError) as wrong:
            urllib.request.urlopen(f"{address}/nothing.html")
        assert wrong.value.code == 404 and wrong.value.read() == b"not here"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status, ci, passes", [(0, "", True), (5, "", True), (5, "true", False), (1, "", False)])
def test_skipped_browser_tests_fail_nothing_except_in_ci(status, ci, passes):
    makefile = (chapter.ROOT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\t.* tests/test_site.*$", makefile, re.M)
    assert line.endswith("tests/test_site*.py || $(NO_BROWSER)")
    words = re.search(r"^NO_BROWSER = (.*)$", makefile, re.M).group(1).replace("$$", "$")
    done = subprocess.run(["sh", "-c", f"(exit {status}) || {words}"], env=os.environ | {"CI": ci})
    assert (done.returncode == 0) is passes


def test_the_makefile_asks_for_the_python_that_preflight_wants_and_starts_no_script_by_its_place():
    makefile = (chapter.ROOT / "Makefile").read_text(encoding="utf-8")
    major, minor = preflight.OLDEST
    assert f"'>={major}.{minor}'" in makefile and f"sys.version_info < ({major}, {minor})" in makefile
    assert set(re.findall(r"\.venv/bin/([\w-]+)", makefile)) == {"python"}, "scripts die when the folder moves"
    assert "--seed" in makefile and "export PYTHONPATH := $(CURDIR)" in makefile
