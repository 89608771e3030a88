"""Let the built site need no other host, and carry no script or icon that no page uses."""
import re

from sphinx.util import logging

logger = logging.getLogger(__name__)


def drop_scripts(app, pagename, templatename, context, doctree):
    """Remove thebe's scripts: thebe is off, and they log an error."""
    def unwanted(script):
        name = str(getattr(script, "filename", script) or "")
        return "thebe" in name.lower() or "THEBE" in str(getattr(script, "attributes", {}).get("body", ""))

    context["script_files"][:] = [script for script in context.get("script_files", []) if not unwanted(script)]


def icons_in_use(site):
    """Return the names of the icons (fa-...) that a page or a script of the built site mentions."""
    scripts = (path.read_text(encoding="utf-8", errors="ignore") for path in sorted(site.folder.rglob("*.js"))
               if "fontawesome" not in path.name)
    return {name for text in (*site.pages.values(), *scripts) for name in re.findall(r"fa-[a-z0-9-]+", text)}


def code_points(css, used):
    """Return the characters of the icons in use, and those that the style sheet shows by itself (content: "...")."""
    wanted = set()
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        names = re.findall(r"\.(fa-[a-z0-9-]+)", selectors)
        if not names or used & set(names):
            wanted |= {int(code, 16) for code in re.findall(r"\"\\([0-9a-fA-F]{4,5})\"", body)}
    return wanted


def drop_unused_rules(folder, used):
    """Remove the rules of icons that no page shows from the theme's style sheet: 20 kB of its 64, compressed."""
    def keep(rule):
        return rule.group() if used & set(re.findall(r"\.(fa-[a-z0-9-]+)", rule.group())) else ""

    for path in folder.glob("_static/styles/pydata-sphinx-theme.css"):
        css = path.read_text(encoding="utf-8")
        slim = re.sub(r"(?<=\})(?:\.fa-[a-z0-9-]+:before,?)+\{content:\"\\[0-9a-f]+\"\}", keep, css)
        path.write_text(slim, encoding="utf-8")


def subset_icons(folder, used):
    """Cut the theme's icon fonts down to the icons in use: 300 kB become about 5 kB."""
    from fontTools import subset

    css = "\n".join(path.read_text(encoding="utf-8") for path in folder.rglob("_static/**/*.css"))
    wanted = code_points(css, used)
    for path in folder.glob("_static/vendor/fontawesome/webfonts/*.woff2"):
        options = subset.Options(flavor="woff2", layout_features=["*"])
        font = subset.load_font(str(path), options)
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=wanted & set(font.getBestCmap()) or {0x20})
        subsetter.subset(font)
        subset.save_font(font, str(path), options)


def lighten(site):
    """Leave the icons as one small font instead of a font and 1.5 MB of script."""
    folder = site.folder
    for script in folder.glob("_static/scripts/fontawesome.js*"):
        if script.suffix == ".js":
            script.write_text("/* the icons are in the fonts of vendor/fontawesome */\n", encoding="utf-8")
        else:
            script.unlink()
    for large in folder.glob("_static/**/*.map"):
        large.unlink()
    used = icons_in_use(site)
    drop_unused_rules(folder, used)
    try:
        subset_icons(folder, used)
    except (ImportError, KeyError) as error:  # without brotli the fonts stay whole: larger, not wrong
        logger.info("icon fonts left whole: %s", error)


def setup(app):
    """Register with Sphinx."""
    app.connect("html-page-context", drop_scripts, priority=999)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
