"""What is made from the files it speaks of: the map of chapters, the recorded runs, the run times, the package's pages.

In a page, as directives: chapter-map, recorded-runs, run-times, package-api.
"""
import json
import os
import re
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective


def cell(text):
    """Return text that is safe in a cell of a markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head, rows):
    """Return a markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in lines)


def toc_chapters(root):
    """Return the chapters that _toc.yml names, as paths without a suffix."""
    return re.findall(r"^\s*- file: (chapters/\S+)", Path(root, "_toc.yml").read_text(encoding="utf-8"), re.M)


def title_and_thesis(notebook):
    """Return the title of a chapter and the sentence below it."""
    nb = json.loads(Path(notebook).read_text(encoding="utf-8"))
    source = "".join(next(c["source"] for c in nb["cells"] if c["cell_type"] == "markdown"))
    parts = [part.strip() for part in source.split("\n\n") if part.strip()]
    return parts[0].lstrip("# "), (parts[1].strip("*") if len(parts) > 1 else "")


def minutes(run):
    """Return recorded minutes for people: "2 min", "under 1 min", or a dash where there is no record."""
    if not run:
        return "–"
    return f"{run['minutes']:.0f} min" if run["minutes"] >= 1 else "under 1 min"


def run_times(root):
    """Return the content of results/chapters.json, or {} where nothing was recorded yet."""
    path = Path(root, "results", "chapters.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def chapter_map(root, up):
    """Return the map of chapters as markdown; `up` leads from the page to the root."""
    rows, times = [], run_times(root)
    for name in toc_chapters(root):
        if not Path(root, f"{name}.ipynb").exists():
            continue  # the table of contents itself warns
        title, thesis = title_and_thesis(Path(root, f"{name}.ipynb"))
        time = minutes(times.get(Path(name).name[:2], {}).get("laptop/cpu"))
        rows.append([int(Path(name).name[:2]), f"[{title}]({up}{name}.ipynb)", thesis, time])
    if not rows:
        return "The first chapters are being written."
    return table(["no.", "chapter", "what it shows", "runs in"], rows)


def recorded_runs(root, up):
    """Return the table of recorded experiments as markdown."""
    rows = []
    for path in sorted(Path(root, "results").glob("[0-9][0-9]_*/*.json")):
        made = json.loads(path.read_text(encoding="utf-8"))
        rows.append([path.parent.name[:2], made["question"], f"`{made['command']}`", made["device"],
                     f"{made['wall_s'] / 60:.1f}", made["date_utc"][:10]])
    if not rows:
        return "No experiment has been recorded yet."
    return table(["chapter", "question", "command", "device", "minutes", "date"], rows)


def chapter_times(root, up):
    """Return the table of the chapters' run times as markdown."""
    rows = [[number, key.split("/")[0], run["device"], f"{run['minutes']:.1f}", f"{run['memory_gb']:.1f}",
             run.get("date_utc", "")[:10]]
            for number, runs in sorted(run_times(root).items()) for key, run in sorted(runs.items())]
    if not rows:
        return "No chapter's run time has been recorded yet."
    return table(["chapter", "scale", "device", "minutes", "memory (GB)", "date"], rows)


def package_api(root, up):
    """Return one section per module of the package, filled by autodoc from the docstrings."""
    parts = []
    for path in sorted(Path(root, "tlutils").rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        if not any(part.startswith("_") for part in name.split(".")):
            parts.append(f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n")
    return "\n".join(parts)


def sources(root):
    """Return the files that the generated parts are made from."""
    patterns = ("_toc.yml", "results/*.json", "results/*/*.json", "chapters/*.ipynb", "tlutils/**/*.py")
    return sorted(os.fspath(path) for pattern in patterns for path in Path(root).glob(pattern))


def outdated(app, env, added, changed, removed):
    """Have the generated pages read again when a source came or went; a source that changed is noted as dependency."""
    before, env.generated_from = getattr(env, "generated_from", None), sources(app.srcdir)
    return sorted(getattr(env, "generated_pages", set()) & env.found_docs) if before != env.generated_from else []


class Generated(SphinxDirective):
    """A directive whose content is markdown made by `make`; the page is read again when a source of it changes."""

    make = None

    def run(self):
        """Return the nodes of the generated markdown."""
        root = Path(self.env.srcdir)
        for path in sources(root):
            self.env.note_dependency(path)
        self.env.generated_pages = {self.env.docname, *getattr(self.env, "generated_pages", set())}
        text = type(self).make(root, "../" * self.env.docname.count("/"))
        node = nodes.container(classes=["generated"])
        lines = StringList(text.splitlines(), source=f"{self.name} of {self.env.docname}")
        self.state.nested_parse(lines, 0, node, match_titles=True)
        return node.children if any(isinstance(child, nodes.section) for child in node.children) else [node]


def setup(app):
    """Register with Sphinx."""
    for name, make in {"chapter-map": chapter_map, "recorded-runs": recorded_runs, "run-times": chapter_times,
                       "package-api": package_api}.items():
        app.add_directive(name, type(name.title().replace("-", ""), (Generated,), {"make": staticmethod(make)}))
    app.connect("env-get-outdated", outdated)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
