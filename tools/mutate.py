"""Change recorded rows and see whether a chapter notices:  python tools/mutate.py [03]   (make mutate CH=03)

A flip changes the rows of one record: two methods swapped within a seed, a factor permuted, the seeds of one method in
another order, three points taken from one method. Of a chapter, in this process and without a kernel, only those
statements run that print something made from a record, and what these need; what trains never does. A flip is noticed
when a checked cell prints something else, when a number in prose, in a question, in a figure's alternative text or in
the guide has nothing behind it any more, or when the chapter stops. A table that is made from the rows changes with
them and notices nothing. Claims and texts stay where they are: nothing is listed here.
"""
import ast
import collections
import contextlib
import dataclasses
import functools
import io
import json
import os
import random
import re
import symtable
import sys
import time
import warnings
from pathlib import Path

import book
import files

os.environ.setdefault("MPLBACKEND", "Agg")
sys.path[1:1] = [os.fspath(book.ROOT / "tests")]  # what holds prose to outputs stands there, once

SEED, FLIPS = 14, 72          # flips a chapter: as many of each kind and record as that allows
SHARE, REQUIRED = 95, ("01", "03")   # so many in a hundred must be noticed in these chapters
POINTS = 0.03
NUMBERING = {"filter", "pixels"}     # factors that only number what is alike
# what costs nothing, of a package that otherwise trains or reads networks
QUICK_PARTS = {"results", "plotting", "figures", "env", "quiz", "explore"}
QUICK = {"chosen_rate", "rank_correlation", "treatment"}
SLOW = {"backward", "fit", "step", "run"}
SILENT = {"setup", "volatile", "draw", "quiz"}


@dataclasses.dataclass
class Statement:
    """A statement at the top of a code cell: what it reads from before, what it binds for sure, what it may change."""

    cell: int
    node: ast.stmt
    displayed: bool
    uses: set = dataclasses.field(default_factory=set)
    binds: set = dataclasses.field(default_factory=set)
    changes: set = dataclasses.field(default_factory=set)

    @functools.cached_property
    def code(self):
        """The statement, compiled once; one whose value a notebook shows as an expression."""
        if self.displayed:
            return compile(ast.Expression(self.node.value), f"cell {self.cell}", "eval")
        return compile(ast.Module([self.node], []), f"cell {self.cell}", "exec")


def named(node):
    """Return (names that code takes from outside of itself, names that it binds): Python's own rules of scope."""
    top = symtable.symtable(ast.unparse(node), "cell", "exec")
    read, bound, todo = set(), set(), [top]
    while todo:
        table = todo.pop()
        todo += table.get_children()
        for symbol in table.get_symbols():
            if table is top and (symbol.is_assigned() or symbol.is_imported()):
                bound.add(symbol.get_name())
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                read.add(symbol.get_name())
    return read, bound


