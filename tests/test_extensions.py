"""What the build makes of our sources: formulas, claims with their evidence, the map of chapters, docstrings."""
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import book
import chapter
import numpy as np
import pytest
from PIL import Image
from scipy import stats

ROOT = chapter.ROOT
sys.path.insert(0, str(ROOT / "_ext"))

import api  # noqa: E402
import delivery  # noqa: E402
import docstrings  # noqa: E402
import formulas  # noqa: E402
import records  # noqa: E402
import steps  # noqa: E402

PAGES = [ROOT / "index.md", *sorted((ROOT / "reference").glob("*.md"))]

# the vocabulary of the chapters, written and planned
VOCABULARY = [
    r"\operatorname{TrR}(g,\epsilon) = R(\hat Z, \epsilon) - R(\hat Z, \epsilon \mid Y)",
    r"R(\hat Z,\epsilon) = \tfrac{1}{2} \log\det\left(I_d + \frac{1}{n \epsilon} \hat Z^\top \hat Z\right)",
    r"-\log \frac{\exp(\operatorname{sim}(z_i, z_j)/\tau)}{\sum_{k=1}^{2N} \mathbb{1}_{[k \neq i]} \exp(s_{ik})}",
    r"\frac{\lVert Y^\top X \rVert_F^2}{\lVert X^\top X \rVert_F \, \lVert Y^\top Y \rVert_F}",
    r"\begin{aligned} a &= b + c \\ d &= \sum_{i} e_i \end{aligned}",
    r"f(x) = \begin{cases} x & \text{if } x > 0, \\ 0 & \text{otherwise.} \end{cases}",
    r"\begin{pmatrix} a & b \\ c & d \end{pmatrix} \begin{bmatrix} 1 \\ 2 \end{bmatrix}",
    r"y = x + \mathrm{diag}_1(\alpha) \circledast x, \quad \mathrm{tr}(A^{-1}B), \nabla_\theta \mathcal{L}",
    r"\min_{\theta_f, \theta_y} \max_{\theta_d} \mathbb{E}_{x \sim P}[\ell(x)]",
    r"\widehat{H} \in \mathbb{R}^{n \times d}",
    r"\underbrace{a - b}_{\text{co-adaptation lost}} \overline{x} \tilde z \bar x \mathbf{x} \boldsymbol{\theta}",
    r"\mathrm{softmax}\Big(\frac{QK^\top}{\sqrt{d_k}}\Big) V \propto \prod_i \int_0^1 p(x_h \mid x_v)\, dx",
]


def written(text):
    """Return the formulas of a markdown text as (source, whether it is displayed)."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    blocks = re.findall(r"\$\$(.*?)\$\$", text, re.S)
    lines = re.findall(r"(?<!\\)\$([^$\n]+)\$", re.sub(r"\$\$.*?\$\$", "", text, flags=re.S))
    return [(block, True) for block in blocks] + [(line, False) for line in lines]


def parsed(tex, display=False):
    """Return a converted formula as an XML tree."""
    return ElementTree.fromstring(re.sub(r"&ApplyFunction;", "\u2061", formulas.mathml(tex, display)))


def markdown():
    """Return the markdown of the book: name -> text."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in PAGES}
    for path in chapter.paths():
        sources = [cell["source"] for cell in book.markdown_cells(book.load(path))]
        texts[path.name] = "\n\n".join(sources)
    return texts


@pytest.mark.parametrize("name", sorted(markdown()))
def test_every_formula_of_the_book_is_understood(name):
    for tex, display in written(markdown()[name]):
        assert parsed(tex, display).tag == "math"


@pytest.mark.parametrize("tex", VOCABULARY)
def test_the_vocabulary_of_the_chapters_is_understood(tex):
    tree = parsed(tex, display=True)
    assert tree.get("display") == "block" and not tree.findall(".//merror")
    assert "\\" not in "".join(tree.itertext())


def test_structure_of_a_formula():
    tree = parsed(r"\sum_{i=1}^{N} \frac{1}{2C} W^\top z_i", display=True)
    assert [child.tag for child in tree] == ["munderover", "mfrac", "msup", "msub"]
    assert parsed(r"\mathcal D_s").find(".//mi").text == "\N{MATHEMATICAL SCRIPT CAPITAL D}"
    assert parsed(r"\text{from scratch}").find("mtext").text == "from\u00a0scratch"


