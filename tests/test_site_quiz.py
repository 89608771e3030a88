"""The questions of the built chapters in a real browser, and explorers with two sliders; a pytest run of its own."""
import json

import pytest
from test_site import AXE, STILL, WITH_EXPLORER, address, browser, figure_pixels, visit  # noqa: F401

every_chapter = pytest.mark.parametrize("name", WITH_EXPLORER)


def data_of(quiz):
    """Return what a question on the page knows."""
    return json.loads(quiz.locator("script[type='application/json']").text_content())


def questions(page, *kinds):
    """Return (question, its data) of the questions of these kinds on a page, at least one."""
    found = [(quiz, data_of(quiz)) for quiz in page.locator(".quiz").all()]
    found = [(quiz, data) for quiz, data in found if data["kind"] in kinds]
    assert found, f"no question of {kinds} on the page"
    return found


def plain(page, html):
    """Return the text of a piece of HTML, white space made even."""
    make = "html => { const element = document.createElement('p'); element.innerHTML = html; return element.innerText }"
    return " ".join(page.evaluate(make, html).split())


def verdict(quiz):
    """Return what a question says to the last answer."""
    return " ".join(quiz.locator(".verdict").inner_text().split())


def expected(page, option):
    """Return what a question with one right answer must say to this option."""
    return f"{'Right.' if option['right'] else 'No.'} {plain(page, option['why'])}"


def click_and_check(quiz, k):
    """Choose option k with the mouse, on its words, and ask for the verdict."""
    quiz.locator(".options label span").nth(k).click()
    assert verdict(quiz) == "", "the verdict on another answer is still there"
    quiz.locator("button").click()


@every_chapter
def test_one_right_answer_by_mouse(visit, name):  # noqa: F811
    page, faults = visit(name)
    for quiz, data in questions(page, "one"):
        quiz.locator("button").click()
        assert verdict(quiz) == "Choose an answer first."
        said = set()
        for k, option in enumerate(data["options"]):
            click_and_check(quiz, k)
            assert verdict(quiz) == expected(page, option)
            said.add(verdict(quiz))
        assert len(said) == len(data["options"]), "two options have the same explanation"
    assert faults == []


@every_chapter
def test_one_right_answer_by_keyboard(visit, name):  # noqa: F811
    page, faults = visit(name)
    for quiz, data in questions(page, "one"):
        for k, option in enumerate(data["options"]):
            quiz.locator("input").nth(max(k - 1, 0)).focus()
            page.keyboard.press("ArrowDown" if k else "Space")
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", "the focus cannot be seen"
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            assert verdict(quiz) == expected(page, option)
    assert faults == []


@every_chapter
def test_several_right_answers(visit, name):  # noqa: F811
    page, faults = visit(name)
    for quiz, data in questions(page, "several"):
        if any(option["right"] for option in data["options"]):
            quiz.locator("button").click()
            assert verdict(quiz) == "Tick what is right first."
        whys = [plain(page, option["why"]) for option in data["options"]]
        for box, option in zip(quiz.locator("input").all(), data["options"], strict=True):
            box.set_checked(option["right"])
        quiz.locator("button").click()
        assert verdict(quiz).startswith("Right.")
        assert [why in verdict(quiz) for why in whys] == [option["right"] for option in data["options"]]
        for k in range(len(whys)):  # one mistake at a time, by mouse there, by keyboard back
            click_and_check(quiz, k)
            if not any(box.is_checked() for box in quiz.locator("input").all()):  # an empty answer is told nothing
                assert verdict(quiz) == "Tick what is right first."
                quiz.locator("input").nth(k).check()
                quiz.locator("button").click()
                continue
            assert verdict(quiz).startswith("Not yet.") and [why in verdict(quiz) for why in whys].index(True) == k
            assert sum(why in verdict(quiz) for why in whys) == 1
            quiz.locator("input").nth(k).focus()
            page.keyboard.press("Space")
            page.keyboard.press("Enter")
            assert verdict(quiz).startswith("Right.")
    assert faults == []


