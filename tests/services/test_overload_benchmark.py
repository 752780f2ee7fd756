"""Which answers the benchmark of an overloaded service lets pass."""

import importlib
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("serve_clients")


def test_an_answer_is_a_picture_or_a_429_that_says_when_to_come_back(clients: Any) -> None:
    said = [(200, None), (429, "3"), (429, None), (429, "0"), (429, "soon"), (400, None), (503, "2"), (500, None)]
    outcomes = [clients.Outcome(0.0, 1.0, status, retry_after=wait) for status, wait in said]
    assert clients.others(outcomes) == [429, 429, 429, 400, 503, 500]
