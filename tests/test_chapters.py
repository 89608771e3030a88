"""The chapters as stored: template, figures, solutions, and numbers in prose that come from outputs."""
import ast
import base64
import gzip
import json
import re

import book
import chapter
import normalise
import numpy as np
import pytest
from book import code_cells, is_question, is_solution, load, plain, tags

PATHS = chapter.paths()
every_chapter = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)

PICTURES = ("image/svg+xml", "image/png", "image/webp", "image/jpeg")
TAGS = {"setup", "volatile", "nbval-check-output", "hide-cell", "quiz", "remove-input", "draw", "hide-input", "deeper"}
HTML = {"details", "summary", "br", "sub", "sup", "b", "i", "em", "strong"}
UNIT = r"%|percent\b|per cent\b|(?:percentage )?points?\b"
PROSE_NUMBER = re.compile(rf"(?<![\w.,])(\d{{1,3}}(?:,\d{{3}})+|\d+)(\.\d+)?(?![\d]|\.\d)(\s?(?:{UNIT}))?")
REFERENCE = re.compile(r"(?:[Ss]ections?|[Ee]qs?\.?|[Ee]quations?|[Ff]igs?\.?|[Ff]igures?|[Tt]ables?|[Cc]hapters?|"
                       r"[Vv]ersion|CC BY|Python|arXiv:?)\s*$")
ANY_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")


def words_of(question):
    """Return what a question says: the strings of its source, one a line."""
    strings = [node.value for node in ast.walk(ast.parse(question["source"]))
               if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join(strings)


def printed(cell):
    """Return the text that a cell printed or showed."""
    parts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        parts.append(normalise.text(output.get("text", "")) or normalise.text(data.get("text/plain", "")))
    return "\n".join(parts)


def images(cell):
    """Return the figures that a cell shows, of every kind, as they are sent: an SVG compressed."""
    found = []
    for output in cell.get("outputs", []):
        kinds = {mime: normalise.text(value) for mime, value in output.get("data", {}).items() if mime in PICTURES}
        assert len(kinds) <= 1, f"one figure in {sorted(kinds)}: which one would the page show?"
        found += [gzip.compress(value.encode()) if mime == "image/svg+xml" else base64.b64decode(value)
                  for mime, value in kinds.items()]
    return found


# bytes of a figure; a sharp picture has four pixels for each one of the page. The page's weight is tested on the site.
PLOT, SHARP = 30_000, 60_000


def faults_of_figures(cells):
    """Return what is wrong with the figures of a chapter: none at all, too large, not described."""
    drawn = [cell for cell in code_cells(cells) if images(cell) and not re.search(r"\bexplore\(", cell["source"])]
    faults = [] if drawn else ["no figure at all"]
    alts = [cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "") for cell in drawn]
    for cell, alt in zip(drawn, alts, strict=True):
        where, sizes = cell["source"][:50], [len(image) for image in images(cell)]
        faults += [f"{len(sizes)} figures in one cell: {where}"] * (len(sizes) > 1)
        sharp = any(output.get("metadata", {}).get("image/png", {}).get("width") for output in cell["outputs"])
        faults += [f"{size} bytes: {where}" for size in sizes if size > (SHARP if sharp else PLOT)]
        faults += [f"no alternative text of 30 letters: {where}"] * (len(alt) < 30)
        faults += [f"the alternative text of another figure: {where}"] * (alts.count(alt) > 1)
    return faults


def headings(cells, level="##"):
    """Return (index of the cell, text) of the headings of one level, fenced code left out."""
    found = []
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            text = re.sub(r"```.*?```", "", cell["source"], flags=re.S)
            found += [(i, line[len(level) + 1:].strip()) for line in text.splitlines() if line.startswith(level + " ")]
    return found


def section(cells, name):
    """Return the cells of the section whose heading begins with `name`, up to the next required section."""
    starts = [i for i, text in headings(cells) if text.startswith(name)]
    later = [i for i, text in headings(cells) if any(text.startswith(h) for h in chapter.HEADINGS) and i > starts[0]]
    return cells[starts[0]:(later or [len(cells)])[0]]


def list_items(text):
    """Return the items of the lists in a markdown text, first lines only."""
    return re.findall(r"^(?:[-*]|\d+\.) +(.*)$", text, re.M)


def prose_numbers(text):
    """Return the measured-looking numbers of a markdown text: those with a decimal point, a percent sign or points.

    Each is (as written, value, decimals, whether it is a percentage or points).
    """
    text, found = plain(text), []
    for match in PROSE_NUMBER.finditer(text):
        whole, decimals, unit = match.groups()
        if (decimals or unit) and not REFERENCE.search(text[:match.start()]):
            written = whole + (decimals or "")
            found.append((written, float(written.replace(",", "")), len(decimals or ".") - 1, bool(unit)))
    return found


