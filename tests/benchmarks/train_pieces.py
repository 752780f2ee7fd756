"""The training benchmark in pieces: one method on a few concepts with one seed, so that a long run can be split.

Owns which pieces there are, in which order (methods take turns, so that a machine's moods meet all of them), the file
that remembers finished ones, and the mean over pieces. Does not know what a method does.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

Row = Mapping[str, Any]
"""What was measured of a piece: sums over its concepts, and under `each` the scores of every concept."""
_SUMS = ("concepts", "seconds", "cpu_seconds")
_PEAKS = ("peak_memory_bytes",)


@dataclass(frozen=True)
class Piece:
    """One method on a few concepts with one seed."""

    title: str
    seed: int
    first: int
    count: int
    setting: str
    """What else decides the result."""

    @property
    def key(self) -> str:
        """What names it in the file of finished pieces."""
        return (
            f"{self.title} | seed {self.seed} | concepts {self.first} to {self.first + self.count - 1} | {self.setting}"
        )


def pieces_of(
    settings: Mapping[str, str],
    limits: Mapping[str, int],
    *,
    num_concepts: Mapping[int, int],
    size: int,
    alone: Collection[str] = (),
) -> Iterator[Piece]:
    """All pieces of at most `size` concepts, or of one for the methods that learn one after the other (`alone`).

    `num_concepts` says of each seed how many of the concepts are learned with it. `limits` holds methods that learn
    only the first few concepts, with the first seed.
    """
    for seed, count in num_concepts.items():
        for start in range(0, count, size):
            for title, setting in settings.items():
                end = min(start + size, count, limits.get(title, count))
                step = 1 if title in alone else size
                if title not in limits or seed == next(iter(num_concepts)):
                    for first in range(start, end, step):
                        yield Piece(title, seed, first, min(step, end - first), setting)


class Finished:
    """Rows of finished pieces in a JSON file."""

    def __init__(self, path: Path, resume: bool) -> None:
        self._path = path
        self._rows: dict[str, Row] = json.loads(path.read_text()) if resume and path.exists() else {}

    def __contains__(self, piece: Piece) -> bool:
        return piece.key in self._rows

    def __getitem__(self, piece: Piece) -> Row:
        return self._rows[piece.key]

    def measure(self, piece: Piece, measure: Callable[[Piece], Row]) -> Row:
        """Measure a piece and write it down."""
        self._rows[piece.key] = row = measure(piece)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._rows, indent=2))
        return row

    def row(self, pieces: Sequence[Piece], first_concepts: int | None = None) -> dict[str, Any] | None:
        """What the finished ones among the pieces of a method say together; None when there are none.

        With `first_concepts`: of so many concepts and the first seed alone, beside a method that learned only these.
        """
        done = [(piece, self._rows[piece.key]) for piece in pieces if piece in self]
        if first_concepts is not None:
            kept = [(piece, first_concepts - piece.first) for piece, _ in done if piece.seed == pieces[0].seed]
            done = [(piece, first_of(self._rows[piece.key], count)) for piece, count in kept if count > 0]
        rows = [row for _, row in done]
        return together(rows) | {"pieces": len(rows), "of_pieces": len(pieces)} if rows else None


def first_of(row: Row, count: int) -> Row:
    """The first concepts of a piece, each with its share of what the piece cost."""
    each = row["each"][:count]
    return {**row, **{name: row[name] * len(each) / len(row["each"]) for name in _SUMS}, "each": each}


def together(rows: Sequence[Row]) -> dict[str, float]:
    """Join pieces: concepts and seconds are summed, memory is the peak, all else the mean over concepts."""
    found: dict[str, float] = {name: sum(row[name] for row in rows) for name in _SUMS}
    found |= {name: max(row[name] for row in rows) for name in _PEAKS}
    found["sample_passes"] = fmean([row["sample_passes"] for row in rows], [row["concepts"] for row in rows])
    each = [scores for row in rows for scores in row["each"]]
    found |= {name: fmean(scores[name] for scores in each) for name in each[0]}
    speed = {"concepts_per_hour": 3600 * found["concepts"] / found["seconds"]} if found["sample_passes"] else {}
    costs = {name: found[name] / found["concepts"] for name in ("seconds", "cpu_seconds")}
    return found | speed | costs
