"""Questions that answer on the page itself: no kernel, no server, and readable where no script runs."""
import hashlib
import html
import json
import math
import re

_STYLE = """
.quiz{max-width:100%;margin:.75rem 0 1rem;color:inherit}
.quiz fieldset{border:1px solid #7f7f7f;border-radius:.4rem;padding:.25rem 1rem 1rem;margin:0;min-width:0}
.quiz legend{font-weight:600;font-size:1em;line-height:1.4;padding:0 .4rem;width:auto;float:none;margin:0 0 0 -.4rem}
.quiz .options label{display:flex;gap:.6rem;align-items:baseline;padding:.3rem 0;margin:0;min-height:24px}
.quiz .options input{flex:none;accent-color:#2f7fd1}
.quiz .options label:has([type=number]){flex-wrap:wrap;align-items:center}
.quiz input[type=number]{font:inherit;color:inherit;background:transparent;border:1px solid #7f7f7f;
border-radius:.3rem;width:7rem;min-height:32px;padding:0 .4rem}
.quiz button{font:inherit;color:inherit;background:transparent;border:1px solid currentColor;border-radius:.4rem;
min-height:32px;padding:.1rem .9rem;margin-top:.5rem;cursor:pointer}
.quiz button:hover{background:rgba(127,127,127,.2)}
.quiz input:focus-visible,.quiz button:focus-visible{outline:2px solid currentColor;outline-offset:2px}
html[data-theme=dark] .bd-content div.cell_output .text_html:has(>div.quiz){background:none;color:inherit;padding:0}
.quiz .before{margin:.5rem 0 0}
.quiz .verdict{margin:.75rem 0 0;padding:.1rem 0 .1rem .75rem;border-left:4px solid #7f7f7f}
.quiz .verdict.right{border-color:#2a9d5c}
.quiz .verdict.wrong{border-color:#d1495b}
.quiz .verdict ul{margin:.25rem 0 0;padding-left:1.2rem}
.quiz .verdict:empty,.quiz [hidden]{display:none}
"""

# The browser's store is not there in every notebook; then a prediction is not remembered, and nothing else changes.
# A prediction also travels as an event, to the question further down on the same page.
_SCRIPT = """
(() => {
  const root = document.getElementById("%(id)s");
  if (!root || root.dataset.alive) return;
  root.dataset.alive = "yes";
  const quiz = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const [form, verdict, before] = ["form", ".verdict", ".before"].map(part => root.querySelector(part));
  const boxes = [...form.querySelectorAll("input")];
  const key = "what-transfers/prediction/" + quiz.key;
  const load = () => { try { return localStorage.getItem(key); } catch { return null; } };
  const save = value => { try { localStorage.setItem(key, value); } catch { } };
  const say = (html, state = "") => { verdict.innerHTML = html; verdict.className = "verdict " + state; };
  const judge = (right, html) => say("<strong>" + (right ? "Right." : "No.") + "</strong> " + html,
                                     right ? "right" : "wrong");
  const answer = () => {
    if (quiz.kind === "number") {
      const value = parseFloat(boxes[0].value.replace(",", "."));
      if (Number.isNaN(value)) return say("Type a number.");
      const hit = quiz.cases.findIndex(([low, high]) => low <= value && value <= high);
      return judge(hit === 0, hit < 0 ? quiz.otherwise : quiz.cases[hit][2]);
    }
    const ticked = boxes.map(box => box.checked);
    if (quiz.kind === "several") {
      const words = [...form.querySelectorAll("label span")].map(span => span.innerHTML);
      const list = (chosen, mark) => "<ul>" + quiz.options.map((option, k) => chosen(option, k) ?
        "<li>" + mark(k) + words[k] + "<br>" + option.why + "</li>" : "").join("") + "</ul>";
      if (quiz.options.every((option, k) => option.right === ticked[k])) {
        return judge(true, list(option => option.right, () => ""));
      }
      return say("<strong>Not yet.</strong>" + list((option, k) => option.right !== ticked[k],
                 k => ticked[k] ? "<em>Not this:</em> " : "<em>This too:</em> "), "wrong");
    }
    const k = ticked.indexOf(true);
    if (k < 0) return say("Choose an answer first.");
    if (quiz.kind === "one") return judge(quiz.options[k].right, quiz.options[k].why);
    save(k);
    say(quiz.options[k].why);
    document.dispatchEvent(new CustomEvent(key, {detail: k}));
  };
  const recall = k => {
    if (k === null || !boxes[+k]) return;
    boxes[+k].checked = true;
    if (before) { before.textContent = "You predicted " + quiz.options[+k].name + "."; before.hidden = false; say(""); }
  };
  form.addEventListener("submit", event => { event.preventDefault(); answer(); });
  form.addEventListener("input", () => say(""));
  if (quiz.key) recall(load());
  if (before) document.addEventListener(key, event => recall(event.detail));
  root.querySelector("details").hidden = true;
  form.hidden = false;
})();
"""