def backed(value, decimals, percent, pool):
    """Return whether some number of the pool, rounded to the digits written, is the value."""
    half = 0.5 * 10**-decimals + 1e-9
    return any(abs(x * factor - value) <= half for x in pool for factor in ((1, 100) if percent else (1,)))


def numbers_in(text):
    """Return all numbers of a text."""
    return [float(number.replace(",", "")) for number in ANY_NUMBER.findall(text)]


def published_numbers(cells):
    """Return the values of the published records that a chapter loads."""
    code = "\n".join(cell["source"] for cell in code_cells(cells))
    keys = re.findall(r"published\(\s*\"([\w]+)\"", code)
    loaded = [(chapter.ROOT / "results" / "published" / f"{key}.json").read_text(encoding="utf-8") for key in keys]
    return [number for text in loaded for number in numbers_in(json.dumps(json.loads(text)["values"]))]


def unbacked(cells):
    """Return the numbers in prose that no output, no code, no published record and no declaration holds."""
    pool = published_numbers(cells)
    for cell in code_cells(cells):
        if not is_question(cell):
            pool += numbers_in(printed(cell)) + numbers_in(re.sub(r"#.*", "", cell["source"]))
    missing, skip = [], False
    for cell in cells:
        if cell["cell_type"] != "markdown" and not is_question(cell):
            continue
        text = words_of(cell) if is_question(cell) else cell["source"]
        if heading := [h for h in chapter.HEADINGS if re.search(rf"^## {h}", text, re.M)]:
            skip = heading[-1] == "References"
        if skip:
            continue
        if "The equation" in heading:
            text = re.sub(r"^\|.*$", "", text, flags=re.M)
        declared = cell["metadata"].get("numbers", {})
        for written, value, decimals, percent in prose_numbers(text):
            if len(declared.get(written, "")) < 10 and not backed(value, decimals, percent, pool):
                missing.append(written)
    return missing


def test_the_table_of_contents_names_every_chapter_and_only_chapters_that_exist():
    named = book.chapters()
    assert named, "_toc.yml names no chapter"
    assert named == sorted(f"chapters/{path.stem}" for path in PATHS)
    numbers = [int(path.stem[:2]) for path in PATHS]  # a chapter may come before the ones that it can do without
    assert numbers[0] == 1 and len(set(numbers)) == len(numbers)


@every_chapter
def test_stored_in_normal_form(path):
    stored = path.read_bytes()
    assert normalise.to_bytes(normalise.normalise(json.loads(stored))) == stored, "run  make normalise"


@every_chapter
def test_title_thesis_badge_and_time(path):
    cells = load(path)
    title, thesis = (part.strip() for part in cells[0]["source"].split("\n\n")[:2])
    assert re.fullmatch(r"# \S.*", title)
    assert 5 <= len(plain(thesis).split()) <= 40, "the thesis is one sentence, at most 40 words"
    assert thesis.strip("*_ ")[-1] in ".?!"
    url, branch = book.repository()
    lines = cells[1]["source"].splitlines()
    assert lines[0] == chapter.badge(path.stem, url, branch)
    minutes = re.search(r"(\d+) minutes? on two CPU cores", cells[1]["source"])
    assert minutes and "GPU" in cells[1]["source"], "say the minutes on two CPU cores and on a GPU"
    assert int(minutes.group(1)) <= 3
    times = chapter.ROOT / "results" / "chapters.json"
    measured = json.loads(times.read_text()).get(path.stem[:2], {}).get("laptop/cpu") if times.exists() else None
    if measured:
        told = int(minutes.group(1))
        assert measured["minutes"] / 2.5 <= told <= max(1, measured["minutes"] * 2.5), (
            f"the page says {told} min, results/chapters.json {measured['minutes']}: correct one, or run undisturbed")


@every_chapter
def test_set_up_cell_is_the_same_everywhere(path):
    first = code_cells(load(path))[0]
    assert first["source"] == chapter.setup_cell(path.stem, book.repository()[0])
    assert tags(first) == ["setup", "volatile"]
    assert "device:" in printed(first)


@every_chapter
def test_sections_stand_in_the_order_of_the_template(path):
    texts = [text for _, text in headings(load(path))]
    found = [name for text in texts for name in chapter.HEADINGS if re.match(rf"{name}\b", text)]
    assert found == list(chapter.HEADINGS)
    assert len(headings(load(path), "#")) == 1


