"""Move the book to another repository:  python tools/repo.py https://github.com/owner/name  (make repo URL=...)

_config.yml holds the address; the chapters' badges and set-up cells, pyproject, CITATION.cff and README.md follow it.
Stopped half way, it is finished by the same command: every file is asked which address it still has.
"""
import re
import sys
from pathlib import Path

import book
import files
import normalise

# _config.yml is written last: until then it names the address that the others may still have
TEXT_FILES = ("pyproject.toml", "CITATION.cff", "README.md", "CONTRIBUTING.md", "index.md", "_config.yml")
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9][A-Za-z0-9-]*)/([A-Za-z0-9._-]+)")
# where _config.yml, pyproject.toml and CITATION.cff say which repository they belong to, and where a set-up cell does
OWN = re.compile(rf"\n(?: +url: |Repository = \"|repository-code: \"?)({ADDRESS.pattern})")
OWN_IN_SETUP = re.compile(rf"git\+({ADDRESS.pattern})")
END = r"(?![\w-]|\.(?!git\b)\w)"  # the name ends here: book, book. and book.git, not book-2 or book.js


def rewrite(text, old, new):
    """Return a text with the repository's address replaced, in links, pages, and addresses of Colab and Binder."""
    (old_owner, old_name), (new_owner, new_name) = (ADDRESS.fullmatch(url).groups() for url in (old, new))
    text = re.sub(rf"(github(?:\.com)?|/gh)/{re.escape(old_owner)}/{re.escape(old_name)}{END}",
                  lambda found: f"{found.group(1)}/{new_owner}/{new_name}", text)
    return re.sub(rf"(?<![\w-]){re.escape(f'{old_owner}.github.io/{old_name}')}{END}",
                  f"{new_owner}.github.io/{new_name}", text)


def main(url, root=book.ROOT):
    """Rewrite every file that carries the address, none if one of them is damaged; return the paths that changed."""
    url, root = url.rstrip("/").removesuffix(".git"), Path(root)
    if not ADDRESS.fullmatch(url) or url.rsplit("/")[-1] in (".", ".."):
        raise SystemExit(f"URL must look like https://github.com/owner/name, got {url!r:.200}")
    book.repository(root)  # or a line that says what is wrong with it
    texts = {root / name: files.read_text(root / name) for name in TEXT_FILES if (root / name).exists()}
    notebooks = {path: files.read_notebook(path) for path in sorted((root / "chapters").glob("*.ipynb"))}
    setups = [book.text(cell["source"]) for nb in notebooks.values() for cell in nb["cells"]
              if "setup" in book.tags(cell)]
    found = [*OWN.findall("\n".join(texts.values())), *OWN_IN_SETUP.findall("\n".join(setups))]
    old = sorted({address.removesuffix(".git") for address, *_ in found} - {url})

    def moved(text):
        for address in old:
            text = rewrite(text, address, url)
        return text

    after = {}
    for path, nb in notebooks.items():
        for cell in nb["cells"]:
            cell["source"] = moved(book.text(cell["source"]))
        after[path] = normalise.to_bytes(normalise.normalise(nb))
    after |= {path: moved(text).encode() for path, text in texts.items()}
    changed = [path for path, content in after.items() if content != path.read_bytes()]
    for path in changed:
        files.write(path, after[path])
    return changed


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1]:
        raise SystemExit("usage: make repo URL=https://github.com/owner/name")
    with files.one_line(), files.locked(book.ROOT):  # two at once take turns, so the last one wins everywhere
        for file in main(sys.argv[1]):
            print(file.relative_to(book.ROOT))
