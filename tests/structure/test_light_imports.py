"""Drawing and learning load nothing that they do not know of."""

import subprocess
import sys

import pytest

FORBIDDEN = {
    "textinv.generation": (
        "boto3",
        "textinv.store",
        "textinv.registry",
        "textinv.training",
        "textinv.evaluation",
        "textinv.demo",
        "textinv.plan",
    ),
}


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_loads_nothing_that_it_does_not_know_of(room: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", f"import sys, {room}; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    loaded = set(told.stdout.split())
    assert room in loaded
    assert [name for name in FORBIDDEN[room] if name in loaded] == []
