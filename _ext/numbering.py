"""Number a chapter by its file: chapters/12_transrate is chapter 12, also while chapters before it are unwritten."""
from docutils import nodes
from records import book


def number_by_file(app, env):
    """Replace the running number that Sphinx gave a chapter, in its headings and title and in all contents."""
    for page in env.found_docs:
        if not (found := book.number(page)):
            continue
        number = int(found)
        given = env.toc_secnumbers.get(page, {})
        env.toc_secnumbers[page] = {anchor: found and (number, *found[1:]) for anchor, found in given.items()}
        for node in (*env.tocs[page].findall(nodes.reference), env.titles[page], env.longtitles[page]):
            if found := node.get("secnumber"):
                node["secnumber"] = (number, *found[1:])


def setup(app):
    """Register with Sphinx: after its own numbering, and where nothing was read and so nothing numbered."""
    app.connect("env-updated", number_by_file)
    app.connect("env-check-consistency", number_by_file)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
