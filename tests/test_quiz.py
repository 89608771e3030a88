"""Questions: a form that answers by itself, a list of answers where no script runs, and guards for the author."""
import json
import math
import re

import numpy as np
import pytest

from tlutils.quiz import choose, choose_all, number, predict

OPTIONS = (("A. all of it", False, "Too much: see `gap`."), ("B. the top", True, "The *last* layers are special."))


def payload(question):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', question.to_html(), re.S).group(1))


def test_every_option_has_its_explanation_in_the_form_and_in_the_list():
    html = choose("Which part?", *OPTIONS).to_html()
    data = payload(choose("Which part?", *OPTIONS))
    assert [option["right"] for option in data["options"]] == [False, True] and data["kind"] == "one"
    assert data["options"][0]["why"] == "Too much: see <code>gap</code>."
    folded = re.search(r"<details>(.*?)</details>", html, re.S).group(1)
    assert folded.count("<li>") == 2 and "<em>last</em>" in folded and "Which part?" in folded
    assert html.count('type="radio"') == 2 and "<legend>Which part?</legend>" in html and 'role="status"' in html


def test_a_prediction_gives_nothing_away_and_keeps_its_key():
    question = predict("Where?", ("A", "early"), ("B", "late"), key="02")
    data = payload(question)
    assert data["key"] == "02" and data["kind"] == "prediction" and "right" not in json.dumps(data)
    assert "Right" not in question.to_html().split("<script>")[0]
    later = payload(choose("Where?", *OPTIONS, key="02"))
    assert later["key"] == "02" and [option["name"] for option in later["options"]] == ["A", "B"]
    assert 'class="before"' in choose("Where?", *OPTIONS, key="02").to_html()
    assert 'class="before"' not in choose("Where?", *OPTIONS).to_html() + question.to_html()


def test_several_right_answers_come_with_all_their_reasons():
    data = payload(choose_all("Which?", *OPTIONS, ("C. the norm", True, "It drifts by 5 %.")))
    assert data["kind"] == "several" and [option["right"] for option in data["options"]] == [False, True, True]
    assert data["options"][2]["why"] == "It drifts by 5\N{NO-BREAK SPACE}%."


def test_a_number_has_a_tolerance_and_known_mistakes():
    data = payload(number("How many points?", 11.7, tolerance=0.5, unit="points", why="A7B.",
                          near={(30, 40): "That is D7B."}, otherwise="Read the curve at n = 7."))
    (low, high, right), (near_low, near_high, near) = data["cases"]
    assert low == pytest.approx(11.2) and low <= 11.2 and high >= 12.2 and right == "A7B."
    assert (near_low, near_high) == (30, 40) and "That is D7B." in near and "Read the curve" in data["otherwise"]


def test_what_the_author_writes_is_escaped_and_the_same_question_has_the_same_bytes():
    question = choose("Is a < b & `c <i>`?", ("no </script>", False, "it <b>is</b>"), ("yes", True, "since"))
    html = question.to_html()
    assert "<b>" not in html and html.count("</script>") == 2 and "a &lt; b &amp; <code>c &lt;i&gt;</code>" in html
    assert payload(question)["options"][0]["why"] == "it &lt;b&gt;is&lt;/b&gt;"
    assert html == choose("Is a < b & `c <i>`?", ("no </script>", False, "it <b>is</b>"),
                          ("yes", True, "since")).to_html()
    assert set(question._repr_mimebundle_()) == {"text/html", "text/plain"} and "http" not in html


MARKUP = ["<b>bold</b>", "</script><script>alert(1)</script>", '" onclick="x', "a & b &amp; c", "{} {name} {0}", "UID",
          'name="UID"', "%(id)s", "<!--", "'single'", "&lt;", "\N{LINE SEPARATOR}"]


