"""The house keeps its shape: no experiment builds on another, no circle, no code twice, a line for every part."""
import ast
import collections
from pathlib import Path

import pytest
import report
from test_layers import FILES, LAYERS, PACKAGE, SAME_LAYER, imported_units, unit

EXPERIMENTS = sorted((PACKAGE / "experiments").glob("[!_]*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def imported_modules(tree):
    """Return the modules of tlutils that a file imports, at any depth of the code, each with its whole name."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("tlutils.")}


def borrowed(name, tree):
    """Return the experiments that the experiment `name` imports; `experiment` itself is the shape of all of them."""
    others = {path.stem for path in EXPERIMENTS} - {name, "experiment"}
    return sorted(other for other in others if f"tlutils.experiments.{other}" in imported_modules(tree))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_no_experiment_imports_another(path):
    assert borrowed(path.stem, TREES[path]) == []


def test_an_experiment_that_imports_another_is_seen():
    assert borrowed("anb", ast.parse("from tlutils.experiments import clip, experiment")) == ["clip"]
    assert borrowed("anb", ast.parse("def f():\n    from tlutils.experiments.clip import run")) == ["clip"]


def names_of_configs(tree, own):
    """Return the annotations of arguments that name a Config of another module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
                for part in ast.walk(argument.annotation) if argument.annotation else ():
                    if isinstance(part, ast.Attribute) and part.attr.endswith("Config"):
                        found.add(f"{node.name}({argument.arg}: {ast.unparse(argument.annotation)})")
                    if isinstance(part, ast.Name) and part.id.endswith("Config") and part.id not in own:
                        found.add(f"{node.name}({argument.arg}: {part.id})")
    return sorted(found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_function_takes_the_configuration_of_another_file(path):
    own = {node.name for node in TREES[path].body if isinstance(node, ast.ClassDef)}
    assert names_of_configs(TREES[path], own) == []


def test_a_foreign_configuration_is_seen():
    assert names_of_configs(ast.parse("def f(c: clip.Config): pass"), set()) == ["f(c: clip.Config)"]
    assert names_of_configs(ast.parse("def f(*, c: Config | None): pass"), {"Config"}) == []
    assert names_of_configs(ast.parse("def f(c: SourceConfig): pass"), {"Config"}) == ["f(c: SourceConfig)"]


def circles(arrows):
    """Return the nodes of a directed graph {node: nodes it points to} that lie on a circle or lead only to one."""
    left = {node: set(others) - {node} for node, others in arrows.items()}
    while ends := [node for node, others in left.items() if not others & set(left)]:
        for node in ends:
            del left[node]
    return sorted(left)


def test_the_imports_of_the_package_have_no_circle():
    module = {path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
              for path in FILES}
    names = set(module.values())
    arrows = {module[path]: {name for name in imported_modules(TREES[path]) if name in names and name != "tlutils"}
              for path in FILES if path.name != "__init__.py"}
    assert circles(arrows) == []


def test_the_units_of_the_layer_table_have_no_circle_and_each_allowed_arrow_is_needed():
    arrows = collections.defaultdict(set)
    for path in FILES:
        if unit(path) != "__init__":
            arrows[unit(path)] |= imported_units(path.read_text(encoding="utf-8"))
    assert circles(arrows) == []
    assert {(a, b) for a, b in SAME_LAYER if b not in arrows[a]} == set()


def test_a_circle_is_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()}) == ["a", "b", "c"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


class Nameless(ast.NodeTransformer):
    """Replace every name, number and text of a function by the place where it first came."""

    def __init__(self):
        self.seen = {}

    def number(self, word):
        """Return the same short name for the same word."""
        return f"n{self.seen.setdefault(word, len(self.seen))}"

    def visit_Name(self, node):
        """Rename a variable."""
        return ast.Name(self.number(node.id), node.ctx)

    def visit_arg(self, node):
        """Rename an argument, without its annotation."""
        return ast.arg(self.number(node.arg), None)

    def visit_Constant(self, node):
        """Forget the value, and keep its kind."""
        return ast.Constant("" if isinstance(node.value, str) else 0)


def shape(function):
    """Return a function's code without names, constants, docstring and annotations."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    copied = ast.parse(ast.unparse(ast.Module(body, []))).body
    nameless = Nameless()
    arguments = [nameless.number(argument.arg) for argument in function.args.args]
    return str(arguments) + "\n".join(ast.unparse(nameless.visit(statement)) for statement in copied)


def twins(trees):
    """Return pairs of functions of more than six lines that are the same but for names."""
    found = collections.defaultdict(list)
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                lines = node.body[1:] if ast.get_docstring(node) else node.body
                if lines and lines[-1].end_lineno - lines[0].lineno + 1 > 6:
                    found[shape(node)].append(f"{name}: {node.name}")
    return sorted(places for places in found.values() if len(places) > 1)


def test_no_two_functions_are_the_same_but_for_names():
    assert twins({path.relative_to(PACKAGE).as_posix(): tree for path, tree in TREES.items()}) == []


def test_a_function_that_is_written_twice_is_seen():
    lines = "\n".join(f"    {{0}} = {{0}} + {k}" for k in range(7))
    one, two = (ast.parse(f"def {name}({x}):\n    'Doc.'\n{lines.format(x)}\n    return {x}")
                for name, x in (("f", "x"), ("g", "y")))
    assert twins({"a": one, "b": two}) == [["a: f", "b: g"]]
    assert twins({"a": one, "b": ast.parse(ast.unparse(two).replace("+", "-"))}) == []


def test_every_part_of_the_package_has_its_layer_and_its_line_in_the_budget():
    parts = {unit(path) for path in FILES} - {"__init__"}
    assert parts == set(LAYERS)
    budgeted = [name for _, names in report.BUDGET.values() for name in names]
    assert sorted(budgeted) == sorted(parts | {"__init__"}) and len(set(budgeted)) == len(budgeted)


def test_every_experiment_is_one(request):
    from tlutils.experiments import experiment
    every = experiment.registry()
    not_one = {"experiment", "shelf_training", "reversal_controls"}  # the shape; what trains the zoo; an older name
    assert set(every) == {path.stem for path in EXPERIMENTS} - not_one
    for one in every.values():
        assert one.presets and Path(PACKAGE.parent, "chapters", f"{one.chapter}.ipynb").exists()
