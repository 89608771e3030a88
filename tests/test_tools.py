"""The Makefile's helpers: preflight, normaliser, run, new, repo, record, freeze, notebook_text."""
import ast
import base64
import copy
import io
import json
import shutil
import subprocess
import sys

import chapter
import new
import normalise
import notebook_text
import numpy as np
import preflight
import pytest
import record
import repo
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


def environment(version=(3, 12), free=50.0, needed=8.0, has_venv=True, installer="pip"):
    """Return what preflight says about a machine."""
    return preflight.problem(version, free, needed, has_venv, installer)


def test_preflight_says_in_one_line_what_is_in_the_way():
    assert environment() is None
    assert environment(version=(3, 11)) is None and environment(installer="uv", has_venv=False) is None
    for line, words in ((environment(version=(3, 10)), ("3.10", "3.11")), (environment(version=(2, 7)), ("2.7",)),
                        (environment(free=7.9), ("8 GB", "7.9")),
                        (environment(has_venv=False), ("ensurepip", "python3-venv"))):
        assert all(word in line for word in words) and "\n" not in line


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
    (tmp_path / "_toc.yml").write_text("parts:\n    chapters:\n      - file: chapters/03_old\n  - caption: Reference\n"
                                       "    chapters:\n      - file: reference/notation\n")
    (tmp_path / "chapters" / "03_old.ipynb").write_text("{}")
    return tmp_path


def test_a_new_chapter_has_the_next_number_the_template_and_a_line_in_the_contents(small_book):
    path = new.main("Gradient-reversal", small_book)
    assert path.name == "04_gradient_reversal.ipynb"
    toc = (small_book / "_toc.yml").read_text().splitlines()
    assert toc[2:4] == ["      - file: chapters/03_old", "      - file: chapters/04_gradient_reversal"]
    cells = json.loads(path.read_text())["cells"]
    headings = [cell["source"][0][3:].strip() for cell in cells if cell["source"][0].startswith("## ")]
    assert headings == chapter.HEADINGS
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert "".join(code[0]["source"]) == chapter.setup_cell("04_gradient_reversal", chapter.repository()[0])
    assert "".join(cells[1]["source"]).startswith(chapter.badge("04_gradient_reversal", *chapter.repository()))
    assert sum(cell["metadata"] == chapter.SOLUTION for cell in code) == 3
    assert sum(cell["metadata"] == chapter.QUESTION for cell in code) == 5
    assert 'key="04"' in "".join("".join(cell["source"]) for cell in code)
    with pytest.raises(SystemExit, match="already"):
        new.main("gradient_reversal", small_book)
    with pytest.raises(SystemExit, match="slug"):
        new.main("4th", small_book)


def test_the_template_executes(small_book, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    scope = {}
    for kind, source in new.TEMPLATE:
        if kind in ("c", "claim", "solution", "question"):
            exec(source.replace("{number}", "04"), scope)
    assert scope["scores"] == [0, 1, 2]


def test_moving_the_repository_rewrites_every_address(small_book):
    old = chapter.repository()[0]
    (small_book / "chapters" / "03_old.ipynb").unlink()
    made = new.main("moved", small_book)
    url = "https://github.com/someone/a-book"
    changed = repo.main(url + "/", small_book)
    assert {path.name for path in changed} >= {"_config.yml", "pyproject.toml", "CITATION.cff", "README.md", made.name}
    assert chapter.repository(small_book / "_config.yml")[0] == url
    texts = "".join(path.read_text() for path in small_book.rglob("*") if path.is_file())
    assert old not in texts and old.removeprefix("https://") not in texts and "someone.github.io/a-book" in texts
    assert f"git+{url}" in texts and "colab.research.google.com/github/someone/a-book/blob/main" in texts
    assert repo.main(url, small_book) == []
    with pytest.raises(SystemExit, match="URL must look like"):
        repo.main("github.com/someone/a-book", small_book)


def test_moving_touches_only_the_whole_name():
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
    assert record.argument_list("A=1 python -m x 'a b'") == (["A=1"], [sys.executable, "-m", "x", "a b"])


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
    for wrong in ("99", "x", ""):
        with pytest.raises(SystemExit, match="CH must be"):
            chapter.find(wrong)


def test_the_normaliser_does_not_change_what_it_is_given():
    nb = messy()
    before = copy.deepcopy(nb)
    normalise.normalise(nb)
    assert nb == before
