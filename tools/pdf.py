"""Print the built book into one PDF with the browser of this machine: python tools/pdf.py  (make pdf)."""
import functools
import http.server
import io
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import book
import files
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, NameObject, TextStringObject

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge",
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
            "/Applications/Chromium.app/Contents/MacOS/Chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--no-pdf-header-footer", "--hide-scrollbars"]


class Numbered(http.server.SimpleHTTPRequestHandler):
    """Serve the site; a page asked for with ?after=27 begins with sheet number 28."""

    def do_GET(self):
        """Send a file, or a page with its first number."""
        path, _, after = self.path.partition("?after=")
        if not after:
            return super().do_GET()
        style = f"<style>html {{ counter-reset: page {int(after)}; }}</style></head>"
        body = Path(self.translate_path(path)).read_text(encoding="utf-8").replace("</head>", style, 1)
        body = body.replace(' loading="lazy"', "").encode()  # on paper every picture is near
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


def browser():
    """Return the path of a Chromium or Chrome; say what to do where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        raise SystemExit("make pdf needs Chromium or Chrome, and found neither on this machine. Install one of them "
                         "(for example: apt install chromium), or open a page of the book and print it from there.")
    return found


def printed(program, address):
    """Return a page as the browser prints it, as a PDF reader."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "page.pdf")
        command = [program, *FLAGS, f"--user-data-dir={folder}/profile", "--virtual-time-budget=10000",
                   f"--print-to-pdf={target}", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        if not target.exists():
            raise SystemExit(f"{program} printed nothing for {address}:\n{done.stderr[-2000:]}")
        return PdfReader(io.BytesIO(target.read_bytes()))


def link_inside(book, address, base, first):
    """Let links to pages of the book lead to their sheet, and the others to the published site."""
    for sheet in book.pages:
        for found in sheet.get("/Annots", []):
            action = found.get_object().get("/A")
            uri = str(action.get("/URI", "")) if action else ""
            if not uri.startswith(address):
                continue
            name = uri.removeprefix(address).split("#")[0].split("?")[0]
            if name in first:
                sheet_of_page = book.pages[first[name]].indirect_reference
                action[NameObject("/S")] = NameObject("/GoTo")
                action[NameObject("/D")] = ArrayObject([sheet_of_page, NameObject("/Fit")])
                del action["/URI"]
            else:
                action[NameObject("/URI")] = TextStringObject(base + uri.removeprefix(address))


def main(site=book.ROOT / "_build" / "html", target=book.ROOT / "_build" / "what_transfers.pdf"):
    """Print every page of the built site, join them with a bookmark each, and return the number of sheets."""
    program, site = browser(), Path(site)
    if not (site / "index.html").exists():
        raise SystemExit(f"there is no built book in {site}: run  make book")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Numbered, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address, book, first = f"http://127.0.0.1:{server.server_port}/", PdfWriter(), {}
    for name in (f"{page}.html" for page in book.pages()):
        title = re.search(r"<title>(.*?)(?: &#8212;.*?)?</title>", (site / name).read_text(encoding="utf-8"), re.S)
        first[name] = len(book.pages)
        book.append(printed(program, f"{address}{name}?after={first[name]}"), import_outline=False)
        book.add_outline_item(title=title.group(1).strip(), page_number=first[name])
    server.shutdown()
    server.server_close()
    link_inside(book, address, book.base_url(), first)
    book.add_metadata({"/Title": "What Transfers?", "/Author": "The authors of What Transfers?"})
    book.compress_identical_objects()
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    book.write(file)
    files.write(target, file.getvalue())
    return len(book.pages)


if __name__ == "__main__":
    with files.one_line():
        sheets = main(*sys.argv[1:])
    print(f"The book as PDF, {sheets} sheets:  _build/what_transfers.pdf")
