"""Where a local driver's Ray lives: closed to other users of the machine, and its own every time."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.driver.local_ray import LocalRay
from textinv.errors import ClusterError


@pytest.fixture
def ray_here(tmp_path: Path) -> Iterator[LocalRay]:
    ray_here = LocalRay(tmp_path)
    yield ray_here
    if ray_here.folder.is_symlink():
        ray_here.folder.unlink()
    elif ray_here.folder.exists():
        os.rmdir(ray_here.folder / "ray")
        os.rmdir(ray_here.folder)


def test_every_ray_that_is_started_asks_for_a_token_that_nobody_knew_before(
    ray_here: LocalRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    first, second = ray_here.environment(), ray_here.environment()
    assert first["RAY_AUTH_MODE"] == second["RAY_AUTH_MODE"] == "token"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
    assert first["RAY_TMPDIR"] == second["RAY_TMPDIR"]


def test_its_folder_is_for_its_owner_only_and_is_emptied(ray_here: LocalRay) -> None:
    ray_here.prepare_folder()
    (ray_here.folder / "left").write_text("by a dead driver")
    ray_here.prepare_folder()
    assert [entry.name for entry in ray_here.folder.iterdir()] == ["ray"]
    assert ray_here.folder.stat().st_mode & 0o077 == 0


def test_a_folder_that_somebody_else_put_there_is_refused(ray_here: LocalRay, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    ray_here.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ClusterError, match="not a private folder"):
        ray_here.prepare_folder()
    ray_here.folder.unlink()
    (ray_here.folder / "ray").mkdir(parents=True)
    ray_here.folder.chmod(0o755)
    with pytest.raises(ClusterError, match="remove it"):
        ray_here.prepare_folder()
