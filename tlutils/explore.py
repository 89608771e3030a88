"""Interactive figures that need no kernel: frames drawn once, shown behind a slider of the page itself."""
import base64
import hashlib
import html
import io
import json
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

MAX_FRAMES = 15

_STYLE = """
.explore{max-width:100%;margin:.5rem 0 1rem;color:inherit}
.explore img{display:block;max-width:100%;height:auto;background:#fff;border-radius:.4rem}
.explore .controls{display:flex;flex-wrap:wrap;gap:.75rem;align-items:center;margin-top:.5rem}
.explore .controls[hidden]{display:none}
.explore input[type=range]{flex:1 1 10rem;min-height:24px}
.explore output{min-width:5ch;font-variant-numeric:tabular-nums}
.explore button{min-width:4.5rem;min-height:32px;font:inherit}
"""

# Plain script: it finds its own figure by id, and runs once however often the page evaluates it.
_SCRIPT = """
(() => {
  const root = document.getElementById("%(id)s");
  if (!root || root.dataset.alive) return;
  root.dataset.alive = "yes";
  const frames = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const [picture, slider, label, button] = ["img", "input", "output", "button"].map(tag => root.querySelector(tag));
  let timer = 0;
  const show = () => {
    const frame = frames[+slider.value];
    picture.src = frame.src; picture.alt = frame.alt;
    label.textContent = frame.label; slider.setAttribute("aria-valuetext", frame.label);
  };
  const stop = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
  slider.addEventListener("input", () => { stop(); show(); });
  button.addEventListener("click", () => {
    if (timer) return stop();
    button.textContent = "Stop";
    timer = setInterval(() => {
      if (!root.isConnected) return stop();
      slider.value = (+slider.value + 1) %% frames.length; show();
    }, 900);
  });
  root.querySelector(".controls").hidden = false;
  show();
})();
"""


class Explorer:
    """Frames of one figure behind a slider; shows itself in notebooks and on the built page."""

    def __init__(self, name: str, labels: list[str], pictures: list[bytes], alts: list[str]):
        self.name, self.labels, self.pictures, self.alts = name, labels, pictures, alts

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.to_html(), "text/plain": repr(self)}

    def to_html(self) -> str:
        """Return the figure as one piece of HTML that asks no other host for anything."""
        sources = [f"data:image/webp;base64,{base64.b64encode(picture).decode()}" for picture in self.pictures]
        frames = [{"src": src, "label": label, "alt": alt}
                  for src, label, alt in zip(sources, self.labels, self.alts, strict=True)]
        digest = hashlib.sha256("".join(sources).encode()).hexdigest()[:10]
        uid, name = f"explore-{digest}", html.escape(self.name)
        payload = json.dumps(frames, ensure_ascii=False).replace("<", "\\u003c")
        return (f'<div class="explore" id="{uid}"><style>{_STYLE}</style>'
                f'<img src="{sources[0]}" alt="{html.escape(self.alts[0])}">'
                f'<div class="controls" hidden><label for="{uid}-slider">{name}</label>'
                f'<input id="{uid}-slider" type="range" min="0" max="{len(frames) - 1}" step="1" value="0">'
                f'<output for="{uid}-slider">{html.escape(self.labels[0])}</output>'
                f'<button type="button" aria-label="Play or stop: {name}">Play</button></div>'
                f'<script type="application/json">{payload}</script>'
                f'<script>{_SCRIPT % {"id": uid}}</script></div>')

    def __repr__(self) -> str:
        return f"Explorer of {self.name}: {', '.join(self.labels)}"


def explore(draw: Callable[[Axes, object], None], name: str, values: Sequence, *, alt: Callable[[object], str] | str,
            label: str = "{}", size: tuple[float, float] = (6.4, 3.6), dpi: int = 90) -> Explorer:
    """Draw draw(ax, value) for every value, and return the frames behind a slider that needs no kernel.

    Shapes: values, at most 15; size in inches. alt(value), or a format string, describes a frame to those who cannot
        see it; label formats the value beside the slider.
    Errors: ValueError for no values or more than 15.
    """
    if not 1 <= len(values) <= MAX_FRAMES:
        raise ValueError(f"values must hold 1 to {MAX_FRAMES} values, got {len(values)}")
    pictures = []
    for value in values:
        figure = Figure(figsize=size, dpi=dpi, layout="constrained")
        draw(figure.subplots(), value)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="webp", dpi=dpi, pil_kwargs={"quality": 80, "method": 6})
        pictures.append(buffer.getvalue())
    alts = [alt(value) if callable(alt) else alt.format(value) for value in values]
    return Explorer(name, [label.format(value) for value in values], pictures, alts)
