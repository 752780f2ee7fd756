"""Whatever `textinv ...` a deployment file or the cluster's README tells people to run exists, with these options."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

from textinv.cli import build_app

ROOT = Path(__file__).parents[2]
FILES = [*sorted((ROOT / "cluster" / "deploy").rglob("*.yaml")), ROOT / "cluster" / "README.md"]


def stated() -> Iterator[tuple[Path, str]]:
    for path in FILES:
        for line in re.findall(r"(?:`|^#?\s+)(textinv [a-z][^`\n;)(,]*)", path.read_text(), re.MULTILINE):
            yield path, line.split("   ")[0].strip()


COMMANDS = list(stated())


@pytest.mark.parametrize(("path", "line"), COMMANDS, ids=lambda value: str(value)[-60:])
def test_the_command_exists(path: Path, line: str) -> None:
    command: click.Command = typer.main.get_command(build_app())
    words = line.split()[1:]
    while words and hasattr(command, "commands"):
        name = words.pop(0)
        assert name in command.commands, f"{path}: {line}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if re.match(r"--\w", word)} <= known, f"{path}: {line}"


def test_files_and_runbook_do_tell_commands() -> None:
    assert len(COMMANDS) > 10
    assert any("--crew-size" in line for _, line in COMMANDS)
