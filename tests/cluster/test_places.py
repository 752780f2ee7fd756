"""Where a local driver's Ray lives: closed to other users of the machine, and its own every time."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.driver.places import LocalPlace
from textinv.errors import ClusterError


@pytest.fixture
def place(tmp_path: Path) -> Iterator[LocalPlace]:
    place = LocalPlace(tmp_path)
    yield place
    if place.ray_folder.is_symlink():
        place.ray_folder.unlink()
    elif place.ray_folder.exists():
        os.rmdir(place.ray_folder / "ray")
        os.rmdir(place.ray_folder)


def test_every_ray_that_is_started_asks_for_a_token_that_nobody_knew_before(
    place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    first, second = place.ray_environment(), place.ray_environment()
    assert first["RAY_AUTH_MODE"] == second["RAY_AUTH_MODE"] == "token"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
    assert first["RAY_TMPDIR"] == second["RAY_TMPDIR"]


def test_its_folder_is_for_its_owner_only_and_is_emptied(place: LocalPlace) -> None:
    place.prepare_ray_folder()
    (place.ray_folder / "left").write_text("by a dead driver")
    place.prepare_ray_folder()
    assert [entry.name for entry in place.ray_folder.iterdir()] == ["ray"]
    assert place.ray_folder.stat().st_mode & 0o077 == 0


def test_a_folder_that_somebody_else_put_there_is_refused(place: LocalPlace, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.ray_folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ClusterError, match="not a private folder"):
        place.prepare_ray_folder()
    place.ray_folder.unlink()
    (place.ray_folder / "ray").mkdir(parents=True)
    place.ray_folder.chmod(0o755)
    with pytest.raises(ClusterError, match="remove it"):
        place.prepare_ray_folder()
