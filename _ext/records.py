"""What is made from the files it speaks of: the map of chapters, recorded runs and their evidence.

In a page, as directives: chapter-map, living-figure, evidence, ways-compared, what-to-try, recorded-runs, run-times.
"""
import math
import os
import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, os.fspath(Path(__file__).resolve().parent.parent / "tools"))  # what reads the book for them, too

import book  # noqa: E402
import files  # noqa: E402


def cell(text):
    """Return text that is safe in a cell of a markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def as_text(text):
    """Return markdown that shows a recorded text as it is written; only `code` between backquotes is markup."""
    pieces = re.split(r"(`[^`]+`)", " ".join(str(text).split()))
    pieces[::2] = [re.sub(r"([\\`*_{}\[\]<>#~$&])", r"\\\1", piece) for piece in pieces[::2]]
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", "".join(pieces))  # no list begins here


NUMBER = int | float
KINDS = {"question": str, "command": str, "device": str, "date_utc": str, "wall_s": NUMBER, "rows": list}
TIMES = {"device": str, "minutes": NUMBER, "memory_gb": NUMBER}


def read(path, *keys):
    """Return a JSON file as a dictionary; files.Damaged, which names it, if a key is not there or not of its kind."""
    found = files.read_json(path)
    if missing := sorted(key for key in keys if not isinstance(found.get(key), KINDS[key])):
        raise files.Damaged(f"{path} is damaged (it lacks {', '.join(missing)}); restore it with git")
    return found


def table(head, rows):
    """Return a markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in lines)


def chapter(root, number):
    """Return the path of the chapter with this number, relative to the root; ValueError if there is none."""
    found = [name for name in book.chapters(root) if book.number(name) == number]
    if not found or not Path(root, f"{found[0]}.ipynb").exists():
        raise ValueError(f"_toc.yml names no chapter {number!r}")
    return f"{found[0]}.ipynb"


def minutes(run):
    """Return recorded minutes as whole ones, rounded up: what every place of the book tells of a run."""
    return math.ceil(run["minutes"])


def run_times(root):
    """Return the content of results/chapters.json, or {} where nothing was recorded yet."""
    path = Path(root, "results", "chapters.json")
    times = read(path) if path.exists() else {}
    for number, runs in times.items():
        for key, run in runs.items() if isinstance(runs, dict) else [("its runs", runs)]:
            if not isinstance(run, dict) or not all(isinstance(run.get(part), kind) for part, kind in TIMES.items()):
                raise files.Damaged(f"{path} is damaged (chapter {number}, {key}: {str(run)[:40]}); "
                                    "restore it with git")
    return times


def chapter_map(root, up):
    """Return the map of chapters as markdown; `up` leads from the page to the root."""
    rows, times, before = [], run_times(root), book.needs(root)
    for name in book.chapters(root):
        if not Path(root, f"{name}.ipynb").exists():
            continue  # the table of contents itself warns
        number, cells = book.number(name), book.load(Path(root, f"{name}.ipynb"))
        title, thesis = book.title_and_thesis(cells)
        read = f"{book.reading_minutes(cells)} min"
        wanted = ", ".join(f"[{int(one)}]({up}{chapter(root, one)})" for one in before.get(number, [])) or "–"
        run = times.get(number, {}).get("laptop/cpu")
        rows.append([f"**{int(number)}. [{title}]({up}{name}.ipynb)** {thesis}", wanted, read,
                     f"{minutes(run)} min" if run else "–"])
    if not rows:
        return "The first chapters are being written."
    return table(["chapter", "needs", "read", "run"], rows)


WAYS = ("probe", "LP-FT", "fine-tune", "adapters", "scratch")
FLOOR = "nearest contrast"
STEADY = 10  # points by which one seed may be worse than usual without a word


def five_ways(root):
    """Return the record of the five ways, and (target, labels per class) of its fields in the order of its rows."""
    from tlutils import results  # here: only a page that shows this table waits for it

    record = results.load("03_fine_tune_or_freeze", "five_ways", folder=Path(root, "results"))
    fields = dict.fromkeys((made["target"], made["labels_per_class"]) for made in record.rows
                           if made["metric"] == "accuracy")
    return record, list(fields)


