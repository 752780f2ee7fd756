"""What the embedded server remembers between starts: its keys, its ports and its process.

Owns `server.json` (readable by its owner only). Whether the process still lives is not decided here.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from textinv.errors import StoreError

_FILE = "server.json"


@dataclass(frozen=True)
class ServerState:
    """Keys, ports and process of an embedded server; `base_port` 0 means that none was chosen yet."""

    access_key: str
    secret_key: str
    bucket: str
    base_port: int = 0
    pid: int = 0

    @property
    def s3_port(self) -> int:
        """Port of the S3 service."""
        return self.base_port + 3

    @property
    def endpoint_url(self) -> str:
        """Address of the S3 service."""
        return f"http://127.0.0.1:{self.s3_port}"

    def at_port(self, base_port: int) -> "ServerState":
        """Return the same server at other ports."""
        return replace(self, base_port=base_port)

    def with_pid(self, pid: int) -> "ServerState":
        """Return the same server as another process."""
        return replace(self, pid=pid)


def new_state(bucket: str) -> ServerState:
    """Make fresh credentials."""
    return ServerState(f"textinv-{secrets.token_hex(6)}", secrets.token_urlsafe(30), bucket)


def load_state(folder: Path) -> ServerState | None:
    """Read the state; None when there is none.

    Raises:
        StoreError: the file is damaged; its keys cannot be guessed.
    """
    path = folder / _FILE
    try:
        return ServerState(**json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{path} is damaged ({error}): delete it; new keys are made at the next start, and the data stay"
        ) from error


def save_state(folder: Path, state: ServerState) -> None:
    """Replace the state in one step."""
    write_private(folder / _FILE, json.dumps(asdict(state), indent=1))


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it."""
    draft = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    draft.replace(path)
