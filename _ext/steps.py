"""After the build: what is done to the site that Sphinx has written, step after step, in one order.

Each page is read once before the first step and written once after the last, if it changed. A step of a page takes its
text and gives it back; a step of the site reads pages and writes files.
"""
import inspect
import logging
from pathlib import Path

import delivery
import formulas
import offline
import pages


class Site:
    """The built site while the steps are at work: its folder, the texts of its pages, and what one step tells another.

    `pages` is {path: text}; files below _static are no pages. delivery.bundle adds `address` and `bundled`.
    """

    def __init__(self, app):
        """Read the pages that the builder of an application has written."""
        self.app, self.folder = app, Path(app.outdir)
        self.pages = {path: path.read_text(encoding="utf-8") for path in sorted(self.folder.rglob("*.html"))
                      if "_static" not in path.relative_to(self.folder).parts}

    def write(self, before):
        """Write the pages whose text is not that of `before`."""
        for path, text in self.pages.items():
            if text != before[path]:
                path.write_text(text, encoding="utf-8")


def each(step):
    """Return a step of the site from one of a page: step(text, ...) -> text, which is given by their names what else
    it takes, the `path` of the page and what the site knows.
    """
    names = list(inspect.signature(step).parameters)[1:]

    def run(site):
        for path, text in site.pages.items():
            known = vars(site) | {"path": path}
            site.pages[path] = step(text, **{name: known[name] for name in names})

    run.__name__ = f"each {step.__name__}"
    return run


STEPS = (
    # files that the pages name, by what the builder wrote of them
    offline.lighten,              # first: it asks the pages for their icons, and cuts a style sheet that bundle holds
    formulas.subset_font,         # the same for the characters of formulas; no other step changes a formula
    pages.write_files,            # sitemap, robots.txt and the page for a wrong address, which is whole as it is
    delivery.bundle,              # after lighten: the name of the bundle says its content
    # pages, each step on the text that the one before has left
    each(pages.mend),             # the theme's markup as the theme wrote it, while code still is as Pygments wrote it
    each(delivery.link_bundle),   # after bundle, which tells the address
    each(delivery.defer_scripts),
    each(delivery.size_pictures),
    each(delivery.plain_names),   # before hanging_lines, which takes a line with half of a mark for none
    each(delivery.hanging_lines),
)


def finish(app, exception):
    """Do all steps on a site that was built."""
    if exception or app.builder.format != "html":
        return
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # the theme has let every logger speak by now
    site = Site(app)
    before = dict(site.pages)
    for step in STEPS:
        step(site)
    site.write(before)


def setup(app):
    """Register with Sphinx: late, when theme and extensions have written their files."""
    app.connect("build-finished", finish, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
