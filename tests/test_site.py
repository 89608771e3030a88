"""The built site in a real browser: no other host, no error, readable in light and dark, alive without a kernel."""
import functools
import gzip
import html.parser
import http.server
import io
import json
import os
import re
import shutil
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import book
import pytest

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(os.environ.get("SITE", ROOT / "_build" / "html"))
AXE = ROOT / "tests" / "vendor" / "axe.min.js"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]

if BROWSER is None and os.environ.get("CI") != "true":
    pytest.skip("no Chromium on this machine: the browser tests are skipped", allow_module_level=True)

BASE = book.base_url()
PAGES = [f"{name}.html" for name in book.pages()]
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

    def open_page(name, width=1280, mode="light", query="", until="load", scripts=True):
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=mode, reduced_motion="reduce",
                                      java_script_enabled=scripts)
        contexts.append(context)
        page, faults = context.new_page(), []
        page.on("request", lambda request: None if request.url.startswith((address, "data:", "blob:"))
                else faults.append(f"other host: {request.url}"))
        page.on("response", lambda answer: None if answer.status < 400
                else faults.append(f"{answer.status}: {answer.url}"))
        page.on("console", lambda message: None if message.type != "error"
                else faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"script: {error}"))
        page.goto(address + name + query, wait_until=until)
        return page, faults

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", [*PAGES, "search.html", "genindex.html"])
def test_no_other_host_no_error_nothing_missing(visit, name):
    _, faults = visit(name, until="networkidle")
    assert faults == []


@pytest.mark.parametrize("name", PAGES)
def test_no_sideways_scroll_on_a_phone(visit, name):
    page, _ = visit(name, width=375)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def violations(page, rules=""):
    """Return what axe finds on a page: (rule, where, what), all rules or some."""
    found = page.evaluate(f"axe.run(document, {{resultTypes: ['violations'] {rules}}})")["violations"]
    return [(fault["id"], node["target"], node["failureSummary"][:160]) for fault in found for node in fault["nodes"]]


@pytest.mark.parametrize("name", PAGES)
def test_readable_and_accessible_in_light_and_dark(visit, name):
    page, _ = visit(name)
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.wait_for_function("document.documentElement.dataset.boxes === 'seen'")
    page.add_style_tag(content=STILL)
    page.add_script_tag(path=str(AXE))
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")  # only colours differ in the dark
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert violations(page, ", runOnly: ['color-contrast', 'link-in-text-block']") == []


def test_the_contrast_check_sees_a_pale_text(visit):
    page, _ = visit("index.html")
    page.evaluate("document.querySelector('.bd-article p').style.color = '#ddd'")
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("axe.run(document, {runOnly: ['color-contrast']})")["violations"]
    assert [fault["id"] for fault in found] == ["color-contrast"]


def test_search_finds_gradient_reversal(visit):
    page, faults = visit("search.html", query="?q=gradient+reversal")
    page.wait_for_selector("#search-results li a", timeout=15000)
    links = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.getAttribute('href'))")
    assert any("reference/glossary" in link for link in links) and faults == []


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
    assert "SIL OPEN FONT LICENSE" in (SITE / "_static" / "stix-two-math.LICENSE.txt").read_text(encoding="utf-8")


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
    figures = page.locator(".cell_output img").all()
    assert len(figures) >= 2, "an explorer, and a figure at least"
    for figure in figures:
        assert len(figure.get_attribute("alt") or "") >= 30
        figure.scroll_into_view_if_needed()
        assert figure.evaluate("f => f.decode().then(() => f.naturalWidth)") > 100, "a figure that no browser draws"


# The blocks of code and printed text of a page, every fold open: what is cut, which lines go on below, how small.
BLOCKS = """() => { document.querySelectorAll('article details').forEach(part => { part.open = true; });
    return [...document.querySelectorAll('article pre')].filter(pre => pre.checkVisibility()).map(pre => ({
        kind: pre.closest('.cell_input') ? 'code' : /^holds: /m.test(pre.textContent) ? 'claim' : 'other',
        text: pre.textContent, copied: pre.cloneNode(true).innerText, size: parseFloat(getComputedStyle(pre).fontSize),
        cut: pre.scrollWidth > pre.clientWidth, below: [...pre.querySelectorAll('.ln')].filter(line =>
            line.getBoundingClientRect().height > 1.5 * parseFloat(getComputedStyle(pre).lineHeight)).length})); }"""


