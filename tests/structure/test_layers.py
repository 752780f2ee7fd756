"""The layering and the sizes that the design promises hold for every file."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "textinv": {"ray", "fastapi", "starlette", "cluster", "services"},
    "cluster": {"services", "fastapi"},
    "services": {"cluster"},
}
EMPTY_NAMES = {"utils", "util", "common", "helpers", "misc"}


def _sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


@cache
def _nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def _imports(path: Path) -> Iterator[str]:
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    sources = list(_sources(room))
    assert sources
    broken = {
        str(path.relative_to(ROOT)): found
        for path in sources
        if (found := FORBIDDEN[room].intersection(_imports(path)))
    }
    assert broken == {}


def test_no_file_is_longer_than_400_lines_and_no_function_than_60() -> None:
    long = []
    for path in _sources("textinv", "cluster", "services"):
        if path.read_text().count("\n") > 400:
            long.append(f"{path.relative_to(ROOT)}")
        for node in _nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno + 1 > 60:
                    long.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert long == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [path for path in _sources("textinv", "cluster", "services", "tests") if path.stem in EMPTY_NAMES] == []


def test_tests_are_no_package_and_their_file_names_are_unique() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
