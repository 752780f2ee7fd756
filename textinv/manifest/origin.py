"""Where a manifest came from, and where in it a field stands; problems that name both.

Owns line numbers: YAML's node tree is kept, and a line is looked up only when something is wrong there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from textinv.errors import ManifestError

Place = tuple[str | int, ...]
"""A field by its path from the top: ("concepts", 3, "images")."""


MAX_TOLD = 100
"""Problems in the text of an error; its details hold all."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and what to change."""

    file: str
    line: int | None
    field: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.field}: {self.message}" if self.field else f"{where}: {self.message}"


@dataclass(frozen=True)
class Origin:
    """The file of a manifest (`folder` None: its text came from elsewhere, and paths mean nothing) and its nodes."""

    file: str = "manifest"
    folder: Path | None = None
    node: yaml.Node | None = None

    def line(self, place: Sequence[str | int]) -> int | None:
        """The line (from 1) of a field, or of the nearest one that encloses it."""
        node, line = self.node, None
        for part in place:
            found = _step(node, part)
            if found is None:
                break
            node, line = found
        if line is None and self.node is not None:
            line = _line(self.node)
        return line

    def known_part(self, place: Sequence[str | int]) -> Place:
        """The part of a place that is written in the manifest; the rest is a checker's own way of counting."""
        node, known = self.node, []
        for part in place:
            found = _step(node, part)
            if found is None:
                continue
            known.append(part)
            node = found[0]
        return tuple(known)

    def problem(self, place: Sequence[str | int], message: str) -> Problem:
        """A problem with a field."""
        return Problem(self.file, self.line(place), dotted(place), message)


def dotted(place: Sequence[str | int]) -> str:
    """`concepts[3].images`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise all problems at once, by line, if there are any.

    Raises:
        ManifestError: `problems` holds each as file, line, field and message.
    """
    found = in_order(problems)
    if found:
        lines = [str(problem) for problem in found[:MAX_TOLD]]
        if len(found) > MAX_TOLD:
            lines.append(f"... and {len(found) - MAX_TOLD} more problems")
        raise ManifestError("\n".join(lines), problems=[vars(problem) for problem in found])


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, by line."""
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)


def _step(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, int] | None:
    """The value under a key or index, and the line where it is written."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, _line(key)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item, _line(item)
    return None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
