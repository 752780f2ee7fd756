"""A room that is imported brings what it needs, and not the house."""

import subprocess

import pytest

from tests.structure.forks import cli_without, command_without, run_in_forks

Ended = dict[str, subprocess.CompletedProcess[str]]
LOADERS = ("diffusers", "transformers", "boto3", "textinv.store")
HOUSE = ("textinv.plan", "textinv.demo")
STRANGERS = {
    "textinv.training": (*LOADERS, "textinv.registry", "textinv.generation", "textinv.evaluation", *HOUSE),
    "textinv.generation": (*LOADERS, "textinv.registry", "textinv.training", "textinv.evaluation", *HOUSE),
    "services.api.app": ("diffusers", "transformers"),  # fronts ask replicas, who alone load them
    "cluster.driver.process": ("torch", "diffusers", "transformers"),  # only workers need them
}
"""What a room must not import, directly or through others."""


STORE = ("boto3", "botocore")
HEAVY = ("torch", "diffusers", "transformers", "ray", "fastapi")
COMMANDS = {
    "--help": (*HEAVY, *STORE, "numpy", "PIL"),
    "concept show --help": (*HEAVY, *STORE, "numpy", "PIL"),
    "config": (*HEAVY, *STORE, "numpy", "PIL"),
    "validate manifests/quickstart.yaml": (*HEAVY, *STORE),
    "new manifests/pictures -o {new}": (*HEAVY, *STORE),
    "serve status": (*HEAVY, *STORE, "numpy"),
}
"""What a command must not import; those that ask the store are tried in tests/cli/test_light_commands.py."""


MISSING = (*HEAVY, *STORE, "numpy", "PIL")


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder = tmp_path_factory.mktemp("commands")
    words = {command: command.format(new=folder / "new.yaml").split() for command in COMMANDS}
    programs = {
        command: command_without(missing, MISSING, ["--home", str(folder), *words[command]])
        for command, missing in COMMANDS.items()
    }
    return run_in_forks(folder, cli_without(MISSING), programs)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    programs = {
        room: f"import sys; sys.modules.update(dict.fromkeys({strangers!r})); import {room}"
        for room, strangers in STRANGERS.items()
    }
    return run_in_forks(tmp_path_factory.mktemp("rooms"), "import torch", programs)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_does_without_what_it_does_not_need(command: str, commands: Ended) -> None:
    done = commands[command]
    assert "ModuleNotFoundError" not in done.stderr, done.stderr[-2000:]
    assert done.returncode == 0 or (command == "serve status" and "ready" in done.stdout), done.stderr[-2000:]
    assert done.stdout


@pytest.mark.parametrize("room", STRANGERS)
def test_a_room_can_be_imported_where_there_are_no_strangers(room: str, rooms: Ended) -> None:
    """Python takes None among its modules for one that is not there; libraries that would like boto3 go without."""
    assert rooms[room].returncode == 0, rooms[room].stderr[-2000:]
