"""A figure as the page shows it: a plot as SVG whose text is text, a photograph or a crowd of marks as a sharp picture.

The same figure gives the same bytes: no date, no random names, and text set in the metrics of one font that matplotlib
carries. In the SVG itself no font is named but the page's own.
"""
import base64
import io
import re
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.image import _ImageBase

# Beyond this a browser is quicker with a picture. A plot of the book has 100 to 900 elements and 10 to 60 kB.
MAX_ELEMENTS, MAX_BYTES = 3000, 300_000
FONTS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
SHARP = 2  # pixels of a picture for each pixel of the page

_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "tlutils", "svg.image_inline": True,
             "font.family": ["sans-serif"], "font.sans-serif": ["DejaVu Sans"]}
_FAMILY = re.compile(r"; *font-family: *'DejaVu Sans'(?:, *sans-serif)?(?= *;|$)")
_SHORTHAND = re.compile(r"font: ([^;']*?)([\d.]+px) ('[^;]*)")
_LONG = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")


def draw_as(figure: Figure, kind: str) -> Figure:
    """Say how a figure is shown where the rule of `plot` chooses the wrong kind: "svg" or "png".

    Errors: ValueError for another kind.
    """
    if kind not in ("svg", "png"):
        raise ValueError(f"kind must be 'svg' or 'png', got {kind!r}")
    figure._shown_as = kind
    return figure


def plot(figure: Figure, *, tight: bool = True) -> str | None:
    """Return the SVG of a figure that is a plot, else None: it shows an image, or has too many elements for a page.

    What `draw_as` says of the figure comes first.
    """
    kind = getattr(figure, "_shown_as", None)
    if kind == "png" or (kind is None and figure.findobj(_ImageBase)):
        return None
    text = svg(figure, tight=tight)
    light = len(re.findall(r"<\w", text)) <= MAX_ELEMENTS and len(text) <= MAX_BYTES
    return text if kind == "svg" or light else None


def svg(figure: Figure, *, tight: bool = True) -> str:
    """Return a figure as SVG in the size it has on a page, its text as text in the page's own font.

    Units: width and height in pixels, the figure's inches times its dpi.
    Convention: coordinates are rounded to a hundredth of a point; names that nothing refers to go, so that several
        figures can stand in one page. tight cuts the margin away.
    """
    file = io.StringIO()
    with rc_context(_SETTINGS):
        figure.savefig(file, format="svg", bbox_inches="tight" if tight else None,
                       metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _slim(file.getvalue(), figure.dpi)


def picture(figure: Figure, kind: str = "png", *, tight: bool = True, **options) -> tuple[bytes, int]:
    """Return a figure as a sharp picture, two pixels for each one of the page, and its width on the page in pixels."""
    from PIL import Image

    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=SHARP * figure.dpi, bbox_inches="tight" if tight else None, **options)
    with Image.open(file) as drawn:
        return file.getvalue(), round(drawn.width / SHARP)


def bundle(figure: Figure) -> tuple[dict, dict]:
    """Return what a notebook shows of a figure, and its width if it is a picture: data and metadata by MIME type."""
    if not figure.axes and not figure.lines:
        return {}, {}
    if (text := plot(figure)) is not None:
        return {"image/svg+xml": text}, {}
    data, width = picture(figure)
    return {"image/png": base64.b64encode(data).decode()}, {"image/png": {"width": width}}


def show_in_notebook() -> None:
    """Let the notebook that runs this code show figures as `bundle` makes them; elsewhere nothing changes."""
    try:
        from IPython import get_ipython
    except ImportError:
        return
    formatter = getattr(get_ipython(), "display_formatter", None)
    if formatter is None:
        return
    import matplotlib_inline.backend_inline  # noqa: F401  it sets its own formats when it is first loaded, not later

    for other in formatter.formatters.values():
        other.pop(Figure, None)
    formatter.mimebundle_formatter.for_type(Figure, bundle)