def unsteady(record, where):
    """Return the ways that in one seed lie far below their usual place among the ways of that seed."""
    values = {way: 100 * record.select(method=way, **where) for way in WAYS}
    usual = sum(values.values()) / len(WAYS)
    return {way for way, found in values.items() if (found - usual).mean() - (found - usual).min() > STEADY}


def ways_compared(root, up):
    """Return mean accuracies by target, labels per class and way as markdown; in bold what may be the best."""
    record, fields = five_ways(root)
    rows = []
    for target, size in fields:
        where = {"target": target, "labels_per_class": size, "metric": "accuracy"}
        leaders, line = record.leaders(list(WAYS), **where), []
        for way in (*WAYS, FLOOR):
            values = 100 * record.select(method=way, **where)
            mean = f"**{values.mean():.1f}**" if way in leaders else f"{values.mean():.1f}"
            line.append(f"{mean} (worst {values.min():.1f})" if way in unsteady(record, where) else mean)
        rows.append([target, size, *line])
    return table(["target", "labels per class", *WAYS, "nearest neighbour"], rows)


def what_to_try(root, up):
    """Return the chart of the guide as markdown: the ways that may be the best, by labels per class and target."""
    record, fields = five_ways(root)
    targets, sizes = (list(dict.fromkeys(field[k] for field in fields)) for k in (0, 1))
    rows = []
    for size in sizes:
        line = []
        for target in targets:
            where = {"target": target, "labels_per_class": size, "metric": "accuracy"}
            if (target, size) not in fields:
                line.append("–")
                continue
            line.append(", ".join(f"{way} (unsteady)" if way in unsteady(record, where) else way
                                  for way in record.leaders(list(WAYS), **where)))
        rows.append([f"**{size}**", *line])
    return table(["labels per class", *targets], rows)


def recorded_runs(root, up):
    """Return the table of recorded experiments as markdown."""
    rows = []
    for path in sorted(Path(root, "results").glob("[0-9][0-9]_*/*.json")):
        made = read(path, "question", "command", "device", "wall_s", "date_utc")
        rows.append([path.parent.name[:2], as_text(made["question"]), f"`{str(made['command']).replace('`', ' ')}`",
                     as_text(made["device"]), f"{made['wall_s'] / 60:.1f}", as_text(made["date_utc"][:10])])
    if not rows:
        return "No experiment has been recorded yet."
    return table(["chapter", "question", "command", "device", "minutes", "date"], rows)


def chapter_times(root, up):
    """Return the table of the chapters' run times as markdown."""
    rows = [[number, key.split("/")[0], as_text(run["device"]), f"{run['minutes']:.1f}", f"{run['memory_gb']:.1f}",
             run.get("date_utc", "")[:10]]
            for number, runs in sorted(run_times(root).items()) for key, run in sorted(runs.items())]
    if not rows:
        return "No chapter's run time has been recorded yet."
    return table(["chapter", "scale", "device", "minutes", "memory (GB)", "date"], rows)


def sources(root):
    """Return the files that the generated parts are made from."""
    patterns = ("_toc.yml", "chapters/needs.yml", "chapters/*.ipynb", "results/*.json", "results/*/*.json",
                "tlutils/**/*.py", "tests/test_layers.py")
    return sorted(os.fspath(path) for pattern in patterns for path in Path(root).glob(pattern))


def outdated(app, env, added, changed, removed):
    """Have the generated pages read again when a source came or went; a source that changed is noted as dependency."""
    before, env.generated_from = getattr(env, "generated_from", None), sources(app.srcdir)
    return sorted(getattr(env, "generated_pages", set()) & env.found_docs) if before != env.generated_from else []


