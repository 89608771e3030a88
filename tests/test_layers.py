"""The package stays documented and layered: arrows between its modules only go down. Its size: tools/report.py."""
import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "tlutils"
FILES = sorted(PACKAGE.rglob("*.py"))
NAME = {"ids": lambda path: str(path.relative_to(PACKAGE))}
LAYERS = {"arrays": 0, "env": 0, "results": 0,
          "surgery": 1, "selfsup": 1, "domain": 1, "transferability": 1,
          "adapters": 2, "analysis": 2, "data": 2, "figures": 2, "models": 2, "pretraining": 2, "train": 2, "probes": 2,
          "worlds": 2, "zoo": 2,
          "start": 3, "experiments": 3, "plotting": 3, "explore": 3, "quiz": 3}
# within a layer, a unit may use the units named here
SAME_LAYER = {("results", "env"), ("zoo", "models"), ("probes", "train"), ("worlds", "data"), ("worlds", "models"),
              ("worlds", "train"), ("pretraining", "train")}


def unit(path):
    """Return the unit of the layer table that a file belongs to: data for tlutils/data/glyphs.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_units(source):
    """Return the units of tlutils that a source imports, at any depth of the code."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("tlutils.")}
    return found & set(LAYERS)


def breaches(name, source):
    """Return the units that a file of the unit `name` imports although the layer table forbids it."""
    return sorted(other for other in imported_units(source)
                  if other != name and (name, other) not in SAME_LAYER and LAYERS[other] >= LAYERS[name])


def test_every_file_has_a_place_in_the_table():
    assert {unit(path) for path in FILES} - {"__init__"} <= set(LAYERS)


@pytest.mark.parametrize("path", [path for path in FILES if unit(path) != "__init__"], **NAME)
def test_imports_go_down(path):
    source = path.read_text(encoding="utf-8")
    assert breaches(unit(path), source) == []
    froms = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    assert not [node for node in froms if node.level or any(alias.name == "*" for alias in node.names)]


def test_an_upward_import_is_caught():
    assert breaches("surgery", "from tlutils.train import fit") == ["train"]
    assert breaches("surgery", "def f():\n    import tlutils.experiments.anb") == ["experiments"]
    assert breaches("experiments", "from tlutils import data, models, surgery") == []


def test_a_file_is_named_by_what_it_holds():
    words = {"util", "utils", "common", "helper", "helpers", "misc"}
    assert not [path for path in FILES if words & set(path.relative_to(PACKAGE).with_suffix("").parts)]


def public(tree):
    """Yield (name, node) of the public functions, classes and methods of a module."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name[0] != "_" and method.name != "forward":
                        yield f"{node.name}.{method.name}", method


@pytest.mark.parametrize("path", FILES, **NAME)
def test_every_public_name_is_documented_in_at_most_18_lines(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body, "a module says what it is"
    texts = {name: ast.get_docstring(node) for name, node in public(tree)}
    assert [name for name, text in texts.items() if not text] == []
    assert [name for name, text in texts.items() if len(text.splitlines()) > 18] == []


@pytest.mark.parametrize("path", [p for p in FILES if unit(p) not in ("experiments", "results", "start")], **NAME)
def test_the_library_never_prints_and_never_uses_cuda_by_name(path):
    calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [f for f in calls if isinstance(f, ast.Name) and f.id == "print"]
    assert not [f for f in calls if isinstance(f, ast.Attribute) and f.attr == "cuda"]