@every_chapter
def test_a_number_has_a_tolerance_and_knows_mistakes(visit, name):  # noqa: F811
    page, faults = visit(name)
    for quiz, data in questions(page, "number"):
        quiz.locator("button").click()
        assert verdict(quiz) == "Type a number."
        (low, high, why), *near = data["cases"]
        inside, step = (low + high) / 2, (high - low) / 20
        trials = [(value, f"Right. {plain(page, why)}") for value in (inside, low + step, high - step)]
        trials += [((a + b) / 2, f"No. {plain(page, words)}") for a, b, words in near]
        trials += [(987654, f"No. {plain(page, data['otherwise'])}")]
        for value, answer in trials:
            quiz.locator("input").fill("")
            quiz.locator("input").focus()
            page.keyboard.type(f"{value:.4f}")
            page.keyboard.press("Enter")
            assert verdict(quiz) == answer
        for value in (low - step, high + step):
            quiz.locator("input").fill(f"{value:.4f}")
            quiz.locator("button").click()
            assert verdict(quiz).startswith("No.")
    assert faults == []


@every_chapter
def test_a_prediction_comes_back_further_down_and_after_a_reload(visit, name):  # noqa: F811
    page, faults = visit(name)
    ((first, data),) = questions(page, "prediction")
    ((later, asked),) = [(quiz, one) for quiz, one in questions(page, "one") if one["key"]]
    assert asked["key"] == data["key"] and not later.locator(".before").is_visible()
    assert later.locator("input:checked").count() == 0
    for k, option in enumerate(data["options"]):
        click_and_check(first, k)
        assert verdict(first) == f"Noted: {option['name']}. The experiment will tell."
        assert later.locator(".before").inner_text() == f"You predicted {option['name']}."
        assert later.locator("input").nth(k).is_checked() and verdict(later) == "", "the verdict waits to be asked for"
        later.locator("button").click()
        assert verdict(later) == expected(page, asked["options"][k])
    page.reload(wait_until="networkidle")
    assert first.locator("input").last.is_checked() and later.locator("input").last.is_checked()
    assert later.locator(".before").inner_text() == f"You predicted {data['options'][-1]['name']}."
    assert faults == []


@every_chapter
def test_answers_can_be_read_where_no_script_runs(browser, address, name):  # noqa: F811
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + name)
    for quiz, data in questions(page, "prediction", "one", "several", "number"):
        assert not quiz.locator("form").is_visible()
        quiz.locator("summary").click()
        answers = quiz.locator("details li")
        assert answers.count() == len(data.get("options", "1")) and answers.first.is_visible()
        if "right" in data.get("options", [{}])[0]:
            assert ["Right." in answer for answer in answers.all_inner_texts()] == [o["right"] for o in data["options"]]
    context.close()


@pytest.mark.parametrize("mode", ["light", "dark"])
@every_chapter
def test_an_answered_question_is_readable_and_fits_a_phone(visit, name, mode):  # noqa: F811
    page, _ = visit(name, width=375, mode=mode)
    page.add_style_tag(content=STILL)
    for quiz, data in questions(page, "prediction", "one", "several", "number"):
        quiz.locator("input").first.fill("1") if data["kind"] == "number" else quiz.locator("input").first.check()
        quiz.locator("button").click()
        assert verdict(quiz)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("axe.run({include: [['.quiz']]})")
    nodes = [(kind, fault["id"], node["target"], node["failureSummary"][:160]) for kind in ("violations", "incomplete")
             for fault in found[kind] for node in fault["nodes"]]
    unseen = "1:1 contrast"  # letters as bright as their ground: axe only calls that incomplete
    assert [node for node in nodes if node[0] == "violations" or unseen in node[-1]] == []


@every_chapter
def test_each_of_two_sliders_changes_the_figure(visit, name):  # noqa: F811
    page, faults = visit(name)
    for slider in page.locator(".explore").first.locator("input[type=range]").all():
        before, told = figure_pixels(page), page.locator(".explore img").first.get_attribute("alt")
        slider.focus()
        page.keyboard.press("ArrowLeft" if slider.evaluate("s => +s.value === +s.max") else "ArrowRight")
        assert figure_pixels(page) != before, slider.get_attribute("id")
        assert page.locator(".explore img").first.get_attribute("alt") != told
    assert faults == []