@pytest.mark.parametrize("name", WITH_EXPLORER)
def test_no_line_is_cut_beside_both_sidebars(visit, name):
    page, _ = visit(name, width=1440)
    blocks = page.evaluate(BLOCKS)
    code = [block for block in blocks if block["kind"] == "code"]
    assert len(code) >= 20 and [block["kind"] for block in blocks].count("claim") >= 1
    assert [block["text"][:60] for block in blocks if block["cut"]] == []
    assert [block["text"][:60] for block in code if block["below"]] == [], "88 columns of code fit on a line"
    assert min(block["size"] for block in blocks) >= 13


@pytest.mark.parametrize("name", WITH_EXPLORER)
def test_on_a_phone_code_and_claims_go_on_below_and_are_copied_whole(visit, name):
    page, _ = visit(name, width=375)
    blocks = [block for block in page.evaluate(BLOCKS) if block["kind"] != "other"]
    assert [block["text"][:60] for block in blocks if block["cut"]] == []
    assert min(block["size"] for block in blocks) >= 12
    assert sum(block["below"] for block in blocks) > 50, "no line goes on below: then this test sees nothing"
    sources = [cell["source"] for cell in book.code_cells(book.load((ROOT / name).with_suffix(".ipynb")))]
    written = {re.sub(r"\n# ?alt:.*", "", source, flags=re.S).strip() for source in sources}
    for block in blocks:
        if block["kind"] == "code":
            assert block["copied"].strip() in written, "copied code is not the code of the notebook"


def test_a_line_that_is_cut_would_be_seen(visit):
    page, _ = visit(WITH_EXPLORER[0], width=1440)
    page.add_style_tag(content=".ln, pre { white-space: pre !important }")
    page.evaluate("document.querySelector('.cell_input pre').textContent = 'x'.repeat(100)")
    assert [block["cut"] for block in page.evaluate(BLOCKS)].count(True) >= 1


@pytest.mark.parametrize("name", WITH_EXPLORER)
def test_solutions_are_called_so_and_no_answer_stands_open_below_one(visit, name):
    page, _ = visit(name)
    folded = page.locator("article details.hide")
    named = {words.strip() for words in folded.locator("summary").all_inner_texts()}
    assert {name for name in named if not re.fullmatch(r"How this is drawn, \d+ lines?", name)} == {"Solution"}
    folded = page.locator("article .tag_hide-cell details.hide")
    after = "all => all.map(fold => fold.closest('.cell').nextElementSibling?.tagName)"
    assert "P" not in folded.evaluate_all(after), "words after a solution tell the answer: fold them, too"


@pytest.mark.parametrize("name", WITH_EXPLORER)
def test_the_run_time_is_the_same_at_the_top_below_the_set_up_cell_and_on_the_map(visit, name):
    page, _ = visit(name)
    words = page.locator("article").inner_text()
    (top,), (below,) = (re.findall(pattern, words) for pattern in (
        r"About (\d+) minutes? on two CPU cores; no GPU needed", r"time: +about (\d+) min on two CPU cores"))
    recorded = json.loads((ROOT / "results" / "chapters.json").read_text(encoding="utf-8"))
    number = re.search(r"/(\d\d)_", name).group(1)
    front, _ = visit("index.html")
    row = front.locator(".generated table tbody tr", has=front.locator(f"a[href='{name}']")).first.inner_text()
    assert top == below == re.findall(r"(\d+)\smin", row)[-1]
    assert 0 <= int(top) - recorded[number]["laptop/cpu"]["minutes"] < 1, "minutes are rounded up"


def test_a_cell_that_only_draws_is_folded_and_its_figure_is_seen(visit):
    """No chapter has to have one: this looks at all cells of all chapters that carry the tag."""
    for name in WITH_EXPLORER:
        page, _ = visit(name)
        for cell in page.locator(".tag_draw").all():
            fold = cell.locator("details.hide")
            lines = len([line for line in fold.locator("pre").first.text_content().splitlines() if line.strip()])
            words = f"How this is drawn, {lines} line{'s' * (lines > 1)}"
            assert fold.locator("summary").inner_text().strip() == words
            assert not fold.locator("pre").first.is_visible()
            assert cell.locator(".cell_output :is(img, .explore)").first.is_visible()
            fold.locator("summary").click()
            assert fold.locator("pre").first.is_visible()


