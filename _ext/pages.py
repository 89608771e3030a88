"""What search engines, link previews and phones want: a description and a card per page, a sitemap, markup mended.

Three extensions do much of this, and were tried with this book. sphinxext-opengraph 0.13 cuts descriptions in the
middle of a word, calls every page a website, and wants the address of the site a second time. sphinx-sitemap 2.9 lists
search and index, and starts a process that outlives a build that was killed: make book waits for it for ever. The page
of sphinx-notfound-page 1.1 names its files from the root of the published site: broken wherever else it is served.
"""
import html
import re
from pathlib import Path
from xml.sax.saxutils import escape

import records
from docutils import nodes


def description(doctree):
    """Return the first paragraph of a page as plain text of at most 160 characters, or an empty string."""
    for paragraph in doctree.findall(nodes.paragraph):
        if not list(paragraph.findall(nodes.image)) and (words := " ".join(paragraph.astext().split())):
            return words if len(words) <= 160 else words[:157].rsplit(" ", 1)[0] + "..."
    return ""


CARD = "_static/social-card.png"
CARD_ALT = "What Transfers? Beside the title, accuracy after copying one to seven layers from other tasks."


def add_metadata(app, pagename, templatename, context, doctree):
    """Give a page its description and the tags that a link preview reads."""
    if doctree is None:
        return
    base = (app.config.html_baseurl or "").rstrip("/")
    text = html.escape(description(doctree), quote=True)
    title = html.escape(re.sub("<.*?>", "", context.get("title", "")), quote=True)
    kind = "website" if pagename == app.config.root_doc else "article"
    tags = {"og:title": title, "og:description": text, "og:type": kind,
            "og:site_name": html.escape(app.config.html_title or "", quote=True)}
    if base:
        tags |= {"og:url": f"{base}/{pagename}.html", "og:image": f"{base}/{CARD}", "og:image:alt": CARD_ALT,
                 "og:image:width": "1200", "og:image:height": "630"}
    lines = [f'<meta name="description" content="{text}">', '<meta name="twitter:card" content="summary_large_image">',
             *(f'<meta property="{name}" content="{content}">' for name, content in tags.items())]
    context["metatags"] = context.get("metatags", "") + "\n".join(lines) + "\n"


NOT_FOUND = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Page not found - {title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<style>body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1rem; }}
:root {{ color-scheme: light dark; }}</style></head>
<body><main><h1>This page is not here</h1><p>It may have moved when a chapter was renamed.</p>
<p><a href="{base}/index.html">{title}: all chapters</a> &middot; <a href="{base}/search.html">search</a></p></main>
</body></html>
"""


def write_files(site):
    """Write sitemap.xml with every page of the book, robots.txt that names it, and the page for a wrong address."""
    base, title = (site.app.config.html_baseurl or "").rstrip("/"), html.escape(site.app.config.html_title)
    if not base:
        return
    names = sorted(site.app.env.found_docs)
    pages = "".join(f"<url><loc>{escape(f'{base}/{name}.html')}</loc></url>\n" for name in names)
    files = {"sitemap.xml": '<?xml version="1.0" encoding="utf-8"?>\n'
                            '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n' + pages + "</urlset>\n",
             "robots.txt": f"User-agent: *\nAllow: /\nSitemap: {base}/sitemap.xml\n",
             "404.html": NOT_FOUND.format(title=title, base=base)}
    for name, text in files.items():
        (site.folder / name).write_text(text, encoding="utf-8")


def hide_alt_comments(app, doctree):
    """Leave the comment `# alt: ...` out of the code that a page shows: its text stands in the figure itself."""
    for block in doctree.findall(nodes.literal_block):
        source = re.sub(r"\n# ?alt:.*(?:\n#.*)*\s*\Z", "", block.astext())
        if source != block.astext():
            block.rawsource, block.children = source, []
            block += nodes.Text(source)


def tell_minutes(app, doctree):
    """Tell the run time of a chapter from results/chapters.json, at its top and below the set-up cell.

    The stored output of that cell tells what its machine, busy or not, expected; a page is no machine.
    """
    number = records.book.number(app.env.docname)
    run = number and records.run_times(app.srcdir).get(number, {}).get("laptop/cpu")
    if not run:
        return
    app.env.note_dependency(str(Path(app.srcdir, "results", "chapters.json")))
    minutes = records.minutes(run)
    told = {r"^About \d+ minutes? on two": f"About {minutes} minute{'s' * (minutes > 1)} on two",
            r"(?m)^time: +about \d+ min here; memory: .*$":
                f"time:   about {minutes} min on two CPU cores; memory: about {run['memory_gb']:.1f} GB"}
    for text in list(doctree.findall(nodes.Text)):
        for pattern, words in told.items():
            if re.search(pattern, text):
                text.parent.rawsource = re.sub(pattern, words, text)  # or a printed text counts as marked up
                text.parent.replace(text, nodes.Text(text.parent.rawsource))


# What the theme writes -> what it should have written. Each is a rule of the accessibility checker axe.
MENDED = [
    (r'(<button class="btn search-button-field[^>]*?) aria-label="[^"]*"', r"\1"),  # its text says more than the label
    (r'(<summary) aria-label="Toggle hidden content"', r"\1"),
    (r'(<div id="pst-primary-sidebar" class="[^"]*")>', r'\1 role="complementary" aria-label="Book">'),
    (r'(<div id="jb-print-docs-body"[^>]*>\s*)<h1>(.*?)</h1>', r'\1<div class="h1">\2</div>'),  # one h1 a page
    (r' role="doc-biblioentry"', ""),
    (r"<title>(What Transfers\?[^<]*?) &#8212; What Transfers\?</title>", r"<title>\1</title>"),
    # a folded cell that begins with "# @title Solution" says what it hides
    (r'<p class="collapsed admonition-title">[^<]*</p>\s*<p class="expanded admonition-title">[^<]*</p>'
     r'(?=\s*</summary>(?:\s*<div[^>]*>)+<pre>(?:<span[^>]*></span>)?<span class="c1"># @title Solution)',
     '<p class="admonition-title">Solution</p>'),
    (r'<div role="list" class="citation-list">', '<div class="citation-list">'),
    # in the contents, the arrow that shows the pages below one
    (r'>([^<]*)</a>(<details[^>]*><summary)(?=><span class="toctree-toggle")', r'>\1</a>\2 aria-label="\1: its pages"'),
]


def mend(page):
    """Return a page with the theme's markup mended."""
    for pattern, replacement in MENDED:
        page = re.sub(pattern, replacement, page, flags=re.S)
    return page


def setup(app):
    """Register with Sphinx."""
    app.connect("doctree-read", hide_alt_comments)
    app.connect("doctree-read", tell_minutes)
    app.connect("html-page-context", add_metadata, priority=800)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
