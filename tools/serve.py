"""Show the built book on this machine alone:  python tools/serve.py [PORT]  (make serve PORT=8000)"""
import functools
import http.server
import sys
from pathlib import Path

import book
import files


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the site as its host would: a wrong address gets the book's own page, and the terminal stays quiet."""

    def send_error(self, code, message=None, explain=None):
        """Answer a wrong address with 404.html."""
        page = Path(self.directory, "404.html")
        if code != 404 or not page.exists():
            super().send_error(code, message, explain)
            return
        content = page.read_bytes()
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *words):
        """Print nothing: the address stays in sight."""


def main(port="8000", site=book.ROOT / "_build" / "html"):
    """Serve the site at localhost until Ctrl-C; one line where there is no book or the port is taken."""
    if not Path(site, "index.html").exists():
        raise SystemExit("There is no built book yet: run  make book")
    if not (str(port).isascii() and str(port).isdigit() and 0 < int(port) < 65536):
        raise SystemExit(f"PORT must be a number from 1 to 65535, got {port!r}")
    handler = functools.partial(Handler, directory=str(site))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler)
    except OSError as error:
        raise SystemExit(f"Port {port} cannot be used ({error.strerror}); take another:  "
                         f"make serve PORT={int(port) % 65535 + 1}") from None
    print(f"The book is at  http://localhost:{port}  until Ctrl-C.", flush=True)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    with files.one_line():
        main(*sys.argv[1:2])