class Generated(SphinxDirective):
    """A directive whose content is markdown made by `make`; the page is read again when a source of it changes."""

    make = None

    def prepare(self):
        """Note what the page is made from; return the root and the way from the page to it."""
        for path in sources(self.env.srcdir):
            self.env.note_dependency(path)
        self.env.generated_pages = {self.env.docname, *getattr(self.env, "generated_pages", set())}
        return Path(self.env.srcdir), "../" * self.env.docname.count("/")

    def parsed(self, text, name="generated"):
        """Return a container with the nodes of a markdown text."""
        node = nodes.container(classes=[name])
        lines = StringList(text.splitlines(), source=f"{self.name} of {self.env.docname}")
        self.state.nested_parse(lines, 0, node, match_titles=True)
        return node

    def run(self):
        """Return the nodes of the generated markdown."""
        try:
            node = self.parsed(self.make(*self.prepare()))
        except ValueError as error:
            raise self.error(str(error)) from None
        return node.children if any(isinstance(child, nodes.section) for child in node.children) else [node]


class LivingFigure(Generated):
    """The explorer of a chapter as its notebook stores it, the directive's content below it: `{living-figure} 01`."""

    required_arguments, has_content = 1, True

    def run(self):
        """Return the explorer's HTML and the caption."""
        root, _ = self.prepare()
        try:
            stored = book.outputs(book.load(root / chapter(root, self.arguments[0])), "text/html")
        except ValueError as error:
            raise self.error(str(error)) from None
        shown = [text for text in stored if 'class="explore"' in text]
        if not shown:
            raise self.error(f"chapter {self.arguments[0]} has no stored explorer")
        figure = self.parsed("\n".join(self.content), "living-figure")
        figure.insert(0, nodes.raw("", shown[0], format="html"))
        return [figure]


def recorded_run(root, number, name):
    """Return the path of the recorded run `name`: the chapter's own, else the only one that any chapter has."""
    own, all_of_them = (sorted(root.glob(f"results/{of}_*/{name}.json")) for of in (number, "[0-9][0-9]"))
    files = own or all_of_them
    if len(files) != 1:
        raise ValueError(f"results/ holds {len(files)} recorded runs named {name!r}")
    return files[0]


class Evidence(Generated):
    """Claims that a chapter has checked, word by word as its output says: `{evidence} 03 labels_per_class`.

    Each line of the content is the beginning of one claim. A claim that no stored output holds is an error of the
    build, so a page cannot say more than the runs.
    """

    required_arguments, optional_arguments, has_content = 1, 1, True

    def run(self):
        """Return the claims as a list, each with a link to its chapter and to the recorded run."""
        root, up = self.prepare()
        number, *record = self.arguments
        try:
            name = chapter(root, number)
            checked = book.claims(book.load(root / name))
        except ValueError as error:
            raise self.error(str(error)) from None
        link = f"[chapter {int(number)}]({up}{name}#claims)"
        if record:
            try:
                file = recorded_run(root, number, record[0])
            except ValueError as error:
                raise self.error(str(error)) from None
            address = f"{self.config.html_theme_options['repository_url']}/blob/" \
                      f"{self.config.html_theme_options['repository_branch']}/{file.relative_to(root).as_posix()}"
            link += f", [{record[0]}]({address})"
        lines = []
        for beginning in filter(str.strip, self.content):
            found = [text for text in checked if text.startswith(beginning.strip())]
            if len(found) != 1:
                raise self.error(f"chapter {number}: {len(found)} checked claims begin with {beginning.strip()!r}")
            lines.append(f"- {as_text(found[0])} ({link})")
        return [self.parsed("\n".join(lines), "evidence")]


def setup(app):
    """Register with Sphinx."""
    for name, make in {"chapter-map": chapter_map, "recorded-runs": recorded_runs, "run-times": chapter_times,
                       "ways-compared": ways_compared, "what-to-try": what_to_try}.items():
        app.add_directive(name, type(name.title().replace("-", ""), (Generated,), {"make": staticmethod(make)}))
    app.add_directive("living-figure", LivingFigure)
    app.add_directive("evidence", Evidence)
    app.connect("env-get-outdated", outdated)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
