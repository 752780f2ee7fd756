"""The process of a driver before it has a Ray: it takes the environment of one, and ends where it is not needed."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.driver import process
from cluster.driver.local_ray import LocalRay
from textinv.errors import ClusterError
from textinv.jobs.home_driver import HomeDriver
from textinv.settings import Settings, StoreSettings, environment_of


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HomeDriver]:
    """A home whose store nobody needs; the signals that a driver heeds are given back."""
    store = StoreSettings(endpoint_url="http://127.0.0.1:9")
    for name, value in environment_of(Settings(home=tmp_path / "home", store=store)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["driver"])
    before = {sign: signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGINT)}
    yield HomeDriver(tmp_path / "home")
    for sign, handler in before.items():
        signal.signal(sign, handler)


def test_it_begins_anew_with_the_environment_of_its_ray(home: HomeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[list[str], dict[str, str]]] = []

    class BegunAnewError(Exception):
        """Nothing after an exec is run."""

    def execve(_: str, words: list[str], environment: dict[str, str]) -> None:
        begun.append((words, environment))
        raise BegunAnewError

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(sys, "argv", ["driver", "--options", '{"workers": 2}'])
    with pytest.raises(BegunAnewError):
        process.main()
    ((words, environment),) = begun
    assert words[1:] == ["-m", "cluster.driver.process", "--options", '{"workers": 2}']
    assert environment["RAY_TMPDIR"] == str(LocalRay(home.home).folder)
    assert environment["RAY_AUTH_MODE"] == "token"


def test_a_second_driver_of_a_home_leaves_it_to_the_first(
    home: HomeDriver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setenv("RAY_TMPDIR", str(LocalRay(home.home).folder))
    lock = home.lock()
    assert lock is not None
    home.write_state(pid=1)
    try:
        process.main()
        assert home.driver_pid() == 1
    finally:
        os.close(lock)
    assert f"another driver serves {home.home}" in caplog.text


def test_what_keeps_it_from_starting_is_in_its_log_and_in_its_status(
    home: HomeDriver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(LocalRay(home.home).folder))

    def taken(_: LocalRay) -> None:
        raise ClusterError("its folder is not private")

    monkeypatch.setattr(LocalRay, "prepare_folder", taken)
    with pytest.raises(SystemExit) as ended:
        process.main()
    assert ended.value.code == 1
    assert "its folder is not private" in caplog.text
    assert not home.has_driver()


def test_a_driver_that_is_told_to_stop_before_it_has_begun_starts_nothing(
    home: HomeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[threading.Event] = []
    monkeypatch.setenv("RAY_TMPDIR", str(LocalRay(home.home).folder))
    monkeypatch.setattr(process, "serve_here", lambda settings, options, stop: stops.append(stop))
    process.main()
    (stop,) = stops
    assert not stop.is_set()
    os.kill(os.getpid(), signal.SIGTERM)
    deadline = time.monotonic() + 10
    while not stop.is_set():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    monkeypatch.undo()
    process.serve_here(Settings(home=home.home), process.DriverOptions(), stop)
    assert not home.has_driver()