def test_the_magnifier_stands_beside_what_is_typed(visit):
    page, _ = visit("search.html")
    form = page.locator(".bd-search").last
    field, icon = form.locator("input").bounding_box(), form.locator(".fa-magnifying-glass").bounding_box()
    assert icon["width"] > 5 and icon["x"] + icon["width"] <= field["x"]


def test_no_page_shows_a_value_that_nobody_asked_for():
    for name in WITH_EXPLORER:
        text = re.sub(r"<[^>]+>", "", (SITE / name).read_text(encoding="utf-8"))
        assert not re.search(r"^[(\[]None, |^<Axes|^Text\(|^<matplotlib|^\[<", text, re.M), name


WITHOUT_SCRIPTS = """() => ({
    drawn: [...document.querySelectorAll("article math")].every(x => x.getBoundingClientRect().width > 3),
    frames: [...document.querySelectorAll("article .explore img")].map(x => x.complete && x.naturalWidth > 100),
    controls: [...document.querySelectorAll("article .explore .controls")].some(x => x.checkVisibility())})"""


@pytest.mark.parametrize("name", ["index.html", *WITH_EXPLORER])
def test_readable_with_scripts_switched_off(visit, name):
    page, _ = visit(name, scripts=False)
    seen = page.evaluate(WITHOUT_SCRIPTS)
    assert seen["drawn"] and seen["frames"] and all(seen["frames"]) and not seen["controls"]
    assert page.locator("article").inner_text().count(" ") > 150
    for folded in page.locator("article details.hide").all()[:1]:
        folded.locator("summary").click()
        assert folded.locator("pre").first.is_visible(), "a solution opens without a script"


@pytest.mark.parametrize("name", ["index.html", "reference/decision_guide.html", *WITH_EXPLORER])
def test_on_paper_stands_the_text_alone(visit, name):
    page, _ = visit(name, width=700)  # about what a sheet of A4 is wide
    page.emulate_media(media="print")
    assert page.locator("article h1").is_visible()
    for part in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".prev-next-footer", ".bd-header-article", ".copybtn"):
        assert not page.locator(part).first.is_visible(), part
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    for solution in page.locator("article details.hide pre").all():
        assert solution.evaluate("s => s.checkVisibility() && s.getBoundingClientRect().height > 10")


def test_the_browser_prints_a_chapter_with_its_solutions(visit):
    reader = pytest.importorskip("pypdf").PdfReader
    page, _ = visit(WITH_EXPLORER[0])
    sheets = [sheet.extract_text() for sheet in reader(io.BytesIO(page.pdf(prefer_css_page_size=True))).pages]
    text = "\n".join(sheets)
    assert len(sheets) >= 10 and text.count("# @title Solution") >= 3
    assert "Hide code cell" not in text and "Show code cell" not in text and "\n2\n" in f"\n{sheets[1]}\n"


@pytest.mark.parametrize("name", PAGES)
def test_every_page_says_what_it_is(visit, name):
    page, _ = visit(name)
    levels = page.eval_on_selector_all("article :is(h1, h2, h3, h4, h5, h6)", "all => all.map(h => +h.tagName[1])")
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False)), "a level is skipped"
    assert page.locator("main").count() == 1 and page.locator("main article").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("link[rel=canonical]").get_attribute("href") == f"{BASE}{name}"
    for card in ("og:title", "og:description", "og:image", "og:url", "og:image:alt"):
        assert page.locator(f"meta[property='{card}']").first.get_attribute("content").strip(), card
    assert page.locator("meta[name='twitter:card']").get_attribute("content") == "summary_large_image"
    assert 20 <= len(page.locator("meta[name=description]").first.get_attribute("content")) <= 160
    assert page.locator("meta[name=description]").count() == 1
    assert page.locator("h1").count() == 1
    assert page.title().startswith(page.locator("h1").inner_text().strip("# \n"))


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("reference/api_layer_")])
def test_each_function_of_the_package_has_its_line_and_the_line_leads_to_its_entry(name):
    text = (SITE / name).read_text(encoding="utf-8")
    lines = re.findall(r'<tr class="row-\w+"><td><p><a class="reference internal" href="#(tlutils\.[\w.]+)"', text)
    entries = re.findall(r'<dt class="sig sig-object py" id="(tlutils\.[\w.]+)"', text)
    methods = {entry for entry in entries if entry.rsplit(".", 1)[0] in entries}
    assert lines and sorted(lines) == sorted(set(entries) - methods)