@pytest.mark.parametrize("tex", [r"\nosuchcommand x", r"\frac{1}", r"x_{i", r"\begin{cases} x"])
def test_a_formula_that_is_not_understood_is_named(tex):
    with pytest.raises(ValueError, match=re.escape(tex.strip())):
        formulas.mathml(tex)


def test_letters_are_mapped_to_the_italics_that_browsers_draw():
    assert [formulas.ITALIC[letter] for letter in "xhA"] == ["\U0001d465", "\u210e", "\U0001d434"]


@pytest.fixture
def small_book(tmp_path):
    """A copy of what the map and the evidence are made from."""
    for name in ("chapters", "results"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    return tmp_path


def test_a_new_chapter_appears_in_the_map_with_what_it_needs(small_book):
    before = records.chapter_map(small_book, "").count("\n")
    shutil.copy(chapter.paths()[0], small_book / "chapters" / "97_new.ipynb")
    toc = small_book / "_toc.yml"
    toc.write_text(toc.read_text() + "      - file: chapters/97_new\n")
    (small_book / "chapters" / "needs.yml").write_text('"97": ["01", "02"]\n')
    text = records.chapter_map(small_book, "../")
    assert text.count("\n") == before + 1
    assert "(../chapters/97_new.ipynb)" in text.splitlines()[-1]
    assert "[1](../chapters/01_what_is_transfer_learning.ipynb), [2](" in text.splitlines()[-1]


def test_evidence_reads_the_chapters_own_run_before_anothers(tmp_path):
    for name in ("06_one/layers", "12_two/layers", "12_two/shelf"):
        path = tmp_path / "results" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for number, name, folder in (("06", "layers", "06_one"), ("12", "layers", "12_two"), ("06", "shelf", "12_two")):
        assert records.recorded_run(tmp_path, number, name).parent.name == folder
    for number, name in (("01", "layers"), ("06", "missing")):
        with pytest.raises(ValueError, match=f"recorded runs named '{name}'"):
            records.recorded_run(tmp_path, number, name)


def test_needs_name_earlier_chapters_that_exist():
    needs = book.needs()
    have = {path.name[:2] for path in chapter.paths()}
    assert set(needs) <= have
    assert all(one < number and one in have for number, wanted in needs.items() for one in wanted)


def test_the_table_of_ways_marks_what_may_be_the_best():
    """Another script's arithmetic: means, and t-intervals of paired differences with the best, from the file itself."""
    record = json.loads((ROOT / "results" / "03_fine_tune_or_freeze" / "five_ways.json").read_text(encoding="utf-8"))
    lines = [line.strip("| ").split(" | ") for line in records.ways_compared(ROOT, "").splitlines()[2:]]
    assert len(lines) == 18                                    # five targets by four sizes; digits have two
    for target, size, *cells in lines:
        values = {way: np.array([made["value"] for made in sorted(record["rows"], key=lambda made: made["seed"])
                                 if (made["method"], made["target"], made["labels_per_class"], made["metric"])
                                 == (way, target, int(size), "accuracy")]) for way in (*records.WAYS, records.FLOOR)}
        assert [cell.split(" (")[0].strip("*") for cell in cells] == [
            f"{100 * found.mean():.1f}" for found in values.values()]
        floor = values.pop(records.FLOOR)
        apart = {way: found - np.mean(list(values.values()), 0) for way, found in values.items()}
        assert [cell.split(" ", 1)[1] for cell in cells if "worst" in cell] == [
            f"(worst {100 * values[way].min():.1f})" for way, d in apart.items() if d.mean() - d.min() > 0.1]
        best = max(values, key=lambda way: values[way].mean())
        bold = {way for way in values if way == best or not (
            stats.t.interval(1 - 0.05 / 4, 4, *mean_and_error(values[best] - values[way]))[0] > 0)}
        assert {way for way, cell in zip(values, cells, strict=False) if cell.startswith("**")} == bold
        assert len(floor) == 5 and not cells[-1].startswith("*")


def mean_and_error(values):
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))


