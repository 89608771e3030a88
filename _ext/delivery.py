"""Fewer files before the first words: one style sheet, scripts that wait for the page, pictures that load when near."""
import hashlib
import html
import re

from PIL import Image

# Style sheets that every page has, in the order of the theme; what is not named here keeps a link of its own.
SHEETS = ("styles/theme.css", "styles/pydata-sphinx-theme.css", "pygments.css", "styles/sphinx-book-theme.css",
          "togglebutton.css", "copybutton.css", "mystnb.*.css", "book.css")
BUNDLE = "book-bundle.css"
LINK = re.compile(r'[ \t]*<link [^>]*?href="((?:\.\./)*)_static/([^"?]+\.css)[^"]*"[^>]*>\n?')


def bundle(site):
    """Write the style sheets as one; tell its `address`, a mark of its content in it, and what is `bundled` there."""
    static = site.folder / "_static"
    files = [found for name in SHEETS for found in sorted(static.glob(name))]
    texts = []
    for path in files:
        css = path.read_text(encoding="utf-8")
        if "@import" in css:  # theme.css is one line: the basic theme of Sphinx
            css = re.sub(r'@import "\.\./([\w.-]+)";', lambda name: (static / name.group(1)).read_text("utf-8"), css)
        texts.append(css.replace("url(../", "url(") if path.parent.name == "styles" else css)
    css = re.sub(r"/\*.*?\*/", "", "\n".join(texts), flags=re.S)
    css = re.sub(r"\n\s*", "\n", css)
    (static / BUNDLE).write_text(css, encoding="utf-8")
    mark = hashlib.sha256(css.encode()).hexdigest()[:8]
    site.address, site.bundled = f"{BUNDLE}?v={mark}", {path.relative_to(static).as_posix() for path in files}


def link_bundle(page, address, bundled):
    """Return a page that links the bundle in place of its parts, and no sheet of a component that it does not use."""
    design = re.search(r'class="[^"]*\bsd-', page)

    def replace(link):
        up, name = link.groups()
        if name in ("styles/theme.css", BUNDLE):
            return f'  <link rel="stylesheet" href="{up}_static/{address}" />\n'
        unused = name == "sphinx-thebe.css" or (name.startswith("sphinx-design") and not design)
        return "" if name in bundled or unused else link.group()

    return LINK.sub(replace, page)


def defer_scripts(page, path, folder):
    """Return a page whose scripts run after it was read, in their order; the small file of options stands in it."""
    if path.name == "search.html":  # its own scripts are in the page and need the others at once
        return page
    options = (folder / "_static" / "documentation_options.js").read_text(encoding="utf-8").strip()
    page = re.sub(r'<script src="[^"]*documentation_options\.js[^"]*"></script>',
                  lambda _: f"<script>{options}</script>", page)
    page = re.sub(r'\s*<script [^>]*src="[^"]*fontawesome\.js[^"]*"></script>', "", page)
    if not re.search(r'class="[^"]*\bsd-tab', page):
        page = re.sub(r'\s*<script [^>]*src="[^"]*design-tabs\.js[^"]*"></script>', "", page)
    return re.sub(r"<script (?!defer)(?=[^>]*\bsrc=)", "<script defer ", page)


def size_of(path):
    """Return the width and the height of a picture in pixels, of an SVG what its root says; None where it says none."""
    if path.suffix == ".svg":
        root = re.search(r"<svg[^>]*>", path.read_text(encoding="utf-8")).group()
        found = [re.search(rf'\s{side}="([\d.]+)(?:px)?"', root) for side in ("width", "height")]
        return tuple(round(float(side.group(1))) for side in found) if all(found) else None
    with Image.open(path) as picture:
        return picture.size


def size_pictures(page, path):
    """Return a page whose pictures have their size, so nothing jumps, and load when the reader comes near."""
    def complete(tag):
        file = (path.parent / tag.group(2)).resolve()
        if "loading=" in tag.group() or file.suffix not in (".png", ".webp", ".jpg", ".svg") or not file.exists():
            return tag.group()
        if not (size := size_of(file)):
            return tag.group()
        width, height = size
        given = re.search(r"width: (\d+)px", tag.group())  # a picture of two pixels for each one of the page
        if given:
            width, height = int(given.group(1)), round(int(given.group(1)) * height / width)
        before, after = (re.sub(r'\sstyle="width: \d+px;?"', "", part) for part in (tag.group(1), tag.group(3)))
        size = "" if re.search(r"\swidth=", tag.group()) else f' width="{width}" height="{height}"'
        role = ' role="img"' if file.suffix == ".svg" and "role=" not in tag.group() else ""
        return f'{before}src="{tag.group(2)}"{size}{role} loading="lazy" decoding="async"{after}'

    return re.sub(r'(<img [^>]*?)src="((?:\.\./)*_images/[^"]+)"([^>]*>)', complete, page)


def plain_names(page):
    """Return a page without marks on names, brackets and blanks of code, whose colour is that of the text anyway.

    They are more than a third of the elements of a chapter, and a phone takes its time for each.
    """
    return re.sub(r'<span class="[npw]">([^<]*)</span>', r"\1", page)


BLOCK = re.compile(r'(<div class="([^"]*)notranslate"><div class="highlight"><pre>(?:<span></span>)?)(.*?)</pre>', re.S)


def hanging_lines(page):
    """Return a page whose lines of code and of printed text know their indentation, so that what is too long for the
    screen goes on below, further in (book.css), instead of being cut. What is copied stays one line.

    Where most printed rows are columns, two blanks between them, the block is a table and every row of it stays whole,
    for on a phone a table scrolls; a sentence below it does not. Dotted names and calls may part after a dot and "(".
    """
    def plain(source):
        return html.unescape(re.sub(r"<[^>]+>", "", source))

    def in_columns(text):
        return bool(re.search(r"\S {2,}\S", text)) and not re.match(r"\w+: ", text)

    def is_row(text):
        return in_columns(text) or not re.search(r"[.:]\s*$|^\w+: ", text)

    def line(source, table, printed):
        text = plain(source)
        indent = len(text) - len(text.lstrip(" "))
        if not text.strip() or (len(text) <= 30 and not indent) or source.count("<span") != source.count("</span>"):
            return source
        kind = "ln cols" if table and is_row(text) else "ln"
        if not printed:  # what is far in may part before the line is left empty and a word is broken
            source = re.sub(r'(<span class="o">[.=]</span>)', r"\1<wbr>", source)
            source = re.sub(r"\((?=[^<>()\s])(?![^<>]*>)", "(<wbr>", source)
        return f'<span class="{kind}"' + (f' style="--i:{indent}"' if indent else "") + f">{source}</span>"

    def block(match):
        if '<span class="ln' in match.group(3):
            return match.group()  # an earlier build has been here
        lines = match.group(3).split("\n")
        texts = [text for text in map(plain, lines) if len(text) > 30]
        long = [in_columns(text) for text in texts]
        printed = match.group(2).startswith("output")
        table = printed and sum(long) > 0 and 2 * sum(long) >= len(long)
        table = table and all(len(text) <= 88 for text in texts if is_row(text))  # or every row goes on below
        return match.group(1) + "\n".join(line(one, table, printed) for one in lines) + "</pre>"

    return BLOCK.sub(block, page)
