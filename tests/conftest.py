"""Fixtures and settings that every room's tests share."""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait do not take a core from those that work
if "XDG_DATA_HOME" not in os.environ:  # where state goes that no test has given a place: not to the user's own
    os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="textinv-tests-")
    atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)

pytest_plugins = [f"tests.fixtures.{name}" for name in ("s3", "faulty_store", "wrong_clock", "ray", "bases")]
