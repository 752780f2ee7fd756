"""Fixtures and settings that every room's tests share."""

import atexit
import gc
import math
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait do not take a core from those that work
if "XDG_DATA_HOME" not in os.environ:  # where state goes that no test has given a place: not to the user's own
    os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="textinv-tests-")
    atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)

pytest_plugins = [f"tests.fixtures.{name}" for name in ("s3", "faulty_store", "wrong_clock", "ray", "bases")]

gc.disable()  # looking through what is being imported, again and again, would take a tenth of the imports' time

MARKED = re.compile(r"^pytestmark = .*", re.MULTILINE)


BEGIN_UNTIL = float(os.environ.get("TESTS_BEGIN_UNTIL", "inf"))
"""Seconds since the epoch after which no test begins, where a run has a limit."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with another test each time, where not all may have their turn."""
    if math.isfinite(BEGIN_UNTIL) and items:
        first = int(BEGIN_UNTIL) % len(items)
        items[:] = items[first:] + items[:first]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Name what no time is left for."""
    if time.time() > BEGIN_UNTIL:
        pytest.skip(f"NOT RUN, no time is left: {item.nodeid}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import a file, or a folder named as a marker, of which no test is to run."""
    if collection_path.is_dir():
        markers = [collection_path.name]
    else:
        found = MARKED.search(collection_path.read_text()) if collection_path.suffix == ".py" else None
        markers = re.findall(r"pytest\.mark\.(\w+)", found[0]) if found else []
    return True if any(f"not {marker}" in config.option.markexpr for marker in markers) else None


def pytest_collection_finish() -> None:
    """What is imported by now stays: no later collection of garbage needs to look through its millions of objects."""
    gc.freeze()
    gc.enable()
