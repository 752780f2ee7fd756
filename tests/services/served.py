"""A service as a person starts it, with `textinv serve up`, for tests over real HTTP."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from textinv.settings import Settings, environment_of


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(settings: Settings, variables: Mapping[str, str] | None = None, *options: str) -> Iterator[str]:
    """A running service on the demo base, started with more `options`; its URL."""
    environment = {**os.environ, **environment_of(settings), **(variables or {})}

    def textinv(*arguments: str) -> str:
        command = [sys.executable, "-m", "textinv.cli", *arguments]
        done = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        yield json.loads(textinv("serve", "up", "--port", str(free_port()), *options, "--json"))["url"]
    finally:
        textinv("serve", "down")
