"""Every room stands on its floor: it imports from below only, nothing imports in a circle, and wings stay wings."""

import ast
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS: Mapping[int, tuple[str, ...]] = {
    8: ("demo",),
    7: ("cli",),
    6: ("report",),
    5: ("jobs",),
    4: ("evaluation", "guess"),
    3: ("plan", "training", "generation"),
    2: ("registry",),
    1: ("models", "store", "manifest", "images", "embedding"),
    0: (
        "errors",
        "placeholders",
        "spec",
        "settings",
        "processes",
        "locks",
        "threads",
        "states",
        "native_size",
        "outputs",
        "folders",
    ),
}
"""Rooms of textinv from the top down. A room imports from floors below its own; modules of floor 0 from each other."""
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
CLUSTER = ("queue", "worker", "driver", "commands")
"""Rooms of cluster from the bottom up."""

KNOWN_CLIMBS: set[tuple[str, str]] = set()
"""Rooms that import against the order today. Whoever mends one deletes its line."""

Graph = Mapping[str, set[str]]


def imports_of(plane: str, *, for_types: bool) -> Graph:
    """What each module imports, wherever in it; what only type checkers read is left out unless asked for."""
    return {
        name: {target for target, is_guarded in imports if for_types or not is_guarded} - {name}
        for name, imports in _all_imports(plane).items()
    }


@cache
def _all_imports(plane: str) -> Mapping[str, Set[tuple[str, bool]]]:
    """What each module imports, and whether only type checkers read it."""
    files = {_module(path): path for path in sorted((ROOT / plane).rglob("*.py"))}
    return {name: set(_imported(path, files.keys())) for name, path in files.items()}


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported(path: Path, known: Set[str]) -> Iterator[tuple[str, bool]]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    guarded = {
        id(inner)
        for node in nodes
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((name.name, id(node) in guarded) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively: this test reads full names only"
            whole = [f"{node.module}.{name.name}" for name in node.names]
            yield from ((name if name in known else str(node.module), id(node) in guarded) for name in whole)


def between_rooms(plane: str) -> dict[tuple[str, str], list[str]]:
    """Who imports from one room of a plane to another, by both rooms; the plane's own `__init__` is no room."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, targets in imports_of(plane, for_types=True).items():
        for target in targets:
            here, there = _room(name), _room(target)
            if here != there and here.startswith(f"{plane}.") and there.startswith(f"{plane}."):
                found.setdefault((here, there), []).append(f"{name} -> {target}")
    return found


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def circles(graph: Graph) -> list[list[str]]:
    """Groups of nodes that reach each other."""
    reached = {node: _reachable(graph, node) for node in graph}
    groups = {tuple(sorted(other for other in reached[node] if node in reached.get(other, ()))) for node in graph}
    return [list(group) for group in sorted(groups) if group]


def _reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = graph.get(waiting.pop(), set()) - seen
        seen |= fresh
        waiting += fresh
    return seen


def test_every_module_of_textinv_is_in_a_room() -> None:
    rooms = {name.split(".")[1] for name in imports_of("textinv", for_types=True) if "." in name}
    assert rooms - FLOOR_OF.keys() == set()


def _climbs() -> dict[tuple[str, str], list[str]]:
    heights = {f"textinv.{room}": floor for room, floor in FLOOR_OF.items()}
    heights |= {f"cluster.{room}": height for height, room in enumerate(CLUSTER)}
    pairs = {**between_rooms("textinv"), **between_rooms("cluster")}
    return {
        (here, there): who
        for (here, there), who in pairs.items()
        if heights[there] >= heights[here] and not heights[there] == heights[here] == 0
    }


def test_rooms_import_from_floors_below_their_own_only() -> None:
    assert {pair: who for pair, who in _climbs().items() if pair not in KNOWN_CLIMBS} == {}


def test_known_climbs_are_still_there() -> None:
    assert KNOWN_CLIMBS - _climbs().keys() == set(), "mended: delete these lines of KNOWN_CLIMBS"


def test_the_rooms_of_services_import_in_no_circle() -> None:
    assert circles(_graph(between_rooms("services").keys())) == []


def _graph(pairs: Set[tuple[str, str]]) -> Graph:
    graph: dict[str, set[str]] = {}
    for here, there in pairs:
        graph.setdefault(here, set()).add(there)
    return graph


@pytest.mark.parametrize("plane", ["textinv", "cluster", "services"])
def test_no_modules_import_each_other_in_a_circle(plane: str) -> None:
    assert circles(imports_of(plane, for_types=False)) == []


def test_nothing_imports_the_wing_where_the_demo_base_is_made() -> None:
    wing = "textinv.demo.making"
    outside = {
        name: sorted(found)
        for plane in ("textinv", "cluster", "services")
        for name, targets in imports_of(plane, for_types=True).items()
        if not name.startswith(wing) and (found := {target for target in targets if target.startswith(wing)})
    }
    assert outside == {}
