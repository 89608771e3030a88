"""Questions that answer on the page itself: no kernel, no server, and readable where no script runs."""
import hashlib
import html
import json
import math
import re
import sys
from pathlib import Path

_STYLE = "\n" + Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

# The browser's store is not there in every notebook; then a prediction is not remembered, and nothing else changes.
# A prediction also travels as an event, to the question further down on the same page.
_SCRIPT = "\n" + Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


_NAME = "<name>"  # stands in a field for the id of its question; what an author writes is escaped and never says this


class Question:
    """One question; shows itself in notebooks and on the built page."""

    def __init__(self, text: str, data: dict, fields: str, button: str, answers: list[str]):
        self.text, self.data, self.fields, self.button, self.answers = text, data, fields, button, answers

    def to_html(self) -> str:
        """Return the question as one piece of HTML: a form, or, where no script runs, a folded list of answers."""
        payload = json.dumps(self.data, ensure_ascii=False).replace("<", "\\u003c")
        uid = f"quiz-{hashlib.sha256((self.text + payload).encode()).hexdigest()[:10]}"
        fields = self.fields.replace(_NAME, uid)
        items = "".join(f"<li>{answer}</li>" for answer in self.answers)
        summary = "Choices" if self.data["kind"] == "prediction" else "Answers"
        before = '<p class="before" hidden></p>' if self.data["kind"] == "one" and self.data["key"] else ""
        return (f'<div class="quiz" id="{uid}" data-lm-suppress-shortcuts="true"><style>{_STYLE}</style>'
                f'<form hidden><fieldset><legend>{_marked(self.text)}</legend>'
                f'<div class="options">{fields}</div>'
                f'{before}<button type="submit">{self.button}</button>'
                f'<div class="verdict" role="status"></div></fieldset></form>'
                f'<details><summary>{_marked(self.text)} ({summary})</summary><ul>{items}</ul></details>'
                f'<script type="application/json">{payload}</script>'
                f'<script>{_SCRIPT.replace("%(id)s", uid)}</script></div>')

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.to_html(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Question: {self.text}"


def predict(text: str, *options: tuple[str, str], key: str) -> Question:
    """Return a prediction to make before the experiment: no verdict, but the page remembers the choice under `key`.

    Shapes: options are (name, words), such as ("A", "Only near the top"), 2 or more.
    Convention: `choose` with the same key shows later what was predicted; where the browser keeps no data, it asks.
    Errors: ValueError for fewer than two options, or an empty key.
    """
    _check_options("options", options, 2)
    if not key:
        raise ValueError("key must name the prediction, got ''")
    kept = "Noted: {}. The experiment will tell."
    parts = [{"name": name, "why": kept.format(_marked(name))} for name, _ in options]
    return Question(text, {"kind": "prediction", "key": key, "options": parts},
                    _boxes("radio", [f"{name}. {words}" for name, words in options]), "Note my prediction",
                    [_marked(f"{name}. {words}") for name, words in options])


def choose(text: str, *options: tuple[str, bool, str], key: str = "") -> Question:
    """Return a question with one right answer.

    Shapes: options are (words, whether it is right, why), 2 or more; the reader sees the `why` of what was chosen.
    Convention: with the key of a `predict` of the same options in the same order, the page begins with that choice.
    Errors: ValueError unless there are two options, one of them right, and a reason for each.
    """
    _check_options("options", options, 3)
    if sum(right for _, right, _ in options) != 1:
        raise ValueError(f"exactly one option must be right, got {sum(right for _, right, _ in options)}")
    parts = [{"name": words.split(".")[0], "right": bool(right), "why": _marked(why)} for words, right, why in options]
    return Question(text, {"kind": "one", "key": key, "options": parts},
                    _boxes("radio", [words for words, _, _ in options]), "Check", _answers(options))


def choose_all(text: str, *options: tuple[str, bool, str]) -> Question:
    """Return a question in which any number of answers are right: all of them, and no other, must be ticked.

    Shapes: options are (words, whether it is right, why), 2 or more; the reader sees the `why` of every option that
        was ticked wrongly or missed, and in the end of every right one.
    Errors: ValueError unless there are two options and a reason for each.
    """
    _check_options("options", options, 3)
    parts = [{"right": bool(right), "why": _marked(why)} for _, right, why in options]
    return Question(text, {"kind": "several", "key": "", "options": parts},
                    _boxes("checkbox", [words for words, _, _ in options]), "Check", _answers(options))


def number(text: str, answer: float, *, tolerance: float, why: str, otherwise: str, unit: str = "",
           near: dict[tuple[float, float], str] | None = None) -> Question:
    """Return a question that a number answers.

    Shapes: right is whatever lies within `tolerance` of `answer`, both in `unit`; near maps (low, high), both ends
        included, to what a wrong number there suggests; otherwise is said of every other number. An end of near may be
        infinite: (10, math.inf) is 10 or more.
    Errors: ValueError if answer is not finite, tolerance is negative or not finite, or low > high.
    """
    if not math.isfinite(answer):
        raise ValueError(f"answer must be finite, got {answer}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be >= 0, got {tolerance}")
    if math.isinf(tolerance):
        raise ValueError("tolerance must be finite, got inf: every number would be right")
    for low, high in near or {}:
        if not low <= high:
            raise ValueError(f"near must map (low, high) with low <= high, got {(low, high)}")
    slack = tolerance + 1e-9 * max(1.0, abs(answer))
    cases = [[_end(answer - slack), _end(answer + slack), _marked(why)]]
    cases += [[_end(low), _end(high), _marked(words)] for (low, high), words in (near or {}).items()]
    data = {"kind": "number", "key": "", "cases": cases, "otherwise": _marked(otherwise)}
    field = (f'<label>Your answer <input type="text" inputmode="decimal" autocomplete="off" name="{_NAME}">'
             f' {html.escape(unit)}</label>')
    return Question(text, data, field, "Check", [f"{answer:g} {html.escape(unit)}. {_marked(why)}"])


def _boxes(kind, texts):
    return "".join(f'<label><input type="{kind}" name="{_NAME}" value="{k}"><span>{_marked(words)}</span></label>'
                   for k, words in enumerate(texts))


def _answers(options):
    return [f"{_marked(words)} <strong>{'Right.' if right else 'No.'}</strong> {_marked(why)}"
            for words, right, why in options]


def _end(value):
    """Return an end of a range as JSON holds it: a plain number, and the largest one for an infinite end."""
    value = value.item() if hasattr(value, "item") else value
    return math.copysign(sys.float_info.max, value) if math.isinf(value) else value


def _check_options(name, options, width):
    if len(options) < 2 or any(len(option) != width or not option[-1] for option in options):
        raise ValueError(f"{name} must be two or more tuples of {width}, none with an empty last part, got {options!r}")


def _marked(text):
    """Return text as HTML: escaped, with `code` and *emphasis*, and a percent sign that stays with its number."""
    text = html.escape(re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text), quote=False)
    text = re.sub(r"`([^`]+)`", lambda code: f"<code>{code.group(1).replace('*', chr(0))}</code>", text)
    return re.sub(r"(?<!\w)\*([^*\n]+)\*(?!\w)", r"<em>\1</em>", text).replace(chr(0), "*")  # in code a star is one
