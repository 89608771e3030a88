"""Show the package's docstrings as they are written: a first paragraph, then parts such as `Shapes: ...`.

The parts become a field list. What they say is plain text with equations in it (x * y, |x|, loss_), so the characters
that reStructuredText would take for markup are protected; only `code` between backquotes is markup. Examples (>>> ...)
stay as they are.
"""
import re

PARTS = ("Equation", "Source", "Shapes", "Units", "Convention", "Errors", "Example")
PART = re.compile(rf"^((?:{'|'.join(PARTS)})(?:s| and \w+)?):\s*(.*)$")


def protect(text):
    """Return a line with markup characters escaped and `code` turned into literal text."""
    pieces = re.split(r"(`[^`]+`)", text)
    for i, piece in enumerate(pieces):
        if piece.startswith("`") and piece.endswith("`") and len(piece) > 2:
            pieces[i] = f"`{piece}`"
        else:
            pieces[i] = re.sub(r"([\\*`|_<>])", r"\\\1", piece)
    return "".join(pieces)


def convert(lines):
    """Return the lines of a docstring as reStructuredText: paragraphs, then one field per part."""
    result, field, example = [], False, False
    for line in lines:
        match, words = PART.match(line), line.strip()
        example = words.startswith(">>>") or (example and bool(words) and not match)
        if example:
            if words.startswith(">>>") and result and not result[-1].strip().startswith((">>>", "...", ":Example")):
                result.append("")
            result.append(("    " if field else "") + words)
        elif match:
            if not field and result and result[-1]:
                result.append("")
            field = True
            result.append(f":{match.group(1)}: {protect(match.group(2))}".rstrip())
        elif not words:
            result.append("")
            field = False
        else:
            result.append(("    " if field else "") + protect(words))
    return [*result, ""]


def process(app, what, name, obj, options, lines):
    """Convert the docstrings of our own package; inherited ones of other packages are dropped to their first line."""
    lines[:] = convert(lines)


def setup(app):
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", process)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
