"""The sources of the pages: README and map name every chapter, the field's words are said, lines can go on below."""
import re
import sys

import book
import chapter
import pytest

ROOT = chapter.ROOT
sys.path.insert(0, str(ROOT / "_ext"))

import delivery  # noqa: E402
import pages  # noqa: E402
import records  # noqa: E402

# What somebody would search for, by chapter: the words of the field stand in the first cell.
TERMS = {"01": ["transfer learning", "negative transfer", "fine-tuning", "linear probe"],
         "02": ["transferability"], "03": ["fine-tuning", "BatchNorm"],
         "04": ["parameter-efficient fine-tuning", "LoRA"], "05": ["pretraining", "from scratch"],
         "06": ["self-supervised", "pretext"], "07": ["self-supervised", "contrastive"],
         "08": ["self-supervised", "zero-shot", "contrastive"], "09": ["domain adaptation", "DANN"],
         "12": ["transferability estimation", "model selection"]}


def first_cell(path):
    """Return the first cell of a chapter as one string."""
    return book.load(path)[0]["source"]


def test_readme_lists_the_chapters_by_number_and_title():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    listed = re.findall(r"- \*\*(\d+)\. (.*?)\*\*", text)
    assert [(int(number), title.rstrip(".")) for number, title in listed] == [
        (int(path.stem[:2]), book.title_and_thesis(book.load(path))[0].rstrip(".")) for path in chapter.paths()]


@pytest.mark.parametrize("number", sorted(TERMS))
def test_a_chapter_begins_with_the_words_of_the_field(number):
    lead = first_cell(chapter.find(number)).lower()
    assert [term for term in TERMS[number] if term.lower() not in lead] == []


def test_reading_takes_as_long_as_words_and_visible_code():
    def minutes(*cells):
        return book.reading_minutes(cells)

    words = {"cell_type": "markdown", "metadata": {}, "source": "word " * 2000}
    code = {"cell_type": "code", "metadata": {}, "source": "x = 1\n" * 120}
    assert minutes(words) == 10 and minutes(words, code) == 20
    for tag in ("quiz", "hide-cell", "setup", "draw"):
        assert minutes(words, code | {"metadata": {"tags": [tag]}}) == 10
    assert records.minutes({"minutes": 1.01}) == 2 and records.minutes({"minutes": 0.4}) == 1


def block(code, kind="highlight-ipython3 "):
    """Return a block of code as Sphinx writes it."""
    return f'<div class="{kind}notranslate"><div class="highlight"><pre><span></span>{code}</pre></div>'


def lines(page):
    """Return the marked lines of a page as (class, style, text)."""
    found = re.findall(r'<span class="(ln[^"]*)"(?: style="([^"]*)")?>(.*)</span>$', page, re.M)
    return [(kind, style, re.sub("<[^>]+>", "", text)) for kind, style, text in found]


def test_lines_know_their_indentation_and_their_text_is_unchanged():
    code = ('<span class="k">def</span> f(x):\n    <span class="k">return</span> x\n\n'
            'y = f(a_long_name_of_an_argument &lt; 3, and_another)\n')
    page = delivery.hanging_lines(block(code))
    assert lines(page) == [("ln", "--i:4", "    return x"),
                           ("ln", "", "y = f(a_long_name_of_an_argument &lt; 3, and_another)")]
    assert re.sub("<[^>]+>", "", page) == re.sub("<[^>]+>", "", block(code))
    assert delivery.hanging_lines(page) == page, "a second build marks them again"


def test_a_printed_table_stays_whole_and_a_printed_sentence_may_go_on_below():
    printed = "random in views   71.0  66.3  64.5  mean 68.4\nholds: one claim of some length, in every seed\n"
    page = delivery.hanging_lines(block(printed, "output stream highlight-myst-ansi "))
    assert [kind for kind, _, _ in lines(page)] == ["ln cols", "ln"]
    wide = delivery.hanging_lines(block("a  b " * 20 + "\n", "output stream highlight-myst-ansi "))
    assert [kind for kind, _, _ in lines(wide)] == ["ln"], "wider than the column: it must go on below"


def test_a_fold_is_named_after_what_it_hides():
    fold = ('<summary>\n<p class="collapsed admonition-title">Show code cell content</p>\n<p class="expanded '
            'admonition-title">Hide code cell content</p>\n</summary>\n<div class="cell_input docutils container">\n'
            '<div class="highlight-ipython3 notranslate"><div class="highlight"><pre><span></span>{}')
    solution = pages.mend(fold.format('<span class="c1"># @title Solution</span>'))
    assert '<p class="admonition-title">Solution</p>' in solution and "Show code" not in solution
    other = fold.format('<span class="c1"># drawn</span>')
    assert pages.mend(other) == other


def test_the_front_page_is_not_named_twice():
    title = "<title>{} &#8212; What Transfers?</title>"
    assert pages.mend(title.format("What Transfers? More")) == "<title>What Transfers? More</title>"
    assert pages.mend(title.format("2. General to specific")) == title.format("2. General to specific")


def test_an_arrow_in_the_contents_says_whose_pages_it_shows():
    arrow = '<a href="a.html">The package</a><details{}><summary><span class="toctree-toggle"></span></summary>'
    for state in ("", ' open="open"'):
        page = pages.mend(arrow.format(state))
        assert '<summary aria-label="The package: its pages"><span' in page and pages.mend(page) == page
