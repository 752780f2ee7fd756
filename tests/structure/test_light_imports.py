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
    "textinv.generation": (
        "boto3",
        "textinv.store",
        "textinv.registry",
        "textinv.training",
        "textinv.evaluation",
        "textinv.plan",
        "textinv.demo",
    ),
    "cluster.driver.process": ("diffusers", "transformers"),  # it starts in half the time, and only workers need them
}
"""What a room must not import, directly or through others."""


@pytest.mark.parametrize("room", STRANGERS)
def test_a_room_can_be_imported_where_there_are_no_strangers(room: str) -> None:
    """Python takes None among its modules for one that is not there; libraries that would like boto3 go without."""
    script = f"import sys; sys.modules.update(dict.fromkeys({STRANGERS[room]!r})); import {room}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
