"""Move the book to another repository:  python tools/repo.py https://github.com/owner/name  (make repo URL=...)

_config.yml holds the address; the chapters' badges and set-up cells, pyproject, CITATION.cff and README.md follow it.
"""
import json
import re
import sys
from pathlib import Path

import chapter
import normalise

TEXT_FILES = ("_config.yml", "pyproject.toml", "CITATION.cff", "README.md", "CONTRIBUTING.md", "index.md")
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9][A-Za-z0-9-]*)/([A-Za-z0-9._-]+)")


def rewrite(text, old, new):
    """Return a text with the repository's address replaced, in links, pages, and addresses of Colab and Binder."""
    (old_owner, old_name), (new_owner, new_name) = (ADDRESS.fullmatch(url).groups() for url in (old, new))
    text = re.sub(rf"(github(?:\.com)?|/gh)/{re.escape(old_owner)}/{re.escape(old_name)}(?![\w-])",
                  lambda found: f"{found.group(1)}/{new_owner}/{new_name}", text)
    return text.replace(f"{old_owner}.github.io/{old_name}", f"{new_owner}.github.io/{new_name}")


def main(url, root=chapter.ROOT):
    """Rewrite every file that carries the address; return the paths that changed."""
    url, root = url.rstrip("/").removesuffix(".git"), Path(root)
    if not ADDRESS.fullmatch(url):
        raise SystemExit(f"URL must look like https://github.com/owner/name, got {url!r}")
    old, _ = chapter.repository(root / "_config.yml")
    changed = []
    for path in [root / name for name in TEXT_FILES if (root / name).exists()]:
        before = path.read_text(encoding="utf-8")
        if (after := rewrite(before, old, url)) != before:
            normalise.write(path, after.encode())
            changed.append(path)
    for path in sorted((root / "chapters").glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        nb = json.loads(before)
        for cell in nb["cells"]:
            cell["source"] = rewrite(normalise.text(cell["source"]), old, url)
        if (after := normalise.to_bytes(normalise.normalise(nb))) != before.encode():
            normalise.write(path, after)
            changed.append(path)
    return changed


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1]:
        raise SystemExit("usage: make repo URL=https://github.com/owner/name")
    for file in main(sys.argv[1]):
        print(file.relative_to(chapter.ROOT))
