"""Fixtures and settings that every room's tests share."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait do not take a core from those that work

pytest_plugins = [f"tests.fixtures.{name}" for name in ("s3", "faulty_store", "wrong_clock", "ray", "bases")]
