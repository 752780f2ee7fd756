"""A room that is imported brings what it needs, and not the house."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOADERS = ("diffusers", "transformers", "boto3", "textinv.store")
HOUSE = ("textinv.plan", "textinv.demo")
STRANGERS = {
    "textinv.training": (*LOADERS, "textinv.registry", "textinv.generation", "textinv.evaluation", *HOUSE),
    "textinv.generation": (*LOADERS, "textinv.registry", "textinv.training", "textinv.evaluation", *HOUSE),
    "services.api.app": ("diffusers", "transformers"),  # fronts ask replicas, who alone load them
    "cluster.driver.process": ("diffusers", "transformers"),  # it starts in half the time, and only workers need them
}
"""What a room must not import, directly or through others."""


HEAVY = ("torch", "diffusers", "transformers", "ray", "fastapi")
COMMANDS = {
    "--help": (*HEAVY, "boto3", "numpy", "PIL"),
    "concept show --help": (*HEAVY, "boto3", "numpy", "PIL"),
    "config": (*HEAVY, "boto3", "numpy", "PIL"),
    "validate manifests/quickstart.yaml": (*HEAVY, "boto3"),
    "new manifests/pictures -o {new}": (*HEAVY, "boto3"),
    "serve status": (*HEAVY, "boto3", "numpy"),
}
"""What a command must not import; those that ask the store are tried in tests/cli/test_light_commands.py."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_does_without_what_it_does_not_need(command: str, tmp_path: Path) -> None:
    words = command.format(new=tmp_path / "new.yaml").split()
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({COMMANDS[command]!r}))\n"
        f"from textinv.cli import main; main(['--home', {str(tmp_path)!r}, *{words!r}])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "ModuleNotFoundError" not in done.stderr, done.stderr[-2000:]
    assert done.returncode == 0 or (command == "serve status" and "ready" in done.stdout), done.stderr[-2000:]


@pytest.mark.parametrize("room", STRANGERS)
def test_a_room_can_be_imported_where_there_are_no_strangers(room: str) -> None:
    """Python takes None among its modules for one that is not there; libraries that would like boto3 go without."""
    script = f"import sys; sys.modules.update(dict.fromkeys({STRANGERS[room]!r})); import {room}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
