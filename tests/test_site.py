"""The built site in a real browser: no other host, no error, readable in light and dark, alive without a kernel."""
import functools
import gzip
import http.server
import os
import re
import shutil
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(os.environ.get("SITE", ROOT / "_build" / "html"))
AXE = ROOT / "tests" / "vendor" / "axe.min.js"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]

if BROWSER is None and os.environ.get("CI") != "true":
    pytest.skip("no Chromium on this machine: the browser tests are skipped", allow_module_level=True)

NAMES = re.findall(r"- file: (\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [f"{name}.html" for name in ["index", *NAMES]]
WITH_EXPLORER = [name for name in PAGES if name.startswith("chapters/")]
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve files without a line per request."""

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="session")
def address():
    """Serve the built site and return its address."""
    assert (SITE / "index.html").exists(), "build the book first: make book"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def browser():
    """Return the system's Chromium, driven by playwright."""
    assert BROWSER, "CI=true, but no Chromium was found: .ci/run installs it"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=BROWSER, args=FLAGS, headless=True)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, address):
    """Return a function that opens a page at a width and mode, and gives it with the faults seen while loading."""
    contexts = []

    def open_page(name, width=1280, mode="light", query=""):
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=mode, reduced_motion="reduce")
        contexts.append(context)
        page, faults = context.new_page(), []
        page.on("request", lambda request: None if request.url.startswith((address, "data:", "blob:"))
                else faults.append(f"other host: {request.url}"))
        page.on("response", lambda answer: None if answer.status < 400
                else faults.append(f"{answer.status}: {answer.url}"))
        page.on("console", lambda message: None if message.type != "error"
                else faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"script: {error}"))
        page.goto(address + name + query, wait_until="networkidle")
        return page, faults

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", [*PAGES, "search.html", "genindex.html"])
def test_no_other_host_no_error_nothing_missing(visit, name):
    page, faults = visit(name)
    page.wait_for_timeout(200)
    assert faults == []


@pytest.mark.parametrize("name", PAGES)
def test_no_sideways_scroll_on_a_phone(visit, name):
    page, _ = visit(name, width=375)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_readable_and_accessible(visit, name, mode):
    page, _ = visit(name, mode=mode)
    assert page.evaluate("document.documentElement.dataset.theme") == mode
    page.add_style_tag(content=STILL)
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    nodes = [(fault["id"], node["target"], node["failureSummary"][:160]) for fault in found for node in fault["nodes"]]
    assert nodes == []


def test_the_contrast_check_sees_a_pale_text(visit):
    page, _ = visit("index.html")
    page.evaluate("document.querySelector('.bd-article p').style.color = '#ddd'")
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("axe.run(document, {runOnly: ['color-contrast']})")["violations"]
    assert [fault["id"] for fault in found] == ["color-contrast"]


def test_search_finds_a_word(visit):
    page, faults = visit("search.html", query="?q=distribution")
    page.wait_for_selector("#search-results li a", timeout=15000)
    links = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.getAttribute('href'))")
    assert any("reference/notation" in link for link in links) and faults == []


# What each formula of a page is drawn as: its size, its font, and any text that should not be there.
FORMULAS = """formulas => formulas.map(formula => { const box = formula.getBoundingClientRect(); return {
    width: box.width, height: box.height, font: getComputedStyle(formula).fontFamily, text: formula.textContent}; })"""
FONT_LOADED = "[...document.fonts].filter(f => f.family.includes('STIX') && f.status === 'loaded').length"


@pytest.mark.parametrize("name", ["reference/notation.html", *WITH_EXPLORER])
def test_formulas_are_drawn_in_their_font(visit, name):
    page, faults = visit(name)
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    drawn = page.eval_on_selector_all("article math", FORMULAS)
    assert len(drawn) == (SITE / name).read_text(encoding="utf-8").count('class="math') >= 5
    assert all(formula["width"] > 3 and formula["height"] > 5 for formula in drawn)
    assert all(formula["font"].startswith('"STIX Two Math"') for formula in drawn)
    assert page.evaluate(FONT_LOADED) == 1
    assert page.locator("merror").count() == 0 and faults == []
    assert not any("\\" in formula["text"] or "$" in formula["text"] for formula in drawn)
    words = page.eval_on_selector_all("article :is(p, li, td, h2, h3)", "all => all.map(part => part.innerText)")
    assert not [text for text in words if re.search(r"\\[a-z]+\{|\$[^$\n]+\$", text)], "a formula shown as its source"


