"""Processes, their locks and their last words, of processes that were started for it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from textinv.folders import find_project
from textinv.locks import is_held, locked, try_lock
from textinv.processes import kill_processes_with, last_words, lives, processes_with, runs_module

MARK = "TEXTINV_TEST_MARK"


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this test's own that waits to be ended."""
    (tmp_path / "waits_here.py").write_text("print('ready', flush=True); input()")
    environment = os.environ | {MARK: str(tmp_path), "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "waits_here"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_a_process_is_found_by_its_environment_and_ended(waiting: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert list(processes_with(MARK, str(tmp_path))) == [waiting.pid]
    assert lives(waiting.pid)
    assert runs_module(waiting.pid, "waits_here")
    assert not runs_module(waiting.pid, "waits_there")
    kill_processes_with(MARK, str(tmp_path))
    os.waitid(os.P_PID, waiting.pid, os.WEXITED | os.WNOWAIT)
    assert not lives(waiting.pid), "nobody has asked about it, and it has ended all the same"
    assert list(processes_with(MARK, str(tmp_path))) == []


def test_a_process_that_is_gone_neither_lives_nor_runs_anything() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not lives(process.pid)
    assert not runs_module(process.pid, "anything")


def test_last_words_are_the_last_lines_that_say_something(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_words(log) == "it left no log"
    log.write_text("\n \n")
    assert last_words(log) == "it printed nothing"
    log.write_text("first\n\nsecond\n  \nthird\n")
    assert last_words(log, 2) == "second\nthird"


def test_a_lock_that_is_held_is_not_taken_twice(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert not is_held(lock)
    with locked(lock):
        assert is_held(lock)
        assert try_lock(lock) is None
    descriptor = try_lock(lock)
    assert descriptor is not None
    os.close(descriptor)
    assert not is_held(lock)


def test_a_working_directory_that_was_deleted_marks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert find_project() is None