def test_the_chart_of_the_guide_follows_the_rows(tmp_path):
    """Lift the losers of a field by thirty points in every seed: the chart names another way, and nothing else."""
    source = ROOT / "results" / "03_fine_tune_or_freeze" / "five_ways.json"
    record = json.loads(source.read_text(encoding="utf-8"))
    before = records.what_to_try(ROOT, "").splitlines()
    for made in record["rows"]:
        if (made["method"], made["target"], made["labels_per_class"]) == ("scratch", "similar", 5):
            made["value"] = 0.999
    place = tmp_path / "results" / "03_fine_tune_or_freeze"
    place.mkdir(parents=True)
    (place / source.name).write_text(json.dumps(record), encoding="utf-8")
    after = records.what_to_try(tmp_path, "").splitlines()
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, True, True, True]
    assert "| **5** | scratch |" in after[2]


MARKUP = ["<b>bold</b>", "</script><script>alert(1)</script>", "a *b* _c_ **d**", "[x](https://example.org) ![y](z)",
          "a & b &amp; c", "$x_i$ {ref} {{ b }}", "| a | b |", "a \\ b \\| c", "# head", "- item", "1. item",
          "> quoted", "~~gone~~ [^1] <https://example.org>", "an odd ` backquote"]


def shown_text(markdown):
    """Return (text, tags) of markdown as the book's own parser reads it."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin
    from mdit_py_plugins.myst_role import myst_role_plugin

    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).use(dollarmath_plugin).use(myst_role_plugin)
    tokens = [part for token in page.parse(markdown) for part in (token.children or [token])]
    return "".join(token.content for token in tokens), {word for token in tokens for word in (token.tag, token.type)}


@pytest.mark.parametrize("words", MARKUP)
def test_markup_in_recorded_texts_is_shown_as_text(tmp_path, words):
    path = tmp_path / "results" / "04_x" / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"question": words, "command": "python", "device": words, "wall_s": 60,
                                "date_utc": "2026-01-01T"}))
    text, tags = shown_text(records.recorded_runs(tmp_path, ""))
    assert text.count(words) == 2 and text.startswith("chapterquestion") and text.endswith("1.02026-01-01"), text
    claim, inside = shown_text(f"- {records.as_text(words)} (link)")
    assert claim == f"{words} (link)"
    plain = {"ul", "li", "p", "table", "thead", "tbody", "tr", "td", "th", "code", "", "code_inline", "text"}
    assert {tag for tag in tags | inside if not tag.endswith(("_open", "_close"))} <= plain


def test_code_in_a_recorded_question_stays_code():
    text, tags = shown_text(records.as_text("What are 2 * 3 in the protocol of `kinds * 2`?"))
    assert text == "What are 2 * 3 in the protocol of kinds * 2?" and "code_inline" in tags


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"question": "?"}', "[" * 50_000])
def test_a_damaged_record_is_named(tmp_path, content):
    path = tmp_path / "results" / "04_x" / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ValueError, match="run.json is damaged"):
        records.recorded_runs(tmp_path, "")
    (tmp_path / "x.ipynb").write_text(content)
    with pytest.raises(ValueError, match="x.ipynb is damaged"):
        book.load(tmp_path / "x.ipynb")


@pytest.mark.parametrize("key, value", [("wall_s", "x"), ("question", 3), ("command", None), ("date_utc", 5)])
def test_a_record_with_a_part_of_another_kind_is_named(tmp_path, key, value):
    path = tmp_path / "results" / "04_x" / "run.json"
    path.parent.mkdir(parents=True)
    whole = {"question": "?", "command": "c", "device": "d", "wall_s": 1, "date_utc": "2026-01-01"}
    path.write_text(json.dumps(whole))
    assert "| `c` |" in records.recorded_runs(tmp_path, "")
    path.write_text(json.dumps(whole | {key: value}))
    with pytest.raises(ValueError, match=f"run.json is damaged.*{key}"):
        records.recorded_runs(tmp_path, "")


@pytest.mark.parametrize("runs", [None, [], "x", {"laptop/cpu": None}, {"laptop/cpu": {"minutes": 1}},
                                  {"laptop/cpu": {"minutes": "1", "memory_gb": 1, "device": "d"}}], ids=str)
def test_damaged_run_times_are_named(tmp_path, runs):
    path = tmp_path / "results" / "chapters.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"04": runs}))
    with pytest.raises(ValueError, match="chapters.json is damaged.*chapter 04"):
        records.chapter_times(tmp_path, "")


def test_the_builders_folder_stays_out_of_signatures():
    def hidden(signature):
        return api.hide_folders(None, "function", "f", None, {}, signature, "Path")

    assert hidden("(folder: Path = PosixPath('/a/place'), n=1)") == ("(folder: Path = Path(...), n=1)", "Path")
    assert hidden("(a=WindowsPath('C:/mine'), b=PosixPath('/x'))") == ("(a=Path(...), b=Path(...))", "Path")
    assert hidden("(x, y=(1, 2))") == ("(x, y=(1, 2))", "Path") and hidden(None) is None


def test_docstrings_become_fields_and_examples_stay():
    text = "Say |x|.\n\nShapes: x (n, d_k)\n    more.\nErrors: none.\n\n>>> f(2) * 3\n[6]\n\nAfter."
    lines = docstrings.convert(text.split("\n"))
    assert r"Say \|x\|." in lines and r":Shapes: x (n, d\_k)" in lines and "    more." in lines
    assert ">>> f(2) * 3" in lines and "[6]" in lines and lines[lines.index(">>> f(2) * 3") - 1] == ""
    inside = docstrings.convert(["Errors: none.", "Example:", "    >>> f(_x)", "    3"])
    assert inside[-3:] == ["    >>> f(_x)", "    3", ""] and ":Example:" in inside


def test_terms_of_the_glossary_are_headings_with_one_anchor_each():
    text = (ROOT / "reference" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^### (.+)$", text, re.M)
    anchors = [re.sub(r"[^\w\- ]", "", term.lower()).replace(" ", "-") for term in terms]
    assert len(set(anchors)) == len(anchors) >= 60
    for wanted in ("gradient-reversal", "lora", "pretext-task", "contrastive-loss", "proxy-a-distance", "transrate",
                   "leep", "logme", "h-score", "linear-probe", "adapter", "negative-transfer"):
        assert wanted in anchors
    for definition in re.split(r"^#{2,3} .+$", text, flags=re.M)[2:]:
        assert len(definition.split()) <= 60, definition


def test_links_from_chapters_into_the_glossary_lead_somewhere():
    text = Path(ROOT, "reference", "glossary.md").read_text(encoding="utf-8").lower()
    anchors = {re.sub(r"[^\w\- ]", "", term).replace(" ", "-") for term in re.findall(r"^#+ (.+)$", text, re.M)}
    used = [link for page in markdown().values() for link in re.findall(r"glossary\.md#([\w-]+)", page)]
    assert set(used) <= anchors, set(used) - anchors


def test_pages_ask_for_one_style_sheet_and_scripts_that_wait(tmp_path):
    static = tmp_path / "_static"
    (static / "styles").mkdir(parents=True)
    (static / "basic.css").write_text("a { color: red }")
    (static / "styles" / "theme.css").write_text('/* words */\n@import "../basic.css";')
    (static / "styles" / "pydata-sphinx-theme.css").write_text("b { src: url(../vendor/x.woff2) }")
    (static / "book.css").write_text("c { src: url(y.woff2) }")
    site = SimpleNamespace(folder=tmp_path)
    delivery.bundle(site)
    address, bundled = site.address, site.bundled
    text = (static / delivery.BUNDLE).read_text()
    assert text.index("a {") < text.index("url(vendor/x.woff2)") < text.index("url(y.woff2)") and "words" not in text
    page = ('<link href="../_static/styles/theme.css?digest=1" rel="stylesheet" />\n'
            '<link rel="stylesheet" href="../_static/book.css?v=1" />\n'
            '<link rel="stylesheet" href="../_static/mine.css" />\n'
            '<link rel="stylesheet" href="../_static/sphinx-design.min.css" />\n<p class="lead sd-text">'
            '<script src="../_static/documentation_options.js?v=1"></script><script src="../_static/a.js"></script>')
    once = delivery.link_bundle(page, address, bundled)
    assert re.findall(r'href="([^"]+)"', once) == [f"../_static/{address}", "../_static/mine.css",
                                                   "../_static/sphinx-design.min.css"]
    assert delivery.link_bundle(once, address, bundled) == once
    assert "sphinx-design" not in delivery.link_bundle(page.replace("sd-text", ""), address, bundled)
    (static / "documentation_options.js").write_text("OPTIONS = 1;\n")
    waiting = delivery.defer_scripts(page, tmp_path / "a.html", tmp_path)
    assert "<script>OPTIONS = 1;</script>" in waiting and '<script defer src="../_static/a.js">' in waiting
    assert delivery.defer_scripts(waiting, tmp_path / "a.html", tmp_path) == waiting
    assert delivery.defer_scripts(page, tmp_path / "search.html", tmp_path) == page


def test_pictures_get_their_size_once(tmp_path):
    (tmp_path / "_images").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "_images" / "a.png")
    page = '<img alt="two widths" src="_images/a.png" /><img src="_images/missing.png" />'
    done = delivery.size_pictures(page, tmp_path / "a.html")
    assert '<img alt="two widths" src="_images/a.png" width="30" height="20" loading="lazy" decoding="async" />' in done
    (tmp_path / "_images" / "b.svg").write_text('<svg role="img" width="640" height="360.4" viewBox="0 0 1 1"></svg>')
    page = '<img alt="x" src="_images/b.svg" /><img alt="y" src="_images/a.png" style="width: 15px;" />'
    sharp = delivery.size_pictures(page, tmp_path / "a.html")
    assert '<img alt="x" src="_images/b.svg" width="640" height="360" role="img" loading="lazy"' in sharp
    assert '<img alt="y" src="_images/a.png" width="15" height="10" loading="lazy" decoding="async" />' in sharp
    assert delivery.size_pictures(sharp, tmp_path / "a.html") == sharp
    (tmp_path / "_images" / "c.svg").write_text('<svg width="100%" viewBox="0 0 1 1"></svg>')
    assert delivery.size_pictures('<img src="_images/c.svg" />', tmp_path / "a.html") == '<img src="_images/c.svg" />'
    assert '<img src="_images/missing.png" />' in done and delivery.size_pictures(done, tmp_path / "a.html") == done


def test_marks_that_colour_nothing_are_left_out_of_code():
    code = '<span class="n">x</span><span class="w"> </span><span class="o">=</span><span class="mi">3</span>'
    assert delivery.plain_names(code) == 'x <span class="o">=</span><span class="mi">3</span>'


@pytest.fixture
def built_site(tmp_path, monkeypatch):
    """A site of two pages as a builder leaves it; what was read of it and written to it later."""
    (tmp_path / "_static").mkdir()
    for name in ("index.html", "chapters/01_one.html", "_static/macros.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("as it was", encoding="utf-8")
    touched = []
    for how in ("read_text", "write_text"):
        done = getattr(Path, how)
        monkeypatch.setattr(Path, how, lambda path, *words, done=done, how=how, **more: (
            touched.append((how[:-5], path.relative_to(tmp_path).as_posix())) or done(path, *words, **more)))
    return SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(format="html")), touched


def test_a_page_is_read_once_and_written_once_after_all_steps(built_site, monkeypatch):
    app, touched = built_site

    def only_in_chapters(text, path):
        return text.upper() if path.parent.name == "chapters" else text

    def told(text, word):
        return text + word if text.isupper() else text

    def counting(site):
        assert ("write", "chapters/01_one.html") not in touched
        site.word = f" {len(site.pages)} PAGES"

    monkeypatch.setattr(steps, "STEPS", (steps.each(only_in_chapters), counting, steps.each(told)))
    steps.finish(app, None)
    assert touched == [("read", "chapters/01_one.html"), ("read", "index.html"), ("write", "chapters/01_one.html")]
    assert (app.outdir / "chapters" / "01_one.html").read_text(encoding="utf-8") == "AS IT WAS 2 PAGES"
    monkeypatch.setattr(steps, "STEPS", (lambda site: 1 / 0,))
    steps.finish(app, RuntimeError("the build failed"))  # then nothing is touched
    steps.finish(SimpleNamespace(outdir=app.outdir, builder=SimpleNamespace(format="text")), None)


def test_the_steps_stand_in_the_order_that_they_need():
    order = [step.__name__.removeprefix("each ") for step in steps.STEPS]
    for first, then in (("lighten", "bundle"), ("bundle", "link_bundle"), ("mend", "hanging_lines"),
                        ("plain_names", "hanging_lines")):
        assert order.index(first) < order.index(then), (first, then)
    assert len(order) == len(set(order))


def test_no_extension_but_the_steps_works_on_the_built_site():
    finishing = [path.name for path in sorted((ROOT / "_ext").glob("*.py"))
                 if '"build-finished"' in path.read_text(encoding="utf-8")]
    assert finishing == ["steps.py"]


PACKAGE = {"env": '"""Where it runs. More of it."""\n\ndef pick(a):\n    """Return the first: a. And more."""\n',
           "data/__init__": '"""Data sets."""\nfrom tlutils.data.glyphs import glyphs\n__all__ = ["glyphs"]\n',
           "data/glyphs": '"""Letters."""\n\ndef glyphs(n):\n    """Draw n letters, 28 * 28 pixels."""\n\n'
                          'def _ink():\n    """Private."""\n\ndef bare():\n    return 1\n',
           "data/_cache": '"""Nobody\'s business."""\n\ndef store():\n    """Store."""\n'}


