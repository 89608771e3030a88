"""Interactive figures that need no kernel: frames drawn once, shown behind sliders of the page itself."""
import base64
import hashlib
import html
import itertools
import json
import math
import numbers
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from matplotlib.figure import Figure

from tlutils import figures

MAX_FRAMES, MAX_SECOND = 15, 5
WIDGET = "application/vnd.jupyter.widget-view+json"

_STYLE = "\n" + Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

# Plain script: it finds its own figure by id, and runs once however often the page evaluates it.
_SCRIPT = "\n" + Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


class Explorer:
    """Frames of one figure behind one or two sliders; shows itself in notebooks and on the built page.

    `parameters` maps a name to its values, `frames` holds a picture and its description per combination, the last
    parameter running fastest: SVG for a plot, WebP where the frame shows an image (see `figures.plot`). In a live
    kernel the figure is drawn anew for any value: see `widget`.
    """

    def __init__(self, draw, parameters, labels, alt, size, dpi, start=0):
        self.draw, self.alt, self.size, self.dpi = draw, alt, size, dpi
        self.parameters, self.labels, self.start = parameters, labels, start
        self.frames = [self.frame(*values) for values in itertools.product(*parameters.values())]

    def frame(self, *values) -> tuple[bytes, str]:
        """Draw one frame: the picture, as the bytes of an SVG or a WebP, and its description."""
        figure = Figure(figsize=self.size, dpi=self.dpi, layout="constrained")
        self.draw(figure.subplots(), *values)
        alt = self.alt(*values) if callable(self.alt) else _filled(self.alt, *values)
        if (text := figures.plot(figure, tight=False)) is not None:
            return text.encode(), alt
        return figures.picture(figure, "webp", tight=False, pil_kwargs={"quality": 60, "method": 6})[0], alt

    def to_html(self) -> str:
        """Return the figure as one piece of HTML that asks no other host for anything."""
        # as text, not as an address: the frames of a plot have most of their lines in common, which compresses well
        frames = [f'{{"alt": {_json(alt)}, ' + (f'"svg": {_json(picture.decode(), "</")}}}' if _is_svg(picture)
                                                else f'"src": {_json(_address(picture))}}}')
                  for picture, alt in self.frames]
        shown = [[_filled(label, value) for value in values]
                 for label, values in zip(self.labels, self.parameters.values(), strict=True)]
        starts = [self.start, *[0] * (len(shown) - 1)]
        picture, alt = self.frames[self.start * (len(frames) // len(shown[0]))]
        width = f' width="{round(self.size[0] * self.dpi)}"'
        payload = f'{{"labels": {_json(shown)}, "frames": [{", ".join(frames)}]}}'
        uid = f"explore-{hashlib.sha256(payload.encode()).hexdigest()[:10]}"
        sliders = "".join(
            f'<div class="slider"><label for="{uid}-{k}">{html.escape(name)}</label>'
            f'<input id="{uid}-{k}" type="range" min="0" max="{len(labels) - 1}" step="1" value="{start}">'
            f'<output for="{uid}-{k}">{html.escape(labels[start])}</output></div>'
            for k, (name, labels, start) in enumerate(zip(self.parameters, shown, starts, strict=True)))
        name = html.escape(next(iter(self.parameters)))
        return (f'<div class="explore" id="{uid}"><style>{_STYLE}</style>'
                f'<img src="{_address(picture)}"{width} alt="{html.escape(alt)}">'
                f'<div class="controls" hidden>{sliders}'
                f'<button type="button" aria-label="Play or stop: {name}">Play</button></div>'
                f'<script type="application/json">{payload}</script>'
                f'<script>{_SCRIPT.replace("%(id)s", uid)}</script></div>')

    def widget(self):
        """Return ipywidgets controls that call the drawing function for any value, recorded or not.

        A number gets a slider over the recorded range and a box for every other number, anything else a menu.
        A value that cannot be drawn leaves the last figure standing and says why below it.
        """
        import ipywidgets as widgets

        picture, caption = widgets.Image(width=str(round(self.size[0] * self.dpi))), widgets.HTML()
        inputs, rows = [], []

        def show(_=None):
            values = [control.value for control in inputs]
            try:
                drawn, alt = self.frame(*values)
                picture.format = "svg+xml" if _is_svg(drawn) else "webp"
                picture.value, caption.value = drawn, html.escape(alt)
            except Exception as error:  # whatever the chapter's own drawing function raises
                caption.value = html.escape(f"{values} cannot be drawn: {type(error).__name__}: {error}")

        starts = [self.start, *[0] * (len(self.parameters) - 1)]
        for (name, values), label, start in zip(self.parameters.items(), self.labels, starts, strict=True):
            control, *others = _controls(name, list(values), label, start)
            control.observe(show, "value")
            inputs.append(control)
            rows.append(widgets.HBox([widgets.Label(name), *others, control]))
        show()
        return widgets.VBox([picture, caption, *rows])

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        bundle = {"text/html": self.to_html(), "text/plain": repr(self)}
        if _kernel_is_live():
            bundle[WIDGET] = {"version_major": 2, "version_minor": 0, "model_id": self.widget().model_id}
        return bundle

    def __repr__(self) -> str:
        parts = [f"{name}: {', '.join(_filled(label, value) for value in values)}"
                 for (name, values), label in zip(self.parameters.items(), self.labels, strict=True)]
        return f"Explorer of {'; '.join(parts)}"


def explore(draw: Callable[..., None], name: str, values: Sequence, *, alt: Callable[..., str] | str,
            label: str = "{}", second: tuple[str, Sequence] | None = None, second_label: str = "{}",
            start: int = 0, size: tuple[float, float] = (6.4, 3.6), dpi: int = 90) -> Explorer:
    """Draw draw(ax, value) for every value, and return the frames behind a slider that needs no kernel.

    Shapes: values, at most 15; second = (name, at most 5 values) adds a slider, then draw(ax, value, other) is called
        for every pair; size in inches; start is the index of the value that is shown first.
    Convention: alt(value[, other]), or a format string, describes a frame to those who cannot see it; label formats
        the value beside the slider. Both are shown as text, braces without a value too. In a live kernel ipywidgets
        call draw for any other value too.
    Errors: ValueError for no values, more than 15 (5), a start outside of them, or twice the same name.
    """
    parameters, labels = {name: list(values)}, [label]
    if second is not None:
        if second[0] == name:
            raise ValueError(f"second must have a name of its own, got {name!r} twice")
        parameters[second[0]] = list(second[1])
        labels.append(second_label)
    for key, limit, given in zip(("values", "second"), (MAX_FRAMES, MAX_SECOND), parameters.values(), strict=False):
        if not 1 <= len(given) <= limit:
            raise ValueError(f"{key} must hold 1 to {limit} values, got {len(given)}")
    if not 0 <= start < len(parameters[name]):
        raise ValueError(f"start must be an index of the {len(parameters[name])} values, got {start}")
    return Explorer(draw, parameters, labels, alt, size, dpi, start)


def _json(value, closing="<"):
    """Return JSON that can stand in a script: what an author writes holds no tag there, an SVG none that closes it."""
    return json.dumps(value, ensure_ascii=False).replace(closing, closing.replace("<", "\\u003c"))


def _is_svg(picture):
    """Return whether the bytes of a frame are SVG."""
    return picture.startswith(b"<svg")


def _address(picture):
    """Return the bytes of a frame as an address that can stand in an attribute."""
    if _is_svg(picture):
        return "data:image/svg+xml," + quote(picture.decode(), safe=" =:;/,()@!*+-")
    return f"data:image/webp;base64,{base64.b64encode(picture).decode()}"


def _filled(template, *values):
    """Return template.format(*values); braces that are no place of a value, as in x_{i} or {a, b}, stay as they are."""
    try:
        return template.format(*values)
    except (KeyError, IndexError, ValueError):
        count = itertools.count()

    def fill(found):
        number, rest = found.groups()
        if number is None:
            return found.group()[0]  # {{ and }}, as in every format string
        k = int(number or next(count))
        return f"{{0{rest}}}".format(values[k]) if k < len(values) else found.group()

    return re.sub(r"\{\{|\}\}|\{(\d*)((?:![rsa])?(?::[^{}]*)?)\}", fill, template)


def _controls(name, values, label, start):
    """Return the ipywidgets of one parameter: the one that holds the value, then a slider that sets it, if any."""
    import ipywidgets as widgets

    if not all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in values):
        return [widgets.Dropdown(options=[(_filled(label, value), value) for value in values], value=values[start])]
    whole = all(isinstance(value, numbers.Integral) for value in values)
    number = (int if whole else float)(values[start])
    low, high = float(min(values)), float(max(values))
    box = (widgets.IntText if whole else widgets.FloatText)(value=number, layout=widgets.Layout(width="7rem"))
    if whole:
        slider = widgets.IntSlider(value=number, min=int(low), max=int(high), readout=False)
    elif low > 0 and high / low >= 100:
        slider = widgets.FloatLogSlider(value=number, min=math.log10(low), max=math.log10(high), readout=False)
    else:
        slider = widgets.FloatSlider(value=number, min=low, max=high, step=(high - low) / 200 or 1, readout=False)
    slider.observe(lambda change: setattr(box, "value", change["new"]), "value")
    return [box, slider]


def _kernel_is_live():
    """Return whether a Jupyter kernel runs this code, so that widgets can answer."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None
