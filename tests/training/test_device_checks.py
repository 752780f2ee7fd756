"""The check of splits, shapes and activations computed again that a GPU has to pass for all families, on the CPU."""

from pathlib import Path

import pytest

from tests.fixtures.heavy import heavy
from tests.training.device_checks import base_on, check_memory_changes_no_rows, mixed_works


@pytest.mark.parametrize("family", ["sd1", *heavy(["sd3"])])
def test_less_memory_changes_no_rows(family: str, tmp_path: Path) -> None:
    check_memory_changes_no_rows(base_on("cpu", family, tmp_path / "base"), mixed_works(family), 0.99999)