@pytest.mark.parametrize("words", MARKUP)
def test_markup_in_any_part_is_text(words):
    """Read the page as a browser does: every element is one of ours, and the words come out as they went in."""
    from html.parser import HTMLParser

    class Page(HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags, self.words = [], []

        def handle_starttag(self, tag, attributes):
            self.tags.append((tag, tuple(name for name, _ in attributes)))

        def handle_data(self, data):
            self.words.append(data)

    def read(word):
        options = (word, True, word), (word, False, word)
        every = [predict(word, (word, word), ("B", word), key=word), choose_all(word, *options),
                 choose(word, *options, key=word),
                 number(word, 3, tolerance=1, why=word, otherwise=word, unit=word, near={(1, 2): word})]
        pages = [Page() for _ in every]
        for page, question in zip(pages, every, strict=True):
            page.feed(question.to_html())
        return pages, every

    (plain, _), (shown, questions) = read("plain"), read(words)
    for before, after, question in zip(plain, shown, questions, strict=True):
        assert after.tags == before.tags
        assert "".join(after.words).count(words) >= 3, "legend, summary and options"
        assert "NaN" not in json.dumps(payload(question)) and payload(question)["options" if "options" in payload(
            question) else "cases"]


def test_stars_in_code_are_stars():
    assert "<code>f(*a, 2 * b * c)</code> is <em>so</em>" in choose("`f(*a, 2 * b * c)` is *so*", *OPTIONS).to_html()
    assert "<em>the <code>x</code> layer</em>" in choose("*the `x` layer*", *OPTIONS).to_html()


@pytest.mark.parametrize("low, high, holds, holds_not", [
    (10, math.inf, 1e300, 9.9), (-math.inf, 0, -1e300, 0.1), (-math.inf, math.inf, 0, None), (5, 5, 5, 5.1),
    (np.float32(2), np.inf, 1e9, 1), (np.int64(2), np.int64(3), 2.5, 4)])
def test_a_range_may_be_open(low, high, holds, holds_not):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    question = number("?", np.float32(7), tolerance=np.float32(0.5), why="w", otherwise="o", near={(low, high): "x"})
    html = question.to_html()
    text = re.search(r'<script type="application/json">(.*?)</script>', html, re.S).group(1)
    one, two, _ = json.loads(text, parse_constant=refuse)["cases"][1]
    assert one <= holds <= two and (holds_not is None or not one <= holds_not <= two)


def test_numbers_at_the_end_of_what_there_is_stay_numbers():
    assert "Infinity" not in number("?", 1.7e308, tolerance=1e308, why="w", otherwise="o").to_html()
    assert payload(choose_all("?", ("a", np.bool_(True), "w"), ("b", 0, "w")))["options"][0]["right"] is True


@pytest.mark.parametrize("make, message", [
    (lambda: number("?", 7, tolerance=0, why="w", otherwise="o", near={(math.nan, 3): "x"}), "near must map"),
    (lambda: number("?", 7, tolerance=0, why="w", otherwise="o", near={(3, math.nan): "x"}), "near must map"),
    (lambda: number("?", 7, tolerance=0, why="w", otherwise="o", near={(3, 2): "x"}), r"got \(3, 2\)"),
    (lambda: number("?", math.inf, tolerance=0, why="w", otherwise="o"), "answer must be finite"),
    (lambda: number("?", 7, tolerance=math.inf, why="w", otherwise="o"), "tolerance must be finite"),
    (lambda: number("?", 7, tolerance=math.nan, why="w", otherwise="o"), "tolerance must be >= 0, got nan"),
    (lambda: choose("?", OPTIONS[0], OPTIONS[0]), "exactly one option must be right, got 0"),
    (lambda: choose("?", OPTIONS[1], OPTIONS[1]), "got 2"),
    (lambda: choose("?", OPTIONS[1]), "two or more"),
    (lambda: choose("?", ("a", False, ""), OPTIONS[1]), "empty last part"),
    (lambda: choose_all("?", ("a", True), OPTIONS[1]), "tuples of 3"),
    (lambda: predict("?", ("A", "x"), ("B", "y"), key=""), "key must name"),
    (lambda: number("?", float("nan"), tolerance=1, why="w", otherwise="o"), "answer must be finite, got nan"),
    (lambda: number("?", 1, tolerance=-1, why="w", otherwise="o"), "tolerance must be >= 0, got -1")])
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