def test_the_font_holds_every_letter_that_a_formula_shows():
    """A letter missing from the cut-down font would be drawn in another one, and nobody would see an error."""
    ttf = pytest.importorskip("fontTools.ttLib")
    font = ttf.TTFont(SITE / "_static" / "stix-two-math.woff2")
    has, shown = set(font.getBestCmap()), set()
    for name in PAGES:
        for formula in re.findall(r"<math.*?</math>", (SITE / name).read_text(encoding="utf-8"), re.S):
            shown |= {ord(char) for char in re.sub(r"<[^>]*>|&\w+;|\s", "", formula)}
            shown |= {0x1d44e + ord(char) - ord("a") for char in re.findall(r"<mi>([a-gi-z])</mi>", formula)}
            shown |= {0x1d434 + ord(char) - ord("A") for char in re.findall(r"<mi>([A-Z])</mi>", formula)}
    assert shown <= has | {0x2061, 0x2063}, {chr(code) for code in shown - has}
    assert "MATH" in font and len(has) < 400


def figure_pixels(page):
    """Return the pixels of the first explorer's figure, as the browser shows it."""
    figure = page.locator(".explore img").first
    figure.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.explore img').complete")
    return figure.screenshot()


@pytest.mark.parametrize("name", WITH_EXPLORER)
def test_a_slider_changes_the_figure_itself(visit, name):
    page, faults = visit(name)
    slider = page.locator(".explore input[type=range]").first
    before = figure_pixels(page)
    assert before == figure_pixels(page), "the figure stands still until it is asked to change"
    slider.focus()
    key = "ArrowLeft" if slider.evaluate("s => +s.value === +s.max") else "ArrowRight"
    page.keyboard.press(key)
    after_key = figure_pixels(page)
    assert after_key != before, "keys move the slider, the figure stays"
    box = slider.bounding_box()
    first = slider.evaluate("s => (+s.value - +s.min) / (+s.max - +s.min)") > 0.5
    page.mouse.click(box["x"] + box["width"] * (0.03 if first else 0.97), box["y"] + box["height"] / 2)
    assert figure_pixels(page) != after_key, "the mouse moves the slider, the figure stays"
    assert page.locator(".explore img").first.get_attribute("alt").strip() and faults == []


@pytest.mark.parametrize("name", WITH_EXPLORER)
def test_a_chapter_page_carries_badge_claims_and_folded_solutions(visit, name):
    page, _ = visit(name)
    assert page.locator("article a[href*='colab.research.google.com'] img").first.is_visible()
    assert page.locator(".tag_nbval-check-output .output").count() >= 1
    assert page.locator("details.hide summary").count() >= 3
    assert page.locator("button.copybtn").count() >= 20
    assert "# alt:" not in page.locator("article").inner_text(), "the comment is for the figure, not for the page"
    for figure in page.locator(".cell_output img").all():
        assert len(figure.get_attribute("alt") or "") >= 30


@pytest.mark.parametrize("name", PAGES)
def test_every_page_says_what_it_is(visit, name):
    page, _ = visit(name)
    assert 20 <= len(page.locator("meta[name=description]").first.get_attribute("content")) <= 160
    assert page.locator("meta[name=description]").count() == 1
    assert page.locator("h1").count() == 1
    assert page.title().startswith(page.locator("h1").inner_text().strip("# \n"))


def weight(file):
    """Return the bytes that a file takes compressed; the frames of explorers in a page are counted as figures."""
    data = file.read_bytes()
    if file.suffix in (".woff", ".woff2", ".png", ".webp"):
        return len(data), 0
    text = re.sub(rb"[\w+/=]{1000,}", b"", data)
    return len(gzip.compress(text)), len(gzip.compress(data)) - len(gzip.compress(text))


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_light(browser, address, name):
    """What a page loads at first: 200 kB compressed without its figures, 600 kB with them, all of them scrolled to."""
    context = browser.new_context()
    page, loaded = context.new_page(), set()
    page.on("response", lambda answer: loaded.add(urlsplit(answer.url).path))
    page.goto(address + name, wait_until="networkidle")
    context.close()
    loaded |= {f"/{path}" for path in re.findall(r'src="(?:\.\./)*(_images/[^"]+)"', (SITE / name).read_text("utf-8"))}
    page_only, figures = 0, 0
    for file in {SITE / unquote(path).lstrip("/") for path in loaded} - {SITE}:
        if file.is_file():
            rest, frames = weight(file)
            rest, frames = (0, rest + frames) if file.parent.name == "_images" else (rest, frames)
            page_only, figures = page_only + rest, figures + frames
    assert page_only <= 200_000, f"{page_only / 1000:.0f} kB without figures"
    assert page_only + figures <= 600_000, f"{(page_only + figures) / 1000:.0f} kB with figures"


def test_sitemap_and_images_are_there():
    sitemap = (SITE / "sitemap.xml").read_text(encoding="utf-8")
    assert all(f"/{name}</loc>" in sitemap for name in PAGES)
    assert not re.search(r'<(?:script|img|link rel="stylesheet")[^>]+(?:src|href)="(?:https?:)?//', "".join(
        (SITE / name).read_text(encoding="utf-8") for name in PAGES))
