"""What is plotted from recorded figures stands in the tables, and the plot that the README shows has all of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
FIGURES = json.loads((BENCHMARKS / "figures.json").read_text())


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(inner)
    elif isinstance(value, int | float):
        yield float(value)


def test_every_recorded_figure_stands_in_a_table() -> None:
    tables = "\n".join(line for line in (BENCHMARKS / "README.md").read_text().splitlines() if line.startswith("|"))
    stated = {float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", tables)}
    assert set(numbers_in(FIGURES)) - stated == set()


def test_the_plot_shows_every_method() -> None:
    shown = (BENCHMARKS / "likeness.svg").read_text()
    methods = [point[0] for series in FIGURES["likeness"].values() if isinstance(series, list) for point in series]
    assert len(methods) == 11
    assert [method for method in methods if f">{method}<" not in shown] == []
    assert len(shown) < 40_000