@pytest.fixture
def small_package(tmp_path):
    """A package of two parts in two layers, and a book of two chapters that use it."""
    for name, source in PACKAGE.items():
        path = tmp_path / "tlutils" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_layers.py").write_text('LAYERS = {"data": 1, "env": 0, "planned": 1}\n')
    (tmp_path / "_toc.yml").write_text("root: index\nparts:\n- chapters:\n  - file: chapters/03_c\n"
                                       "  - file: chapters/11_k\n")
    (tmp_path / "chapters").mkdir()
    write_chapter(tmp_path, "03_c", "%matplotlib inline\nfrom tlutils import data as d, env\nif 1:\n    !ls\n",
                  "x = d.glyphs(3).shape\nenv = env")
    write_chapter(tmp_path, "11_k", "import tlutils, os\ndata = os\ndata.glyphs\ntlutils.setup('11')\n"
                  "from tlutils.env import pick as choose")
    return tmp_path


def write_chapter(folder, name, *sources):
    """Write a notebook of code cells."""
    cells = [{"cell_type": "code", "metadata": {}, "source": source, "outputs": []} for source in sources]
    (folder / "chapters" / f"{name}.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}))


def test_which_chapters_use_a_function_is_read_from_their_cells(small_package):
    used = api.uses(small_package)
    assert used["tlutils.data"] == used["tlutils.data.glyphs"] == used["tlutils.data.glyphs.glyphs"] == {"03"}
    assert used["tlutils.env"] == {"03", "11"} and used["tlutils.env.pick"] == {"11"}
    assert used["tlutils.start.setup"] == {"11"}
    write_chapter(small_package, "11_k", "import tlutils.data.glyphs as letters\nletters.bare()")
    used = api.uses(small_package)
    assert used["tlutils.data.glyphs.bare"] == {"11"} and used["tlutils.data.glyphs.glyphs"] == {"03"}
    write_chapter(small_package, "11_k", "def f(:")
    with pytest.raises(ValueError, match="11_k.ipynb is damaged"):
        api.uses(small_package)


def test_the_package_is_shown_in_layer_order_and_only_what_is_public(small_package):
    rows = [line.strip("| ").split(" | ") for line in api.package_map(small_package, "").splitlines()[2:]]
    assert [row[0] for row in rows] == ["0", "1"] and [row[2] for row in rows] == ["Where it runs.", "Data sets."]
    assert "[`env`](reference/api_layer_0.md#tlutilsenv)" in rows[0] and "chapters/03_c.ipynb" in rows[1][3]
    ground, data = (api.package_api(small_package, "", layer) for layer in "01")
    assert ground.startswith("## tlutils.env\n") and "Return the first: a. |" in ground
    assert re.findall(r"^#+ .*$", data, re.M) == ["## tlutils.data", "### tlutils.data.glyphs"]
    assert r"| {py:obj}`glyphs <tlutils.data.glyphs.glyphs>` | Draw n letters, 28 \* 28 pixels. | [3](" in data
    assert data.count(".. autofunction::") == 1 and "_ink" not in data and "bare" not in data and "store" not in data
    with pytest.raises(ValueError, match="no layer '7'"):
        api.package_api(small_package, "", "7")
    (small_package / "tlutils" / "env.py").write_text("def pick(:\n")
    with pytest.raises(ValueError, match="env.py is damaged .line 1"):
        api.package_map(small_package, "")


def test_every_layer_has_its_page_and_every_part_stands_in_one():
    layers = api.layers(ROOT)
    assert list(layers.values()) == sorted(layers.values()) and {"surgery", "data", "start"} <= set(layers)
    pages = [page for page in book.pages() if page.startswith("reference/api_layer_")]
    assert [int(page[-1]) for page in pages] == sorted(set(layers.values()))
    for page in pages:
        assert f"```{{package-api}} {page[-1]}\n```" in (ROOT / f"{page}.md").read_text(encoding="utf-8")
