"""Build the website:  python tools/build.py  (make book)

The site is built whole in a folder of its own, then takes the place of the last one: stopped at any moment, it leaves a
whole site. It is built anew when the content of anything it is made from changed, whatever the dates of the files say.
"""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import book
import files

SOURCES = ("*.md", "_config.yml", "_toc.yml", "references.bib", "_ext/**/*", "_static/**/*", "_vendor/**/*",
           "chapters/**/*", "reference/**/*", "results/**/*", "tlutils/**/*", "tools/build.py", "tools/book.py",
           "tools/files.py", "tests/test_layers.py")
PASSED = re.compile(r"/(__pycache__|\.[^/]*)/|/\.|\.(pyc|part|partial|tmp)$")
# not the script in .venv/bin: its first line names the place where the environment was made
JUPYTER_BOOK = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
BUILD = [*JUPYTER_BOOK, "build", ".", "-n", "-W", "--keep-going", "--quiet", "--path-output"]


def fingerprint(root):
    """Return a digest of all that the site is made from: names and contents of files, and the installed versions."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in SOURCES for path in Path(root).glob(pattern)}):
        name = "/" + path.relative_to(root).as_posix()
        if path.is_file() and not PASSED.search(name):
            digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    installed = Path(sysconfig.get_path("purelib")).glob("*.dist-info")
    digest.update(" ".join(sorted(path.name for path in installed)).encode())
    return digest.hexdigest()


def holdings(site):
    """Return a digest of the names and sizes of the files of a built site: a picture that was lost changes it."""
    lines = sorted(f"{path.relative_to(site).as_posix()} {path.stat().st_size}\n"
                   for path in Path(site).rglob("*") if path.is_file())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check(root):
    """Name a damaged notebook, record or setting before minutes are spent; Sphinx would hide it in a hundred lines."""
    for path in sorted(Path(root).glob("chapters/[0-9][0-9]_*.ipynb")):
        files.read_notebook(path)
    for path in [*sorted(Path(root).glob("results/*.json")), *sorted(Path(root).glob("results/*/*.json"))]:
        files.read_json(path)
    for settings in (book.config, book.contents, book.needs):
        settings(root)
    for path in [*Path(root).glob("*.bib"), *Path(root).glob("*.md"), *Path(root).glob("reference/*.md")]:
        files.read_text(path)


def replace(site, new):
    """Put the new site in the place of the last one."""
    last = site.with_name(".last")
    shutil.rmtree(last, ignore_errors=True)
    if site.exists():
        site.rename(last)
    new.rename(site)
    shutil.rmtree(last, ignore_errors=True)


def missing(site):
    """Return the files that pages of a built site show or load, and that are not there, each once."""
    found = set()
    for page in Path(site).rglob("*.html"):
        if "_static" not in page.relative_to(site).parts:
            for name in re.findall(r'\ssrc="([^":?#]+)["?#]', page.read_text(encoding="utf-8")):
                if not (page.parent / name).exists():
                    found.add(os.path.relpath(page.parent / name, site))
    return sorted(found)


def main(root=book.ROOT, build=BUILD):
    """Build the site unless it is whole and nothing changed; return the exit status."""
    folder = Path(root, "_build")
    folder.mkdir(exist_ok=True)
    with files.locked(folder, "Another make book is at work in this folder; waiting for it.") as lock:
        check(root)
        site, note = folder / "html", folder / "built.json"
        made_from = fingerprint(root)
        if note.exists() and site.exists() and note.read_text("utf-8") == f'["{made_from}", "{holdings(site)}"]\n':
            return 0
        print("Building the pages: about a minute.", flush=True)
        for left in folder.glob(".building-*"):
            shutil.rmtree(left, ignore_errors=True)
        where = folder / f".building-{os.getpid()}"
        where.mkdir()  # or one line that says why not
        before = os.environ.get("PYTHONPATH")  # the package beside the book, not one that is installed from elsewhere
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(root), before]))}
        try:
            # the lock goes with the child: killed alone, this process leaves one that still writes
            done = subprocess.run([*build, str(where)], cwd=root, env=environment, stdout=subprocess.PIPE, text=True,
                                  errors="replace", pass_fds=[] if lock is None else [lock], check=False)
            new = where / "_build" / "html"
            if done.returncode or not (new / "index.html").exists():
                disk = re.findall(r"^(?:OSError|PermissionError): (.+)$", done.stdout, re.M)
                if not disk:
                    print(done.stdout[-5000:])
                why = disk[-1] if disk else "the reason stands above"  # a full disk needs no hundred lines
                kept = "; _build/html is the one built before" if site.exists() else ""
                print(f"The book was not built: {why}{kept}.", file=sys.stderr)
                return 1
            replace(site, new)
            if lost := missing(site):  # as it lies there now, for a disk may fill up and a hand may slip
                print(f"The site lacks {len(lost)} files, {lost[0]} for one: run  make book  again.", file=sys.stderr)
                return 1
            files.write(note, f'["{made_from}", "{holdings(site)}"]\n'.encode())
        except KeyboardInterrupt:
            print("Stopped; what was built before is as it was.", file=sys.stderr)
            return 130
        finally:
            shutil.rmtree(where, ignore_errors=True)
    return 0


if __name__ == "__main__":
    with files.one_line():
        status = main()
        if not status:  # the address with %20 for a space, %23 for #, as a browser takes it
            print(f"The book is built. Open  {(book.ROOT / '_build/html/index.html').as_uri()}  or run  make serve")
        sys.exit(status)
