"""Pictures that were looked at before are not opened again, as long as they have not changed."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from textinv.errors import ManifestError
from textinv.plan import Plan

Planned = Callable[..., Plan]
Write = Callable[..., Path]
FOX = "  - name: fox\n    images: foxes\n"


def digests(plan: Plan) -> list[str]:
    return [picture.digest for picture in plan.specs[0].spec.pictures]


def overwrite(path: Path, same_time: bool) -> None:
    """Put as many other bytes into a file, with or without a trace."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    if same_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


def test_an_unchanged_picture_is_not_opened_again(foxes: Path, write: Write, planned: Planned) -> None:
    path = write(FOX)
    before = digests(planned(path))
    overwrite(foxes / "1.png", same_time=True)
    assert digests(planned(path)) == before


def test_a_changed_picture_is_opened_again(foxes: Path, write: Write, planned: Planned) -> None:
    path = write(FOX)
    planned(path)
    overwrite(foxes / "1.png", same_time=False)
    with pytest.raises(ManifestError, match=r"1\.png is not a picture"):
        planned(path)


def test_a_mistake_is_not_remembered(foxes: Path, write: Write, planned: Planned) -> None:
    good = (foxes / "1.png").read_bytes()
    (foxes / "1.png").write_bytes(b"text")
    with pytest.raises(ManifestError):
        planned(write(FOX))
    (foxes / "1.png").write_bytes(good)
    assert len(digests(planned(write(FOX)))) == 3


@pytest.mark.parametrize("content", ["", "{", '{"format": 0}', '{"format": 2, "pictures": {"a": [1]}}', "[]"])
def test_a_damaged_cache_costs_only_time(
    content: str, foxes: Path, write: Write, planned: Planned, tmp_path: Path
) -> None:
    cache = tmp_path / "home" / "cache" / "pictures.json"
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    assert len(digests(planned(write(FOX)))) == 3
    assert len(json.loads(cache.read_text())["pictures"]) == 3


def test_a_home_that_cannot_be_written_to_is_no_failure(
    foxes: Path, write: Write, planned: Planned, tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    assert len(digests(planned(write(FOX)))) == 3