def _slim(text, dpi):
    """Return matplotlib's SVG without what a page does not need: half of its bytes, and no names that could collide."""
    text = re.sub(r' xmlns(?::\w+)?="[^"]*"', "", text[text.index("<svg"):]).replace("xlink:href=", "href=")
    root = ElementTree.fromstring(text)
    named = set(re.findall(r'(?:url\(|href=")#([\w-]+)', text))
    width, height = (float(n) for n in root.get("viewBox").split()[2:])
    root.attrib = {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "width": f"{width * dpi / 72:.0f}",
                   "height": f"{height * dpi / 72:.0f}", "viewBox": f"0 0 {width:g} {height:g}",
                   "font-family": FONTS, "stroke-linejoin": "round"}
    for part in root.iter():
        part.attrib = dict(_attributes(part.attrib, named)) if part is not root else part.attrib
        part.tail, part.text = None, part.text if part.tag in ("text", "tspan") and not len(part) else None
    for text in root.iter("text"):
        text[:] = _joined(text)
    root[:] = _without_empty_groups(root)
    text = ElementTree.tostring(root, encoding="unicode").replace(" />", "/>")
    return re.sub(r"><(?!/?tspan|/text)", ">\n<", text) + "\n"  # a line an element: two versions can be compared


def _attributes(given, named):
    """Yield the attributes that stay: no name that nothing refers to, no font, no turn by nothing, short numbers."""
    for key, value in given.items():
        if key == "style":
            value = _SHORTHAND.sub(_spelt_out, value)  # matplotlib before 3.11
            value = re.sub(r"([:;]) +", r"\1", _FAMILY.sub("", value))
        elif key in ("d", "x", "y", "points") or (key == "transform" and not re.search("matrix|scale", value)):
            value = _LONG.sub(lambda number: f"{float(number.group()):.2f}".rstrip("0").rstrip("."), value)
            value = re.sub(r"(?<![\d.])-0(?![\d.])", "0", value)
            value = re.sub(r"\s*([A-Za-z])\s*", r"\1", value).strip() if key == "d" else value
        if value and not (key == "id" and value not in named) and not value.startswith("rotate(0 "):
            yield key, value


def _without_empty_groups(part):
    """Return the children of an element, those of groups that say nothing in their place."""
    found = []
    for child in part:
        child[:] = _without_empty_groups(child) if child.tag == "g" else list(child)
        if child.tag == "defs":
            child[:] = [part for part in child if part.tag != "style"]
        looks = {(mark.tag, mark.get("style")) for mark in child} if child.tag == "g" and len(child) > 1 else set()
        if len(looks) == 1 and "style" not in child.attrib and (look := looks.pop())[0] == "use" and look[1]:
            child.set("style", look[1])  # said once for all marks of a line
            for mark in child:
                del mark.attrib["style"]
        if child.tag == "metadata" or (child.tag in ("g", "defs") and not len(child)):
            continue
        found += list(child) if child.tag == "g" and not set(child.attrib) - {"id"} else [child]
    return found


def _spelt_out(found):
    """Return the font of a text, written in one, as the properties that it sets."""
    words, size, family = found.groups()
    named = [f"font-{'weight' if word.isdigit() else 'style'}: {word}" for word in words.split()]
    return "; ".join([*named, f"font-size: {size}", f"font-family: {family}"])


def _joined(spans):
    """Return the letters of a formula joined where they stand beside each other in one style, and begin as they did."""
    letters = [(float(x), span.get("y"), span.get("style"), letter) for span in spans
               for x, letter in zip(span.get("x").split(), span.text.replace(" ", "\N{NO-BREAK SPACE}"), strict=True)]
    pieces, before = [], None
    for x, y, style, letter in sorted(letters):
        if (y, style) == before:
            pieces[-1].text += letter
        else:
            pieces.append(ElementTree.Element("tspan", {"x": f"{x:.4g}", "y": y, "style": style}))
            pieces[-1].text, before = letter, (y, style)
    return pieces