@every_chapter
def test_prediction_objectives_and_summary(path):
    cells = load(path)
    text = {name: "\n\n".join(cell["source"] for cell in section(cells, name) if cell["cell_type"] == "markdown")
            for name in ("What you will be able to do", "Predict first", "The equation", "Summary", "References")}
    assert 3 <= len(list_items(text["What you will be able to do"])) <= 5
    assert [item[:6] for item in list_items(text["Predict first"])] == ["**A.**", "**B.**", "**C.**"]
    assert "$" in text["The equation"]
    assert re.search(r"^\|\s*:?-", text["The equation"], re.M), "the equation has a table of symbols"
    assert len(list_items(text["Summary"])) == 5
    references = list_items(text["References"])
    assert references and all("](http" in item for item in references)


@every_chapter
def test_every_cell_ran_in_order_without_errors(path):
    cells = load(path)
    assert [cell["execution_count"] for cell in code_cells(cells)] == list(range(1, len(code_cells(cells)) + 1))
    outputs = [output for cell in code_cells(cells) for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]


@every_chapter
def test_every_code_cell_is_announced(path):
    cells = load(path)
    bare = [i for i, cell in enumerate(cells) if cell["cell_type"] == "code" and cells[i - 1]["cell_type"] == "code"
            and not is_solution(cell)]
    assert not bare, f"cells {bare} follow a code cell without a word"


@every_chapter
def test_claims_are_checked_and_coarse(path):
    cells = load(path)
    checked = [cell for cell in code_cells(cells) if "nbval-check-output" in tags(cell)]
    assert any(cell in checked for cell in section(cells, "Claims")), "no checked cell under Claims"
    for cell in code_cells(cells):
        calls = bool(re.search(r"(?<![\w.])(?:results\.|tlutils\.results\.)?claim\(", cell["source"]))
        calls |= "each=True" in cell["source"]         # every seed of a record, in whole per cent
        assert (cell in checked) == (calls and not is_solution(cell)), cell["source"][:60]
    for cell in checked:
        shown = printed(cell)
        assert shown.strip(), "a claim without output checks nothing"
        assert "DOES NOT HOLD" not in shown
        assert "each=True" in cell["source"] or not re.search(r"\d\.\d", shown), "a claim prints words, no raw float"
        assert {output["output_type"] for output in cell["outputs"]} == {"stream"}


@every_chapter
def test_exercises_have_folded_executed_solutions(path):
    cells = load(path)
    part = section(cells, "Exercises")
    starts = [i for i, text in headings(part, "###") if text.startswith("Exercise")]
    assert len(starts) >= 3
    for start, end in zip(starts, [*starts[1:], len(part)], strict=True):
        solutions = [cell for cell in part[start:end] if is_solution(cell)]
        assert solutions, part[start]["source"][:60]
        assert any(cell["outputs"] for cell in solutions), "a solution shows something"
    for cell in code_cells(cells):
        if is_question(cell):
            assert cell["metadata"] == chapter.QUESTION | cell["metadata"], cell["source"][:60]
            continue
        if "draw" in tags(cell):
            continue  # folded by the normaliser
        folded = ("hide-cell" in tags(cell), cell["metadata"].get("cellView") == "form",
                  cell["metadata"].get("jupyter", {}).get("source_hidden") is True)
        assert set(folded) == {is_solution(cell)}, f"folded in some places only: {cell['source'][:40]}"


@every_chapter
def test_questions_answer_on_the_page_and_the_prediction_comes_back(path):
    cells = load(path)
    questions = [cell for cell in code_cells(cells) if is_question(cell)]
    calls = {name: [q for q in questions if re.search(rf"^{name}\(", q["source"], re.M)]
             for name in ("predict", "choose", "choose_all", "number")}
    assert sum(map(len, calls.values())) == len(questions)
    for question in questions:
        data = question["outputs"][0]["data"]
        assert "class=\"quiz\"" in normalise.text(data["text/html"]) and "text/plain" in data
    (first,) = calls["predict"]
    assert first in section(cells, "Predict first") and f'key="{path.stem[:2]}"' in first["source"]
    (second,) = [q for q in calls["choose"] if q in section(cells, "Back to the prediction")]
    assert f'key="{path.stem[:2]}"' in second["source"]
    graded = [q for q in questions if q not in (first, second)]
    assert len(graded) >= 3 and all(calls[name] for name in ("choose", "choose_all", "number"))


@every_chapter
def test_figures_are_few_small_and_described(path):
    assert faults_of_figures(load(path)) == []


def drawing(mime, content, alt="A line that rises from left to right.", copies=1):
    """Return a cell that shows a figure of one kind."""
    output = {"output_type": "display_data", "metadata": {}, "data": {mime: content, "text/plain": "<Figure>"}}
    return {"cell_type": "code", "source": f"plot({content[:9]!r})", "outputs": [output] * copies,
            "metadata": {"mystnb": {"image": {"alt": alt}}}}