class Question:
    """One question; shows itself in notebooks and on the built page."""

    def __init__(self, text: str, data: dict, fields: str, button: str, answers: list[str]):
        self.text, self.data, self.fields, self.button, self.answers = text, data, fields, button, answers

    def to_html(self) -> str:
        """Return the question as one piece of HTML: a form, or, where no script runs, a folded list of answers."""
        payload = json.dumps(self.data, ensure_ascii=False).replace("<", "\\u003c")
        uid = f"quiz-{hashlib.sha256((self.text + payload).encode()).hexdigest()[:10]}"
        items = "".join(f"<li>{answer}</li>" for answer in self.answers)
        summary = "Choices" if self.data["kind"] == "prediction" else "Answers"
        before = '<p class="before" hidden></p>' if self.data["kind"] == "one" and self.data["key"] else ""
        return (f'<div class="quiz" id="{uid}" data-lm-suppress-shortcuts="true"><style>{_STYLE}</style>'
                f'<form hidden><fieldset><legend>{_marked(self.text)}</legend>'
                f'<div class="options">{self.fields.replace("UID", uid)}</div>'
                f'{before}<button type="submit">{self.button}</button>'
                f'<div class="verdict" role="status"></div></fieldset></form>'
                f'<details><summary>{_marked(self.text)} ({summary})</summary><ul>{items}</ul></details>'
                f'<script type="application/json">{payload}</script><script>{_SCRIPT % {"id": uid}}</script></div>')

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
    parts = [{"name": words.split(".")[0], "right": right, "why": _marked(why)} for words, right, why in options]
    return Question(text, {"kind": "one", "key": key, "options": parts},
                    _boxes("radio", [words for words, _, _ in options]), "Check", _answers(options))


def choose_all(text: str, *options: tuple[str, bool, str]) -> Question:
    """Return a question in which any number of answers are right: all of them, and no other, must be ticked.

    Shapes: options are (words, whether it is right, why), 2 or more; the reader sees the `why` of every option that
        was ticked wrongly or missed, and in the end of every right one.
    Errors: ValueError unless there are two options and a reason for each.
    """
    _check_options("options", options, 3)
    parts = [{"right": right, "why": _marked(why)} for _, right, why in options]
    return Question(text, {"kind": "several", "key": "", "options": parts},
                    _boxes("checkbox", [words for words, _, _ in options]), "Check", _answers(options))


def number(text: str, answer: float, *, tolerance: float, why: str, otherwise: str, unit: str = "",
           near: dict[tuple[float, float], str] | None = None) -> Question:
    """Return a question that a number answers.

    Shapes: right is whatever lies within `tolerance` of `answer`, both in `unit`; near maps (low, high), both ends
        included, to what a wrong number there suggests; otherwise is said of every other number.
    Errors: ValueError if answer is not finite or tolerance is negative.
    """
    if not math.isfinite(answer):
        raise ValueError(f"answer must be finite, got {answer}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be >= 0, got {tolerance}")
    slack = tolerance + 1e-9 * max(1.0, abs(answer))
    cases = [[answer - slack, answer + slack, _marked(why)]]
    cases += [[low, high, _marked(words)] for (low, high), words in (near or {}).items()]
    data = {"kind": "number", "key": "", "cases": cases, "otherwise": _marked(otherwise)}
    field = (f'<label>Your answer <input type="number" step="any" inputmode="decimal" name="UID">'
             f' {html.escape(unit)}</label>')
    return Question(text, data, field, "Check", [f"{answer:g} {html.escape(unit)}. {_marked(why)}"])


def _boxes(kind, texts):
    return "".join(f'<label><input type="{kind}" name="UID" value="{k}"><span>{_marked(words)}</span></label>'
                   for k, words in enumerate(texts))


def _answers(options):
    return [f"{_marked(words)} <strong>{'Right.' if right else 'No.'}</strong> {_marked(why)}"
            for words, right, why in options]


def _check_options(name, options, width):
    if len(options) < 2 or any(len(option) != width or not option[-1] for option in options):
        raise ValueError(f"{name} must be two or more tuples of {width}, none with an empty last part, got {options!r}")


def _marked(text):
    """Return text as HTML: escaped, with `code` and *emphasis*, and a percent sign that stays with its number."""
    text = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    return re.sub(r"(?<!\w)\*([^*\n]+)\*(?!\w)", r"<em>\1</em>", text)
