"""`textinv store migrate` on a real S3 store that an older program wrote."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.store_of_format_1 import unpack_store
from textinv.cli import main
from textinv.models import base_revision
from textinv.placeholders import ConceptRef
from textinv.registry import Registry
from textinv.settings import Settings, environment_of
from textinv.store import S3Store

pytestmark = pytest.mark.store
Type = Callable[..., tuple[int, Any]]


@pytest.fixture
def old(s3_store: S3Store) -> S3Store:
    """The older program's store, as it lay there."""
    packed = unpack_store()
    for info in packed.list(""):
        s3_store.put(info.key, packed.get(info.key).body)
    return s3_store


@pytest.fixture
def type_(embedded_home: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types a command and returns its exit status and what it printed."""
    for name, value in environment_of(embedded_home).items():
        monkeypatch.setenv(name, value)

    def type_command(*words: str) -> tuple[int, Any]:
        with pytest.raises(SystemExit) as caught:
            main([*words, "--json"])
        printed = capsys.readouterr()
        return int(caught.value.code or 0), json.loads(printed.out or printed.err)

    return type_command


def contents(store: S3Store) -> dict[str, bytes]:
    return {info.key: store.get(info.key).body for info in store.list("")}


def test_an_old_store_is_refused_by_name_migrated_and_used(old: S3Store, type_: Type) -> None:
    status, refused = type_("concept", "ls")
    assert (status, refused["error"]["code"]) == (1, "store_old_format")
    assert "`textinv store migrate`" in refused["error"]["message"]

    before = contents(old)
    status, told = type_("store", "migrate", "--dry-run")
    assert (status, told["versions"], told["heads"], told["jobs"], told["dry_run"]) == (0, 3, 2, 3, True)
    assert contents(old) == before

    status, told = type_("store", "migrate")
    assert (status, told["versions"], told["kept"], told["damaged"], told["missing_bases"]) == (0, 3, [], [], {})
    migrated = contents(old)
    assert migrated != before

    status, listed = type_("concept", "ls")
    assert (status, [(one["name"], one["version"]) for one in listed]) == (0, [("dotty-fox", 2), ("drum", 1)])
    assert type_("concept", "verify")[0] == 0
    status, jobs = type_("job", "ls")
    assert (status, len(jobs)) == (0, 3)
    assert Registry(old, base_revision("emoji")).resolve(ConceptRef("dotty-fox")).version == 2

    status, again = type_("store", "migrate")
    assert (status, again["versions"], again["heads"], again["jobs"]) == (0, 0, 0, 0)
    assert contents(old) == migrated
