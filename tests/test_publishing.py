"""The commands around the site: the link check sorts its findings, the PDF takes every page, the card has its size."""
import json

import book
import chapter
import linkcheck
import pdf
import pytest
from PIL import Image


def line(status, info="", uri="https://example.org/a"):
    """Return one line as Sphinx writes it."""
    return json.dumps({"filename": "index.md", "lineno": 3, "status": status, "code": 0, "uri": uri, "info": info})


@pytest.mark.parametrize("status, info, verdict", [
    ("working", "", "ok"), ("redirected", "https://example.org/b", "ok"),
    ("broken", "404 Client Error: Not Found for url", "broken"), ("broken", "Anchor 'x' not found", "broken"),
    ("broken", "HTTPSConnectionPool: Max retries exceeded (NameResolutionError)", "unreached"),
    ("timeout", "Read timed out.", "unreached"), ("broken", "403 Client Error: Forbidden", "refused")])
def test_links_are_sorted_by_verdict(status, info, verdict):
    found = linkcheck.sort([line(status, info), line("ignored"), line("working", uri="#inside"), ""])
    assert {name for name, links in found.items() if links} == {verdict}


@pytest.mark.parametrize("lines, status, words", [
    ([line("working"), line("broken", "404 Not Found")], 1, "does not exist any more"),
    ([line("working"), line("timeout", "timed out")], 0, "could not be reached"),
    ([line("timeout", "timed out")], 1, "is there a network?")])
def test_the_report_names_what_it_could_not_reach(capsys, lines, status, words):
    assert linkcheck.report(linkcheck.sort(lines)) == status
    assert words in capsys.readouterr().out


def test_the_pdf_takes_every_page_in_order():
    names = book.pages()
    assert names[0] == "index" and names[1] == f"chapters/{chapter.paths()[0].stem}"
    assert names[-1] == "reference/references" and len(set(names)) == len(names) >= 10
    assert book.base_url().startswith("https://") and book.base_url().endswith("/")


def test_without_a_browser_the_pdf_says_what_to_do(monkeypatch):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="needs Chromium or Chrome"):
        pdf.main()


def test_without_a_built_book_the_pdf_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(pdf, "browser", lambda: "chromium")
    with pytest.raises(SystemExit, match="make book"):
        pdf.main(tmp_path, tmp_path / "book.pdf")


def test_the_social_card_is_a_small_picture_of_the_right_size():
    path = chapter.ROOT / "_static" / "social-card.png"
    with Image.open(path) as card:
        assert card.size == (1200, 630)
    assert path.stat().st_size <= 100_000
