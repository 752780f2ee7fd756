"""Threads are made in one file, so that none of them ends without a word."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from textinv.threads import EXIT_CODE, beside, vital

ROOT = Path(__file__).resolve().parents[2]
MADE_HERE = ROOT / "textinv" / "threads.py"

FAILING = """
import threading, time
from textinv.threads import vital
vital(lambda: 1 / 0, "textinv-of-test").start()
time.sleep(30)
"""
WRITER = """
import time
from cluster.worker.outbox import Outbox
from textinv.errors import ClusterError, ImageError

def write():
    raise ImageError("no picture")

def give_up(error):
    raise ClusterError("the queue is gone")

Outbox().post(write, give_up)
time.sleep(30)
"""
HEART = """
import time
from cluster.queue.messages import BeatReply, WorkerCard
from cluster.worker.leases import Leases
from textinv.jobs import JobStore
from textinv.store import MemoryStore

class Queue:
    beats = 0

    def beat(self, card, held, trouble=""):
        self.beats += 1
        return BeatReply() if self.beats == 1 else 1 / 0

with Leases(Queue(), JobStore(MemoryStore()), WorkerCard("w", "crew", 0), beat_s=0.01):
    time.sleep(30)
"""


def test_no_other_file_makes_a_thread_that_lasts() -> None:
    makes = re.compile(r"\bThread\(")
    files = [path for room in ("textinv", "cluster", "services") for path in (ROOT / room).rglob("*.py")]
    found = [str(path.relative_to(ROOT)) for path in files if makes.search(path.read_text())]
    assert found == [str(MADE_HERE.relative_to(ROOT))]


@pytest.mark.parametrize(
    ("program", "thread"),
    [(FAILING, "textinv-of-test"), (WRITER, "textinv-outbox"), (HEART, "textinv-beat")],
    ids=["any", "a worker's writer", "a worker's heart"],
)
def test_a_vital_thread_that_fails_ends_its_process_and_says_why(program: str, thread: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 70, done.stderr
    assert f"the thread {thread} failed" in done.stderr
    assert "Error" in done.stderr


def test_an_error_in_a_vital_thread_takes_the_process_with_it_and_one_beside_it_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    codes: list[int] = []
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr("os._exit", codes.append)
    monkeypatch.setattr(threading, "excepthook", told.append)
    failing = beside(lambda: 1 / 0, "textinv-beside")
    for thread in (vital(lambda: None, "textinv-well"), vital(lambda: sys.exit("no"), "textinv-ill"), failing):
        thread.start()
        thread.join(30)
    assert codes == [EXIT_CODE]
    assert [one.exc_type for one in told] == [ZeroDivisionError]
    assert [record.getMessage() for record in caplog.records] == [
        "the thread textinv-ill failed, so this process ends: SystemExit('no')"
    ]
