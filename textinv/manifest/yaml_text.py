"""YAML text to plain data, safely, with the nodes kept for line numbers.

Owns what YAML lets slip: a key written twice, `5e-4` read as text, aliases that unfold into gigabytes. Does not know
which fields a manifest has.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from textinv.manifest.origin import Origin, Place, Problem, dotted

MAX_VALUES = 5_000_000
"""Values after unfolding aliases; 10,000 concepts with all fields written have fewer than 1,000,000."""
MAX_DEPTH = 50

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]  # C or Python, whichever is there
    """Safe, and reads `5e-4` as a number, which YAML 1.1 takes for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)


def parse_yaml(text: str, origin: Origin) -> tuple[str | None, Origin, list[Problem]]:
    """Read one YAML document: its data as JSON text (None if unreadable), the origin with nodes, and problems."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, origin, [Problem(origin.file, 1, "", "the file is empty: a manifest names concepts")]
            origin = Origin(origin.file, origin.folder, node)
            problems = _slips(origin)
            _weigh(node, {}, 0)
            return json.dumps(loader.construct_document(node), default=str), origin, problems
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line, text.count("\n")) + 1 if mark else None
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return None, origin, [Problem(origin.file, line, "", f"this is not YAML: {said}")]
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        return None, origin, [Problem(origin.file, None, "", f"this cannot be read as YAML: {error}")]


def _slips(origin: Origin) -> list[Problem]:
    """Keys that are written twice, and keys without a value."""
    problems: list[Problem] = []
    seen: set[int] = set()

    def visit(node: yaml.Node, place: Place) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            problems.extend(_slips_in(node, place, origin))
            for key, value in node.value:
                visit(value, (*place, str(key.value)))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                visit(item, (*place, index))

    if origin.node is not None:
        visit(origin.node, ())
    return problems


def _slips_in(mapping: yaml.MappingNode, place: Place, origin: Origin) -> Iterator[Problem]:
    lines: dict[str, int] = {}
    for key, value in mapping.value:
        name, line = str(key.value), int(key.start_mark.line) + 1
        field = dotted((*place, name))
        if name in lines and name != "<<":
            yield Problem(origin.file, line, field, f"written twice (first in line {lines[name]}): keep one")
        elif value.tag == "tag:yaml.org,2002:null":
            yield Problem(origin.file, line, field, "it has no value: write one, or delete the line")
        lines.setdefault(name, line)


def _weigh(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Count the values under a node, aliases unfolded.

    Raises:
        ValueError: there are too many, or they are nested too deeply.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"values are nested more than {MAX_DEPTH} deep")
    if id(node) not in known:
        children = []
        if isinstance(node, yaml.MappingNode):
            children = [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        known[id(node)] = 1 + sum(_weigh(child, known, depth + 1) for child in children)
    if known[id(node)] > MAX_VALUES:
        raise ValueError(f"it holds more than {MAX_VALUES} values: split it into several manifests")
    return known[id(node)]