KINDS = [("image/svg+xml", "<svg></svg>"), ("image/png", "iVBORw0KGgo="), ("image/webp", "UklGRg==")]


@pytest.mark.parametrize("mime, content", KINDS)
def test_a_figure_of_every_kind_is_seen(mime, content):
    assert faults_of_figures([drawing(mime, content)]) == []
    assert faults_of_figures([drawing(mime, content, alt="")])[0].startswith("no alternative text")
    assert faults_of_figures([drawing(mime, content, copies=2)])[0].startswith("2 figures in one cell")
    noise = base64.b64encode(np.random.default_rng(0).bytes(40_000)).decode()
    assert "bytes: plot" in faults_of_figures([drawing(mime, noise)])[0]


def test_a_chapter_without_a_figure_is_told():
    assert faults_of_figures([{"cell_type": "code", "source": "1", "outputs": [], "metadata": {}}]) == [
        "no figure at all"]


@every_chapter
def test_a_cell_that_only_draws_shows_something_and_every_tag_is_known(path):
    for cell in load(path):
        assert set(tags(cell)) <= TAGS, cell["source"][:60]
        if "draw" in tags(cell):
            kinds = {mime for output in cell["outputs"] for mime in output.get("data", {})}
            assert kinds & {*PICTURES, "text/html"}, f"folded, and nothing to see: {cell['source'][:60]}"


@every_chapter
def test_an_explorer_that_lives_on_the_page(path):
    cells = [cell for cell in section(load(path), "Explore") if cell["cell_type"] == "code"]
    shown = [output["data"] for cell in cells if re.search(r"\bexplore\(", cell["source"]) for output in cell["outputs"]
             if "data" in output]
    assert any("type=\"range\"" in normalise.text(data.get("text/html", "")) for data in shown)
    assert all("text/plain" in data for data in shown)


@every_chapter
def test_markdown_that_every_reader_renders_and_code_for_every_device(path):
    for cell in load(path):
        if cell["cell_type"] == "code":
            assert ".cuda(" not in cell["source"]
            code = cell["source"].replace(book.repository()[0], "")  # another repository's name may be longer
            assert max(len(line) for line in code.splitlines()) <= 88, "what is longer is cut off on the page"
            continue
        assert not re.search(r"```\{|^:::|\{[a-z:]+\}`", cell["source"], re.M), cell["source"][:80]
        without = re.sub(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$", "", cell["source"], flags=re.S)
        assert set(re.findall(r"</?([a-zA-Z]+)[ />]", without)) <= HTML, cell["source"][:80]
        pictures = re.findall(r"!\[([^\]]*)\]\(", cell["source"])
        assert all(alt.strip() for alt in pictures), "a picture without alternative text"


@every_chapter
def test_numbers_in_prose_come_from_outputs(path):
    assert not unbacked(load(path)), "print what the prose quotes, or declare it in the cell's metadata `numbers`"


def prose(text, **metadata):
    """Return a notebook of one output, 0.9134, and one markdown cell."""
    output = {"output_type": "stream", "name": "stdout", "text": "accuracy 0.9134\n"}
    return [{"cell_type": "code", "source": "print(score)", "outputs": [output]},
            {"cell_type": "markdown", "source": text, "metadata": metadata}]


def test_a_question_is_held_to_the_outputs_like_prose_and_backs_nothing_itself():
    question = {"cell_type": "code", "source": "# @title Question\nchoose('How much?', ('91.3 %', True, 'not 88.8 %'))",
                "outputs": [], "metadata": {}}
    assert unbacked([*prose("It is 88.8 %."), question]) == ["88.8", "88.8"]


@pytest.mark.parametrize("text", [
    "It reaches 91.3 %.", "It reaches 0.91.", "91 percent, see section 3.2", "costs `0.77` and $0.66$",
    "in 3 runs of 12 images", "[a link](https://example.org/1.5)", "## References\n\n- 12.5 pages"])
def test_prose_that_agrees_with_the_outputs_passes(text):
    assert unbacked(prose(text)) == []


@pytest.mark.parametrize("text, wrong", [
    ("It reaches 91.4 %.", ["91.4"]), ("It reaches 0.92.", ["0.92"]), ("a loss of 7 points", ["7"]),
    ("91.34 % at 0.5", ["0.5"])])
def test_a_drifted_number_is_caught(text, wrong):
    assert unbacked(prose(text)) == wrong
    assert unbacked(prose(text, numbers=dict.fromkeys(wrong, "from the paper's table 1"))) == []
