"""The architecture: no circle of imports at module level, no long module, public functions with types."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest
from places import ROOT

PACKAGE = ROOT / "mdnnp"


def module_level_imports(tree):
    """Import statements that run, or are looked at by a type checker, when the module is imported."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def graph():
    paths = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    arrows = {}
    for name, path in paths.items():
        found = arrows.setdefault(name, set())
        for node in module_level_imports(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names if alias.name in paths}
            elif node.module in paths:
                whole = {f"{node.module}.{alias.name}" for alias in node.names} & paths.keys()
                found |= whole or {node.module}
    return arrows


def test_imports_make_no_circle():
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_module_is_long():
    long = {
        str(path.relative_to(ROOT)): n
        for path in PACKAGE.rglob("*.py")
        if (n := len(path.read_text("utf-8").splitlines())) > 600
    }
    assert not long, "past 600 lines: which second idea is inside?"


def test_entries_of_the_package_are_few():
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__", "py.typed"}
    assert len(entries) <= 14, sorted(entries)


def open_signatures(body):
    """Public functions and methods that lack a type; compiled ones are exempt, as Numba infers theirs."""
    for node in body:
        public = not node.name.startswith("_") or node.name.endswith("__") if hasattr(node, "name") else False
        if public and isinstance(node, ast.ClassDef):
            yield from open_signatures(node.body)
        elif public and isinstance(node, ast.FunctionDef):
            if any(ast.unparse(d).startswith(("njit", "intrinsic", "overload")) for d in node.decorator_list):
                continue
            own = node.args
            given = [*own.posonlyargs, *own.args, *own.kwonlyargs, *filter(None, (own.vararg, own.kwarg))]
            lacks = [a.arg for a in given if a.annotation is None and a.arg not in ("self", "cls")]
            if lacks or (node.returns is None and node.name != "__init__"):
                yield f"line {node.lineno}: {node.name}({', '.join(lacks)})"


def test_public_functions_have_types():
    found = {
        str(path.relative_to(ROOT)): list(open_signatures(ast.parse(path.read_text("utf-8")).body))
        for path in PACKAGE.rglob("*.py")
    }
    assert not {name: lines for name, lines in found.items() if lines}
