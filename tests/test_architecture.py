"""The shape of the package: imports point down, and state is passed down."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import flask_bitmapist

PACKAGE = Path(flask_bitmapist.__file__).parent

# From the bottom up; what stands in one row may import from its own and lower ones.
FLOORS = (
    ("analysis", "_version"),
    ("identity",),
    ("questions",),
    ("config", "store"),
    ("query", "capture"),
    ("state",),
    ("access", "marking"),
    ("utils", "mixins", "extensions", "testing", "web", "cli"),
    ("admin",),
    ("extension",),
    ("__init__",),
)

# Where somebody calls without saying for which app.
EDGES = {
    *("marking", "utils", "mixins", "extensions", "testing", "cli", "admin"),
    "extension",
    "__init__",
}

# Asking whether the current app has Flask-Babel asks for nothing of ours.
OTHERS_STATE = {"flask_bitmapist.web.texts"}

ASKS = {"current_app", "current_state", "demanded_state", "recorder_for"}


def modules() -> dict[str, ast.Module]:
    """Return all modules of the package, by name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = modules()


def at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those that are there for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from at_run_time(node)


def imports(name: str) -> Iterator[str]:
    """Yield the full name of everything that a module imports, at any place in it."""
    is_package = (PACKAGE.parent / Path(*name.split("."), "__init__.py")).exists()
    for node in at_run_time(MODULES[name]):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = name.split(".")[: None if is_package else -1]
            above = above[: len(above) - node.level + 1] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{origin}.{each.name}" for each in node.names)


def own_imports(name: str) -> set[str]:
    """Return the modules of the package that one of them imports."""
    found = set()
    for imported in imports(name):
        for module in (imported, imported.rpartition(".")[0]):
            if module in MODULES:
                found.add(module)
                break
    return found - {name}


def room(name: str) -> str:
    """Return the part of the package that a module belongs to."""
    return name.split(".")[1] if "." in name else "__init__"


def floor(name: str) -> int:
    """Return the number of the row of :data:`FLOORS` that a module is in."""
    return next(number for number, row in enumerate(FLOORS) if room(name) in row)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str) -> None:
    above = {each for each in own_imports(name) if floor(each) > floor(name)}

    assert not above


def test_no_circle_of_imports_is_left() -> None:
    graph = {name: own_imports(name) for name in MODULES}

    assert not circle(graph)


def circle(graph: Mapping[str, set[str]]) -> set[str]:
    """Return the names that import each other, and what lies between them."""
    left = set(graph)
    while True:
        imported = set().union(*(graph[name] for name in left))
        kept = {name for name in left if graph[name] & left and name in imported}
        if kept == left:
            return left
        left = kept


def test_a_circle_would_be_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"b", "c"}


@pytest.mark.parametrize("name", MODULES)
def test_only_pages_and_edges_know_flask(name: str) -> None:
    knows = any(each.split(".")[0] == "flask" for each in imports(name))

    assert not knows or room(name) in {*EDGES, "state", "access", "web"}


@pytest.mark.parametrize("name", MODULES)
def test_only_edges_ask_for_the_current_app(name: str) -> None:
    if room(name) in {*EDGES, "state"} or name in OTHERS_STATE:
        return
    asked = {each for each in imports(name) if each.rpartition(".")[2] in ASKS}
    looked_up = {
        ast.unparse(node)
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.Attribute) and node.attr in {*ASKS, "extensions"}
    }

    assert not asked | looked_up


ARITHMETIC = [name for name in MODULES if room(name) in ("analysis", "questions")]

CLOCKS = {
    f"{owner}.{method}"
    for owner in ("date", "datetime", "datetime.date", "datetime.datetime")
    for method in ("now", "today", "utcnow")
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_analysis_and_questions_know_neither_flask_nor_redis_nor_the_clock(
    name: str,
) -> None:
    tops = {each.split(".")[0] for each in imports(name)}

    assert not tops & {"flask", "werkzeug", "redis", "bitmapist", "time"}
    assert not CLOCKS & {
        ast.unparse(node)
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.Attribute)
    }


@pytest.mark.parametrize("name", ARITHMETIC)
def test_analysis_and_questions_know_no_state_and_no_store(name: str) -> None:
    rooms = {room(each) for each in own_imports(name)}

    assert rooms <= {"analysis", "questions", "identity"}


def test_only_the_questions_know_the_questions_below_the_query() -> None:
    below = [name for name in MODULES if room(name) in ("config", "store", "capture")]

    assert not [
        name
        for name in below
        if "questions" in {room(each) for each in own_imports(name)}
    ]