def follow(node, found, bound):
    """Add to a statement what `node`, in it, uses, binds and changes; bound are the names that it has bound before."""
    if isinstance(node, ast.If):
        sides = []
        for side in (node.body, node.orelse):
            sides.append(set(bound))
            for part in [ast.Expr(node.test), *side]:
                follow(part, found, sides[-1])
        bound |= sides[0] & sides[1]
        found.changes |= (sides[0] | sides[1]) - bound
    elif isinstance(node, ast.For | ast.While | ast.With | ast.Try):
        if isinstance(node, ast.For):
            follow(ast.Assign([node.target], node.iter, lineno=0), found, bound)
        heads = [*([node.test] if isinstance(node, ast.While) else [])]
        for item in getattr(node, "items", []):
            follow(ast.Assign([item.optional_vars], item.context_expr, lineno=0) if item.optional_vars else
                   ast.Expr(item.context_expr), found, bound)
        parts = [*map(ast.Expr, heads), *node.body, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
        for handler in getattr(node, "handlers", []):
            parts += [*([ast.Expr(handler.type)] if handler.type else []), *handler.body]
        for part in parts:
            follow(part, found, bound)
    else:
        read, new = named(node)
        found.uses |= read - bound
        roots = [node.target] if isinstance(node, ast.AugAssign) else []
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            roots += [part for part in ast.walk(node) if isinstance(part, ast.Attribute | ast.Subscript)
                      and isinstance(part.ctx, ast.Store | ast.Del)]
            value = node.value if isinstance(node, ast.Expr) else None
            roots += [part.func for part in getattr(value, "elts", [value]) if isinstance(part, ast.Call)
                      and isinstance(part.func, ast.Attribute)]
        changed = {root(part) for part in roots} - {""}
        if isinstance(node, ast.AugAssign):
            found.uses |= changed - bound
            new -= changed
        found.changes |= changed
        bound |= new


def root(node):
    """Return the name at the root of a.b[c].d, or "" where there is none."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def statements_of(cells):
    """Return the statements of the code cells, in order; the set-up cell, with its line for pip, is none of them."""
    found = []
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code" or "setup" in book.tags(cell):
            continue
        lines, nodes = cell["source"].splitlines(), ast.parse(cell["source"]).body
        for node in nodes:
            rest = lines[node.end_lineno - 1].encode()[node.end_col_offset:].strip()
            shown = node is nodes[-1] and isinstance(node, ast.Expr) and not rest.startswith(b";")
            made = Statement(number, node, shown)
            follow(node, made, made.binds)
            found.append(made)
    modules = {name for one in found if isinstance(one.node, ast.Import | ast.ImportFrom) for name in one.binds}
    for one in found:
        one.changes -= modules  # plt.show() changes no name
    return found


def needed(statements, k):
    """Return the numbers of all statements that statement k needs, itself included.

    A function takes its names from where it is called, not from where it is written.
    """
    found, seen, todo = {k}, set(), [(name, k) for name in statements[k].uses]
    while todo:
        name, before = todo.pop()
        if (name, before) in seen:
            continue
        seen.add((name, before))
        for j in reversed(range(before)):
            one = statements[j]
            if name in one.binds or name in one.changes:
                found.add(j)
                at = before if isinstance(one.node, ast.FunctionDef) else j
                todo += [(use, at) for use in one.uses]
                if name in one.binds:
                    break
    return found


def calls(node):
    """Return the functions that code calls, as written: ["results.load", "print"]; others than names are left out."""
    return [ast.unparse(part.func) for part in ast.walk(node)
            if isinstance(part, ast.Call) and isinstance(part.func, ast.Name | ast.Attribute)]


def plan(cells):
    """Return (the statements to run, in order: those that print what comes from a record, and what they need; those of
    them that checked cells need)."""
    statements = statements_of(cells)
    ours = {}  # names that come from the package: claim -> tlutils.results.claim
    for node in (one.node for one in statements if isinstance(one.node, ast.ImportFrom)):
        ours |= {part.asname or part.name: f"{node.module}.{part.name}" for part in node.names
                 if (node.module or "").startswith("tlutils")}

    def slow(call):
        first, *rest = call.split(".")
        whole = ".".join([ours.get(first, first), *rest]).split(".")
        return whole[-1] in SLOW and len(whole) > 1 or first in ours and not (
            whole[1] in QUICK_PARTS or whole[-1] in QUICK or any(part[:1].isupper() for part in whole[1:]))

    showing, loads, slows, wanted = {"print", "display", "claim"}, set(), set(), set()
    for k, one in enumerate(statements):
        called = calls(one.node)
        loads |= {k} & {k for call in called if call == "results.load"}
        slows |= {k} & {k for call in called if slow(call)}
        shows = any(call.split(".")[-1] in showing for call in called)
        if isinstance(one.node, ast.FunctionDef):
            showing |= one.binds if shows else set()
        elif (shows or one.displayed and "explore" not in called) and not SILENT & set(book.tags(cells[one.cell])):
            wanted.add(k)
    closures = {k: needed(statements, k) for k in wanted}
    closures = {k: closure for k, closure in closures.items() if closure & loads and not closure & slows}
    checked = [closure for k, closure in closures.items()
               if "nbval-check-output" in book.tags(cells[statements[k].cell])]
    return [[statements[k] for k in sorted(set().union(*some))] for some in (closures.values(), checked)]


def execute(statements, load):
    """Run statements on what `load` gives in the place of `results.load`; return {number of a cell: printed text}."""
    from IPython.lib.pretty import pretty

    from tlutils import results

    printed = {one.cell: io.StringIO() for one in statements}
    namespace, originals = {"__name__": "__main__", "display": lambda value: print(pretty(value))}, \
        (results.load, results.select)
    results.load, results.select = load, searched(originals[1])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for one in statements:
                with contextlib.redirect_stdout(printed[one.cell]):
                    value = eval(one.code, namespace)
                    if one.displayed and value is not None:
                        print(pretty(value))
    finally:
        results.load, results.select = originals
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
    return {cell: text.getvalue() for cell, text in printed.items()}


def searched(original):
    """Return `results.select` for many questions to the same long lists: each is looked through once."""
    seen = {}

    def select(rows, **wanted):
        if len(rows) > 100:
            kept = seen.setdefault(id(rows), [rows, -1, {}])  # holds the list, so that no other gets its id
            if kept[1] != len(rows):
                kept[1:] = len(rows), {}
                for k, row in enumerate(rows):
                    for key in set(row) - {"value"}:
                        kept[2].setdefault((key, row[key]), set()).add(k)
            if wanted and all(pair in kept[2] for pair in wanted.items()):
                found = set.intersection(*(kept[2][pair] for pair in wanted.items()))
                rows = [rows[k] for k in sorted(found)] or rows
        return original(rows, **wanted)

    return select


class Row(dict):
    """A row that notes in `read` that somebody asked for its number."""

    def __init__(self, row, note):
        super().__init__(row)
        self.note = note

    def __getitem__(self, key):
        if key == "value":
            self.note()
        return super().__getitem__(key)

    def get(self, key, default=None):
        """Return self[key], or default."""
        return self[key] if key in self else default

    def __iter__(self):  # so that {**row} and dict(row) ask for each key
        return super().__iter__()

    def items(self):
        """Return pairs, the number asked for."""
        return [(key, self[key]) for key in self]

    def __or__(self, other):
        return dict(self) | other


class Records:
    """The records under a folder: loaded as they are, rows noted as they are read, or with other values in one."""

    def __init__(self, folder):
        from tlutils import results

        self.folder, self.original, self.stored, self.read = Path(folder), results.load, {}, {}

    def load(self, chapter, name, folder=None, *, values=None, note=True):
        """Return a record as `results.load` does; values are {number of a row: its other value}."""
        key = (chapter, name)
        if key not in self.stored:
            self.stored[key] = self.original(chapter, name, self.folder)
        run = self.stored[key]
        rows = [dict(row) for row in run["rows"]]
        if note:
            read = self.read.setdefault(key, set())
            rows = [Row(row, functools.partial(read.add, k)) for k, row in enumerate(rows)]
        for k, value in (values or {}).items():
            rows[k]["value"] = value
        return type(run)(json.loads(json.dumps({part: run[part] for part in run if part != "rows"})) | {"rows": rows})

    def flipped(self, key, values):
        """Return a function in the place of `results.load` that gives the record `key` with other values."""
        return lambda chapter, name, folder=None: self.load(
            chapter, name, note=False, values=values if (chapter, name) == key else None)


def others(row, *left_out):
    """Return all that a row says but its value and the keys left out: rows that agree in it are partners."""
    return frozenset((key, str(value)) for key, value in row.items() if key not in ("value", *left_out))


def exchanged(rows, pool, key, instead):
    """Return {number: value} of the rows in pool with the value of the partner whose `key` is instead[own]."""
    place = {(row[key], others(row, key)): row["value"] for row in (rows[k] for k in pool) if key in row}
    return {k: place[instead[rows[k][key]], others(rows[k], key)] for k in pool
            if rows[k].get(key) in instead and (instead[rows[k][key]], others(rows[k], key)) in place}


def permuted(rng, values):
    """Return {value: another}, a random permutation without the identity; {} for fewer than two values."""
    before = sorted(set(values), key=str)
    after = list(before)
    while len(before) > 1 and after == before:
        rng.shuffle(after)
    return dict(zip(before, after, strict=True)) if len(before) > 1 else {}


def swap_methods(rng, rows, pool):
    """Two methods swapped within a seed."""
    seed = rng.choice(sorted({rows[k]["seed"] for k in pool}))
    pool = [k for k in pool if rows[k]["seed"] == seed]
    methods = sorted({rows[k]["method"] for k in pool})
    if len(methods) < 2:
        return "", {}
    one, other = rng.sample(methods, 2)
    return f"{one} and {other} swapped in seed {seed}", exchanged(rows, pool, "method", {one: other, other: one})


def permute_factor(rng, rows, pool):
    """The levels of a factor permuted, in all rows."""
    from tlutils import results

    factors = sorted({key for k in pool for key in rows[k]} - {*results.ROW_KEYS, *NUMBERING})
    if not factors:
        return "", {}
    factor = rng.choice(factors)
    instead = permuted(rng, [rows[k][factor] for k in pool if factor in rows[k]])
    return f"{factor} permuted", exchanged(rows, pool, factor, instead)


def shuffle_seeds(rng, rows, pool):
    """The seeds of one method in another order."""
    method = rng.choice(sorted({rows[k]["method"] for k in pool}))
    pool = [k for k in pool if rows[k]["method"] == method]
    return f"seeds of {method} shuffled", exchanged(rows, pool, "seed", permuted(rng, [rows[k]["seed"] for k in pool]))


def take_points(rng, rows, pool):
    """Three points taken from one method."""
    method = rng.choice(sorted({rows[k]["method"] for k in pool}))
    return f"three points taken from {method}", {
        k: max(0.0, rows[k]["value"] - POINTS) for k in pool
        if rows[k]["method"] == method and rows[k]["unit"] == "fraction"}


KINDS = (swap_methods, permute_factor, shuffle_seeds, take_points)


def sample(chapter, records, size=FLIPS):
    """Return the flips of a chapter, [(record, words, {number of a row: value})]: each changes a row that was read."""
    pairs = [(key, kind) for key in sorted(records.read) for kind in KINDS if records.read[key]]
    found = {}
    for key, kind in pairs:
        rng, rows, read = random.Random(f"{SEED} {chapter} {key} {kind.__name__}"), records.stored[key]["rows"], \
            records.read[key]
        metrics, drawn = sorted({rows[k]["metric"] for k in read}), 0
        for _ in range(20 * size):
            metric = rng.choice(metrics)
            words, values = kind(rng, rows, [k for k, row in enumerate(rows) if row["metric"] == metric])
            values = {k: value for k, value in values.items() if value != rows[k]["value"]}
            flip = (key, kind.__name__, tuple(values.items()))
            if read & set(values) and flip not in found:
                found[flip] = (key, f"{metric}, {words}", values)
                drawn += 1
                if drawn == -(-size // len(pairs)):
                    break
    return list(found.values())


def guide_of(root, stem, names):
    """Return the paragraphs of the guide that link to a chapter or name a record of it, as cells of text."""
    path = Path(root, "reference", "decision_guide.md")
    text = files.read_text(path) if path.exists() else ""
    words = [f"chapters/{stem}", *(f"{name}.json" for name in names)]
    return [{"cell_type": "markdown", "source": part, "metadata": {}} for part in re.split(r"\n\s*\n", text)
            if any(word in part for word in words)]


class Chapter:
    """A chapter as stored, what of it is to run, and what it printed on the records as they are."""

    def __init__(self, path, root):
        import test_chapters

        self.prose, self.path, self.cells = test_chapters, path, book.load(path)
        self.records, self.faults = Records(Path(root, "results")), []
        self.plan, self.first = plan(self.cells)
        try:
            self.before = execute(self.plan, self.records.load)
        except Exception as error:  # whatever a cell raises
            self.before = {}
            self.faults = [f"it stops on its own records: {type(error).__name__}: {error}"]
            return
        # lines that no run here prints, such as those of live training, stay as they are stored
        self.kept = {}
        for number, text in self.before.items():
            stored, lines = self.prose.printed(self.cells[number]).splitlines(), text.splitlines()
            self.kept[number] = [line for line in stored if line not in lines]
            self.faults += [f"cell {number} prints what is not stored: {line}" for line in lines if line not in stored]
            self.faults += [f"cell {number}: {line}" for line in lines if line.startswith("DOES NOT HOLD")]
        names = sorted({name for _, name in self.records.read})
        alts = [cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "") for cell in self.cells]
        self.besides = [*guide_of(root, path.stem, names), *({"cell_type": "markdown", "source": alt, "metadata": {}}
                                                             for alt in alts if alt)]
        self.faults += [f"no output holds {number}" for number in self.prose.unbacked(self.cells)]
        self.missing = self.unbacked(self.before)

    def unbacked(self, texts):
        """Return how often each number, of those without anything behind them, stands in prose and beside it."""
        cells = list(self.cells)
        for number, text in texts.items():
            lines = "\n".join([text, *self.kept[number]])
            cells[number] = cells[number] | {"outputs": [{"output_type": "stream", "name": "stdout", "text": lines}]}
        return collections.Counter(self.prose.unbacked([*self.besides, *cells]))

    def notices(self, key, values):
        """Return what notices other values in a record: "stop", "claim", "number", or "" for nothing."""
        load = self.records.flipped(key, values)
        try:
            after = execute(self.first, load)  # the claims alone, for mostly they notice
            if any(after[number] != self.before[number] for number in after
                   if "nbval-check-output" in book.tags(self.cells[number])):
                return "claim"
            after = execute(self.plan, load)
        except Exception:  # whatever a cell raises
            return "stop"
        return "number" if after != self.before and self.unbacked(after) - self.missing else ""


def unread(rows, read):
    """Return lines that name the rows whose numbers nobody asked for: a metric each, methods that are left out whole
    first, then those of which some settings are read."""
    lines = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        whole, part = [], []
        for method in dict.fromkeys(row["method"] for row in rows if row["metric"] == metric):
            group = [k for k, row in enumerate(rows) if (row["metric"], row["method"]) == (metric, method)]
            left = [k for k in group if k not in read]
            if left:
                (part if len(left) < len(group) else whole).append(
                    f"{method} ({len(left)} of {len(group)} rows)" if len(left) < len(group) else method)
        lines += [f"{metric}: {', '.join([*whole, *part])}"] if whole or part else []
    return lines


def examine(path, root, say=print):
    """Print what a chapter notices; return (share in percent or None where it is not green, its records)."""
    start, chapter = time.perf_counter(), Chapter(path, root)
    number = path.name[:2]
    if chapter.faults:
        say(f"chapter {number}: not green before any flip")
        for fault in chapter.faults[:8]:
            say(f"  {fault}")
        return None, chapter.records
    flips = sample(number, chapter.records)
    by = [chapter.notices(key, values) for key, _, values in flips]
    counts = collections.Counter(by)
    share = 100 * (len(by) - counts[""]) / len(by) if by else 100.0
    told = ", ".join(f"{counts[word]} by a {word}" for word in ("claim", "number", "stop") if counts[word])
    say(f"chapter {number}: {len(by) - counts['']} of {len(by)} flips noticed, {share:.0f} % ({told or 'none'}); "
        f"{time.perf_counter() - start:.0f} s")
    for (key, words, values), noticed in zip(flips, by, strict=True):
        if not noticed:
            say(f"  nobody noticed: {'/'.join(key)}, {words} ({len(values)} rows)")
    return share, chapter.records


def main(arguments, root=book.ROOT, say=print):
    """Examine all chapters, or the one with this number; return 2 where one is not green, 1 under the share, else 0."""
    if len(arguments) > 1 or any(not re.fullmatch("[0-9]{1,2}", word) for word in arguments):
        raise SystemExit("usage: make mutate [CH=03]")
    paths = [path for path in sorted(Path(root, "chapters").glob("[0-9][0-9]_*.ipynb"))
             if not arguments or int(path.name[:2]) == int(arguments[0])]
    if not paths:
        raise SystemExit(f"CH must be the number of one chapter, got {' '.join(arguments)!r}")
    shares, read, stored = {}, collections.defaultdict(set), {}
    for path in paths:
        shares[path.name[:2]], records = examine(path, root, say)
        stored |= {key: run["rows"] for key, run in records.stored.items()}
        for key, rows in records.read.items():
            read[key] |= rows
    say("\nRows whose numbers no claim and no printed line of these chapters needs:")
    lines = [f"  {'/'.join(key)}, {line}" for key in sorted(stored) for line in unread(stored[key], read[key])]
    of_these = {path.stem for path in paths}
    lines += [f"  {path.parent.name}/{path.stem}: all of it, no chapter loads it"
              for path in sorted(Path(root, "results").glob("[0-9][0-9]_*/*.json"))
              if path.parent.name in of_these and (path.parent.name, path.stem) not in stored]
    for line in lines or ["  none"]:
        say(line)
    if None in shares.values():
        return 2
    return int(any(shares[number] < SHARE for number in REQUIRED if number in shares))


if __name__ == "__main__":
    with files.one_line():
        sys.exit(main(sys.argv[1:]))
