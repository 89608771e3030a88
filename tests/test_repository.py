"""The repository as a whole: one address, lower bounds that Colab meets, no large or stray file, plain commands."""
import os
import re
import shutil
import subprocess

import book
import chapter
import pytest
import yaml

ROOT = chapter.ROOT
try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    tomllib = None

# What Colab has. An installation of the package there must replace none of these.
COLAB = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "tools" / "versions" / "colab.txt").read_text("utf-8"), re.M))


def git(*words):
    """Return the lines that a git command prints; skip where this is not a clone."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return done.stdout.splitlines()


def version(text):
    """Return a version as numbers that compare."""
    return tuple(int(part) for part in text.split("."))


def dependencies():
    """Return the lines of the package's dependencies."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if tomllib:
        return tomllib.loads(text)["project"]["dependencies"]
    return re.findall(r'"([^"]+)"', re.search(r"^dependencies = \[(.*?)\]", text, re.M | re.S).group(1))


def test_one_address_everywhere():
    url, branch = book.repository()
    owner, name = url.removeprefix("https://github.com/").split("/")
    assert book.base_url() == f"https://{owner}.github.io/{name}/"
    assert f'Repository = "{url}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["repository-code"] == url
    assert url in (ROOT / "README.md").read_text(encoding="utf-8")
    for path in chapter.paths():
        text = path.read_text(encoding="utf-8")
        assert f"git+{url}\\n" in text
        assert f"colab.research.google.com/github/{owner}/{name}/blob/{branch}/chapters/{path.name}" in text


def test_lower_bounds_only_and_none_above_colab():
    bounds = dict(line.split(">=") for line in dependencies())
    assert {"torch", "numpy"} <= set(bounds) <= set(COLAB)
    assert {name: low for name, low in bounds.items() if version(low) > version(COLAB[name])} == {}


def test_the_book_asks_for_what_the_build_needs():
    lines = re.findall(r"^([a-z][\w-]*)(\S*)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M)
    wanted = dict(lines)
    assert wanted["jupyter-book"] == ">=1.0.4.post1,<2" and wanted["sphinx-book-theme"] == ">=1.2,<1.3"
    assert wanted["torch"] == ">=2.14" and wanted["torchvision"] == ">=0.29"
    assert {line.split(">=")[0] for line in dependencies()} <= set(wanted)


def test_versions_and_licences_agree():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    number = re.search(r'^version = "(.+)"', text, re.M).group(1)
    assert f'__version__ = "{number}"' in (ROOT / "tlutils" / "__init__.py").read_text(encoding="utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == number
    assert f"## {number}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert 'license = "BSD-3-Clause"' in text
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause")
    assert "creativecommons.org/licenses/by/4.0" in (ROOT / "LICENSE-CONTENT").read_text()


def test_readme_shows_the_two_commands_first():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```\w*\n(.*?)```", text, re.S).group(1)
    assert [line.split("#")[0].strip() for line in block.strip().splitlines()] == ["make book", "make test"]


def test_no_large_file_no_mark_of_unfinished_work_no_path_of_one_machine():
    unfinished = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
    local = re.compile(r"(?<![\w.])/(?:" + "|".join(["home", "Users", "root", "work"]) + r")/\w")
    faults = []
    for name in git("ls-files"):
        path = ROOT / name
        if not path.is_file():
            continue
        if path.stat().st_size > 1_000_000:
            faults.append(f"{name}: {path.stat().st_size} bytes")
        if "vendor" in name or path.suffix in (".png", ".svg", ".woff", ".npz"):
            continue
        text = re.sub(r'"image/[a-z]+": "[^"]*"|base64,[\w+/=]+', "", path.read_text(encoding="utf-8", errors="ignore"))
        faults += [f"{name}: {found.group()}" for found in [*unfinished.finditer(text), *local.finditer(text)]]
    assert faults == []


def test_make_help_lists_every_command():
    if not shutil.which("make"):
        pytest.skip("no make on this machine")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "-C", str(ROOT), "--no-print-directory"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.M).group(1).split())
    assert targets == set(re.findall(r"^  make ([\w-]+)", done.stdout, re.M))


def test_ci_runs_the_same_command_as_a_reader():
    script = ROOT / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert os.access(script, os.X_OK) and text.startswith("#!/usr/bin/env bash")
    assert "set -euo pipefail" in text and text.splitlines()[-1] == "make test" and "CI=true" in text


NAMED = (r"\b([A-Z][a-z]+(?:-[A-Z][a-z]+)?)(?:, [A-Z][\w-]+)*(?: et al\.| (?:&|and) [A-Z][\w-]+| and co-authors)?,? "
         r"\(?((?:19|20)\d\d)\b")


def named(text):
    """Return the papers that a text names as "First et al. 2020" or "(First & Second 2020)": {(first, year)}."""
    return {(first.replace("-", "").lower(), year) for first, year in re.findall(NAMED, text)}


def test_every_paper_that_a_docstring_names_has_its_entry():
    assert named("TransRate (Huang et al. 2022), Wang & Isola (2020) and Doersch, Gupta & Efros 2015, of 2019") == {
        ("huang", "2022"), ("wang", "2020"), ("doersch", "2015")}
    keys = set(re.findall(r"^@\w+\{([a-z]+)(\d{4})", (ROOT / "references.bib").read_text(encoding="utf-8"), re.M))
    found = set().union(*(named(path.read_text(encoding="utf-8")) for path in (ROOT / "tlutils").rglob("*.py")))
    assert len(found) > 25 and not found - keys


def test_the_readme_and_the_contents_name_the_same_chapters():
    import book

    listed = re.findall(r"^- \*\*(\d+)\. (.+?)\*\*", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    titles = [book.title_and_thesis(book.load(ROOT / f"{name}.ipynb"))[0] for name in book.chapters(ROOT)]
    assert [int(number) for number, _ in listed] == [int(book.number(name)) for name in book.chapters(ROOT)]
    assert [title.rstrip(".?") for _, title in listed] == [title.rstrip(".?") for title in titles]


def test_references_are_complete():
    entries = re.findall(r"@(\w+)\{(\w+),(.*?)\n\}", (ROOT / "references.bib").read_text(encoding="utf-8"), re.S)
    assert len({key for _, key, _ in entries}) == len(entries) >= 14
    for kind, key, body in entries:
        wanted = {"author", "title"} | (set() if key == "cs231n" else {"year"})
        assert wanted <= set(re.findall(r"(\w+) = ", body)), key
        where = {"article": "journal", "inproceedings": "booktitle", "techreport": "institution", "misc": "url",
                 "book": "publisher"}[kind]
        assert f"{where} = " in body, key
