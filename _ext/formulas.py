"""Formulas without a script: TeX becomes MathML when the book is built, set in a font cut down to what is used.

The converter knows the common commands of LaTeX; one that it does not know is a warning, hence an error of the build.
"""
import re
import unicodedata
from pathlib import Path

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)
CONVERTER = LatexToMathML(fancy_error=False)
# browsers draw a single letter in <mi> with the character that Unicode has for its italic
ITALIC = {unicodedata.normalize("NFKC", chr(code)): chr(code)
          for code in [*range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C)] if chr(code) != "\U0001d455"}
ITALIC["h"] = "\u210e"
FONT = Path("_vendor", "stix-two-math", "stix-two-math.woff2")


def mathml(tex, display=False):
    """Return a formula as MathML; ValueError for a command or construction that the converter does not know."""
    try:
        # the selector U+FE00 asks for one of two script alphabets; fonts without the choice would fall back on it
        return CONVERTER.convert_with_local_state(tex.strip(), displaystyle=display).replace("\ufe00", "")
    except LatexError as error:
        raise ValueError(f"formula not understood: {tex.strip()}: {error}") from None


def converted(node, display):
    """Return the MathML of a node, or its source and a warning that names the formula."""
    try:
        return mathml(node.astext(), display)
    except ValueError as error:
        logger.warning("%s", error, location=node)
        return f"<code>{node.astext()}</code>"


def visit_inline(self, node):
    """Write a formula in a line."""
    self.body.append(f'<span class="math">{converted(node, False)}</span>')
    raise nodes.SkipNode


def visit_block(self, node):
    """Write a displayed formula in a box that scrolls by itself, with its number where it has one."""
    self.body.append(self.starttag(node, "div", CLASS="math"))
    if node["number"]:
        number = get_node_equation_number(self, node)
        self.body.append(f'<span class="eqno">({number})</span>')
    self.body.append(converted(node, True) + "</div>\n")
    raise nodes.SkipNode


def characters(pages):
    """Return the characters that stand in the formulas of pages, given as texts."""
    found = set()
    for page in pages:
        for formula in re.findall(r"<math\b.*?</math>", page, re.S):
            found |= set(re.sub(r"<[^>]*>|&\w+;", "", formula))
            found |= {ITALIC.get(char, char) for char in re.findall(r"<mi>(.)</mi>", formula)}
    return found | set("()[]{}|<>&\u2061\u2063 ")


def subset_font(site):
    """Write the mathematics font with the characters in use, their sizes and its MATH table: 400 kB become about 30."""
    source, target = Path(site.app.srcdir, FONT), site.folder / "_static" / FONT.name
    target.with_suffix(".LICENSE.txt").write_bytes(source.with_name("LICENSE").read_bytes())  # goes where the font goes
    try:
        import brotli  # noqa: F401 - fontTools needs it for this kind of font
        from fontTools import subset
    except ImportError:  # the font stays whole: larger, not wrong
        target.write_bytes(source.read_bytes())
        return
    options = subset.Options(flavor="woff2", layout_features=["ssty", "dtls", "flac", "kern"], notdef_outline=True)
    font = subset.load_font(str(source), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes={ord(char) for char in characters(site.pages.values())} & set(font.getBestCmap()))
    subsetter.subset(font)
    subset.save_font(font, str(target), options)


def setup(app):
    """Register with Sphinx; _config.yml chooses this renderer, so that no page asks for MathJax."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
