"""A room that is imported brings what it needs, and not the house."""

import subprocess
import sys

import pytest

STRANGERS = {
    "textinv.training": (
        "boto3",
        "textinv.store",
        "textinv.registry",
        "textinv.generation",
        "textinv.evaluation",
        "textinv.plan",
        "textinv.demo",
    ),
}
"""What must not come along with a room."""


@pytest.mark.parametrize("room", STRANGERS)
def test_a_room_brings_no_strangers_along(room: str) -> None:
    script = f"import sys, {room}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert room in loaded
    brought = [
        name
        for name in loaded
        if any(name == stranger or name.startswith(f"{stranger}.") for stranger in STRANGERS[room])
    ]
    assert brought == []
