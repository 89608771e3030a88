"""The examples in the package's docstrings: each runs, and prints what it says."""
import ast
import doctest
import importlib
import warnings
from pathlib import Path

import pytest
import torch

PACKAGE = Path(__file__).resolve().parent.parent / "tlutils"
WITH_EXAMPLES = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]


def module_name(path):
    """Return the name by which a file of the package is imported."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_name)
def test_examples_print_what_they_say(path):
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("error")
        torch.manual_seed(0)
        done = doctest.testmod(importlib.import_module(module_name(path)), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.failed == 0 and done.attempted >= 1


def test_an_example_that_lies_is_caught():
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "lie", None, None)
    assert doctest.DocTestRunner(verbose=False).run(test, out=lambda text: None).failed == 1


def test_the_modules_that_readers_meet_first_have_examples():
    """Taking networks apart, training and cutting data: whoever calls these looks for an example."""
    for name in ("surgery.py", "train.py", "models.py", "data/splits.py"):
        tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
        texts = [ast.get_docstring(node) or "" for node in tree.body
                 if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
        assert sum(">>> " in text for text in texts) >= len(texts) / 2, name
