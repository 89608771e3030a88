"""The package's pages: its parts in layer order, one line each, then a line for each function, then its docstring.

In a page, as directives: package-map, the table of all parts, and package-api with the number of a layer. What is
public, what it is for and which chapters use it is read from the sources, nothing of the package is imported for it.
"""
import ast
import re
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager
from records import Generated, as_text, book, files, table


def layers(root):
    """Return {part of the package: its layer}, in order, from the table in tests/test_layers.py, which may hold a part
    that is not written yet.
    """
    path = Path(root, "tests", "test_layers.py")
    for node in ast.parse(files.read_text(path)).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "LAYERS":
            there = {path.stem for path in Path(root, "tlutils").iterdir()}
            named = {part: layer for part, layer in ast.literal_eval(node.value).items() if part in there}
            return dict(sorted(named.items(), key=lambda item: item[1]))
    raise files.Damaged(f"{path} is damaged (it holds no table LAYERS); restore it with git")


def tree(root, module):
    """Return the syntax tree of a module given as tlutils.data.glyphs, or of the file of a package."""
    path = Path(root, *module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    try:
        return ast.parse(files.read_text(path))
    except SyntaxError as error:
        raise files.Damaged(f"{path} is damaged (line {error.lineno}: {error.msg}); restore it with git") from None


def summary(node):
    """Return the first sentence of a docstring, as markdown that shows it as it is written."""
    text = (ast.get_docstring(node) or "\N{EN DASH}").split("\n\n")[0]
    return as_text(re.split(r"(?<=[.?!])\s+(?=[A-Z`])", " ".join(text.split()), maxsplit=1)[0])


def modules(root, part):
    """Return the public modules of a part, the part itself first: tlutils.data, tlutils.data.captions, ..."""
    folder = Path(root, "tlutils", part)
    inside = sorted(path.stem for path in folder.glob("*.py") if not path.name.startswith("_"))
    return [f"tlutils.{part}", *(f"tlutils.{part}.{name}" for name in inside)]


def members(root, module):
    """Return the public functions and classes that a module defines, in its order, as syntax nodes."""
    found = [node for node in tree(root, module).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return [node for node in found if not node.name.startswith("_") and ast.get_docstring(node)]


def exports(root, module):
    """Return {name: (module, name there)} of what a file takes from modules of the package and hands on."""
    return {alias.asname or alias.name: (node.module, alias.name) for node in tree(root, module).body
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tlutils.") for alias in node.names}


def used_names(source, known):
    """Return what code uses of the package, as (module, name in it, attribute, ...) each.

    `known` says what the names of the chapter stand for; the imports of this code are added to it.
    """
    python = TransformerManager().transform_cell(source)  # %pip, !ls and the like become calls
    nodes, found = list(ast.walk(ast.parse(python))), set()
    for node in nodes:
        if isinstance(node, ast.Import):
            known |= {alias.asname or "tlutils": (alias.name if alias.asname else "tlutils",) for alias in node.names
                      if alias.name.split(".")[0] == "tlutils"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tlutils":
            known |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
            found |= {(node.module, alias.name) for alias in node.names}
    for node in nodes:
        parts = []
        while isinstance(node, ast.Attribute):
            parts, node = [node.attr, *parts], node.value
        if isinstance(node, ast.Name) and node.id in known:
            found.add((*known[node.id], *parts))
    return found


def uses(root):
    """Return {module, or module.name: {numbers of the chapters whose cells use it}}."""
    parts = layers(root)
    every = {module for part in parts for module in modules(root, part)}
    given = {f"tlutils.{part}": exports(root, f"tlutils.{part}") for part in parts}
    given["tlutils"] = {"setup": ("tlutils.start", "setup")}  # the one name that tlutils itself has
    found = {}
    for page in book.chapters(root):
        path, known = Path(root, f"{page}.ipynb"), {}
        for cell in book.code_cells(book.load(path)) if path.exists() else []:
            try:
                names = used_names(cell["source"], known)
            except SyntaxError as error:
                raise files.Damaged(f"{path} is damaged (a cell is no Python: {error.msg})") from None
            for module, *rest in names:
                # data.glyphs is the function that data hands on, not the module of that name
                while rest and rest[0] not in given.get(module, {}) and f"{module}.{rest[0]}" in every:
                    module, *rest = f"{module}.{rest[0]}", *rest[1:]
                used = [module]
                if rest:
                    home, name = given.get(module, {}).get(rest[0], (module, rest[0]))
                    used += [home, f"{home}.{name}"]
                for one in used:
                    found.setdefault(one, set()).add(book.number(page))
    return found


def chapter_links(root, up):
    """Return what `uses` finds with the chapters as links, {module, or module.name: markdown}."""
    pages = {book.number(page): page for page in book.chapters(root)}
    return {used: ", ".join(f"[{int(number)}]({up}{pages[number]}.ipynb)" for number in sorted(numbers))
            for used, numbers in uses(root).items()}


def package_map(root, up):
    """Return the parts of the package in layer order as a table: what each is and the chapters that use it."""
    links, rows = chapter_links(root, up), []
    for part, layer in layers(root).items():
        rows.append([layer, f"[`{part}`]({up}reference/api_layer_{layer}.md#tlutils{part})",
                     summary(tree(root, f"tlutils.{part}")), links.get(f"tlutils.{part}", "–")])
    return table(["layer", "part", "what it is", "in chapters"], rows)


def entry(root, module, level, links):
    """Return one module: its docstring, a line for each function with a link to its entry, and the entries."""
    public, used = members(root, module), links.get(module, "")
    lines = [f"{level} {module}"]
    if ast.get_docstring(tree(root, module)):
        lines.append(f"```{{eval-rst}}\n.. automodule:: {module}\n```")
    if used:
        lines.append(f"Used in chapter{'s' * (',' in used)} {used}.")
    if public:
        lines.append(table(["name", "what it is", "in chapters"],
                           [[f"{{py:obj}}`{node.name} <{module}.{node.name}>`", summary(node),
                             links.get(f"{module}.{node.name}", "–")] for node in public]))
        kinds = [f".. autoclass:: {module}.{node.name}\n   :members:" if isinstance(node, ast.ClassDef)
                 else f".. autofunction:: {module}.{node.name}" for node in public]
        lines.append("```{eval-rst}\n" + "\n\n".join(kinds) + "\n```")
    return "\n\n".join(lines)


def package_api(root, up, layer):
    """Return the parts of one layer, each with its modules."""
    links, parts = chapter_links(root, up), []
    for part in [part for part, number in layers(root).items() if str(number) == layer]:
        for module in modules(root, part):
            parts.append(entry(root, module, "##" if module.count(".") == 1 else "###", links))
    if not parts:
        raise files.Damaged(f"tests/test_layers.py has no layer {layer!r}")
    return "\n\n".join(parts) + "\n"


def hide_folders(app, what, name, obj, options, signature, returns):
    """Leave the builder's folder out of a default such as zoo.ZOO: the page says that it is a path, not whose."""
    hidden = re.sub(r"(?:Posix|Windows)?Path\((['\"]).*?\1\)", "Path(...)", signature or "")
    return (hidden, returns) if signature else None


class PackageApi(Generated):
    """The parts of a layer with every public name: `{package-api} 0`."""

    required_arguments = 1

    def make(self, root, up):
        """Return the markdown of the layer that the argument names."""
        return package_api(root, up, self.arguments[0])


class PackageMap(Generated):
    """The table of the package's parts."""

    make = staticmethod(package_map)


def setup(app):
    """Register with Sphinx."""
    app.add_directive("package-map", PackageMap)
    app.add_directive("package-api", PackageApi)
    app.connect("autodoc-process-signature", hide_folders)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