def weight(file):
    """Return the bytes that a file takes compressed; the frames of explorers in a page are counted as figures."""
    data = file.read_bytes()
    if file.suffix in (".woff", ".woff2", ".png", ".webp"):
        return len(data), 0
    text = re.sub(rb'"data:image/[^"]*"|<script type="application/json">\{"labels".*?</script>', b"", data)
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


class Links(html.parser.HTMLParser):
    """The anchors of a page, and where it leads: addresses in href and src."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.leads = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Collect one tag."""
        given = dict(attrs)
        self.anchors |= {given[key] for key in ("id", "name") if given.get(key)}
        self.leads += [given[key] for key in ("href", "src") if given.get(key)]


def test_every_internal_link_leads_to_a_file_and_an_anchor_that_exist():
    found = {path: Links(path) for path in SITE.rglob("*.html") if "_static" not in path.parts}
    assert len(found) >= len(PAGES)
    dead, seen = [], 0
    for path, links in found.items():
        for lead in links.leads:
            url = urlsplit(lead.replace(BASE, "/", 1) if lead.startswith(BASE) else lead)
            if url.scheme or url.netloc or lead.startswith(("data:", "#")) and lead in ("#", "#top"):
                continue
            seen += 1
            start = SITE if url.path.startswith("/") else path.parent
            target = (start / unquote(url.path).lstrip("/")).resolve() if url.path else path
            target = target / "index.html" if target.is_dir() else target
            anchors = found[target].anchors if target in found else None
            if not target.exists() or (url.fragment and anchors is not None and unquote(url.fragment) not in anchors):
                dead.append(f"{path.relative_to(SITE)}: {lead}")
    assert sorted(set(dead)) == [] and seen > 500


def test_a_dead_link_would_be_found(tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<a id="here" href="#there">x</a><img src="a.png">')
    links = Links(page)
    assert links.anchors == {"here"} and links.leads == ["#there", "a.png"]


def test_files_for_search_engines_and_wrong_addresses():
    sitemap = (SITE / "sitemap.xml").read_text(encoding="utf-8")
    assert all(f"<loc>{BASE}{name}</loc>" in sitemap for name in PAGES)
    assert f"Sitemap: {BASE}sitemap.xml" in (SITE / "robots.txt").read_text(encoding="utf-8")
    missing = (SITE / "404.html").read_text(encoding="utf-8")
    assert f'href="{BASE}index.html"' in missing and "noindex" in missing
    assert not re.search(r'<(?:script|img|link rel="stylesheet")[^>]+(?:src|href)="(?:https?:)?//', "".join(
        (SITE / name).read_text(encoding="utf-8") for name in PAGES))


def test_the_front_page_shows_what_the_book_is(visit):
    page, faults = visit("index.html")
    fold = 900
    for words in ("every answer is an experiment", "Start chapter 1", "Open in Colab", "Plan a session"):
        box = page.get_by_text(words).first.bounding_box()
        assert box["y"] + box["height"] < fold, f"{words}: below the first screen"
    assert page.locator(".living-figure .explore img").bounding_box()["y"] < fold - 200
    before = figure_pixels(page)
    page.locator(".explore input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    assert figure_pixels(page) != before
    rows = page.locator(".generated table tbody tr")
    assert rows.count() == len(WITH_EXPLORER)
    assert all(len(re.findall(r"\d+\smin", rows.nth(k).inner_text())) == 2 for k in range(rows.count()))
    assert page.title() == "What Transfers? Transfer learning, by experiment"
    assert "transfer learning" in page.locator("meta[name=description]").get_attribute("content").lower()
    caption = page.locator(".living-figure > p").inner_text()
    for way in ("probe", "probe 7", "fine-tune", "LP-FT", "adapters", "scratch", "nearest pixels"):
        assert way in caption, f"{way}: a bar of the figure that the page does not explain"
    page.get_by_text("Start chapter 1").click()
    page.wait_for_url(f"**/{WITH_EXPLORER[0]}")
    assert faults == []
