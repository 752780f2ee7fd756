"""What deployment files, READMEs and the entry points name exists: commands, options, import paths."""

import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

from textinv.cli import build_app
from textinv.cli.app import COMMANDS_BY_EXTRA
from textinv.jobs.home_driver import DRIVER_MODULE

ROOT = Path(__file__).parents[2]
READMES = [ROOT / room / "README.md" for room in ("", "cluster", "services", "textinv", "tests/benchmarks")]
FILES = [*sorted((ROOT / "cluster" / "deploy").rglob("*.yaml")), *READMES]


def stated() -> Iterator[tuple[Path, str]]:
    for path in FILES:
        for line in re.findall(r"(?:`|^#?\s+|^)(textinv [a-z][^`\n;)(,]*)", path.read_text(), re.MULTILINE):
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


def named_objects() -> Iterator[str]:
    """Import paths, `module:name`, of Serve's configurations, of the script, and of the rooms' commands."""
    for path in [*FILES, *sorted((ROOT / "services" / "deploy").rglob("*.yaml"))]:
        yield from re.findall(r"^\s*import_path: (\S+)$", path.read_text(), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    yield from project["scripts"].values()
    yield from (f"{module}:register" for module in COMMANDS_BY_EXTRA.values())


def named_modules() -> Iterator[str]:
    """Modules that deployment files run, and the one that a driver is."""
    yield DRIVER_MODULE
    for path in [*(ROOT / "cluster" / "deploy").rglob("*"), *(ROOT / "services" / "deploy").rglob("*.yaml")]:
        if path.is_file():
            yield from re.findall(r"-m (textinv[\w.]*|cluster[\w.]*|services[\w.]*)", path.read_text())


@pytest.mark.parametrize("named", sorted(set(named_objects())))
def test_the_object_can_be_imported(named: str) -> None:
    module, _, name = named.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("module", sorted(set(named_modules())))
def test_the_module_can_be_run(module: str) -> None:
    assert callable(importlib.import_module(module).main)


def test_serve_files_and_entry_points_are_among_them() -> None:
    assert {"services.application:build", "cluster.commands:register", "services.commands:register"} <= {
        *named_objects()
    }


def test_files_and_runbook_do_tell_commands() -> None:
    assert len(COMMANDS) > 10
    assert any("--crew-size" in line for _, line in COMMANDS)
