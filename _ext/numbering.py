"""Number a chapter by its file: chapters/12_transrate is chapter 12, also while chapters before it are unwritten."""
import re

from docutils import nodes


def number_by_file(app, env):
    """Replace the running number that Sphinx gave a chapter, in its own headings and in every table of contents."""
    for page in env.found_docs:
        match = re.match(r"chapters/(\d\d)_", page)
        if not match:
            continue
        number = int(match.group(1))
        given = env.toc_secnumbers.get(page, {})
        env.toc_secnumbers[page] = {anchor: found and (number, *found[1:]) for anchor, found in given.items()}
        for link in env.tocs[page].findall(nodes.reference):
            if found := link.get("secnumber"):
                link["secnumber"] = (number, *found[1:])


def setup(app):
    """Register with Sphinx: after its own numbering, before pages are written."""
    app.connect("env-check-consistency", number_by_file)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
