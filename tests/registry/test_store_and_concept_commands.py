"""`textinv store` and `textinv concept`, as a person or a program types them, on the embedded store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from textinv.cli import main
from textinv.embedding import Embedding, import_embedding
from textinv.registry import PublishedVersion, Registry
from textinv.settings import StoreSettings
from textinv.store import EmbeddedServer, connect_store

pytestmark = pytest.mark.store

Publish = Callable[..., PublishedVersion]
Type = Callable[..., Any]


@pytest.fixture
def registry(s3_settings: StoreSettings) -> Registry:
    return Registry(connect_store(s3_settings))


@pytest.fixture
def type_(
    s3_server: EmbeddedServer,
    s3_settings: StoreSettings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Type:
    """Types a command with --json and returns its exit status and what it printed: a result, or an error."""
    secret = s3_settings.secret_key
    assert secret is not None
    monkeypatch.setenv("TEXTINV_STORE_ENDPOINT_URL", str(s3_settings.endpoint_url))
    monkeypatch.setenv("TEXTINV_STORE_ACCESS_KEY", str(s3_settings.access_key))
    monkeypatch.setenv("TEXTINV_STORE_SECRET_KEY", secret.get_secret_value())
    monkeypatch.setenv("TEXTINV_STORE_PREFIX", s3_settings.prefix)

    def type_command(*words: str) -> tuple[int, Any]:
        with pytest.raises(SystemExit) as caught:
            main([*words, "--json"])
        printed = capsys.readouterr()
        status = int(caught.value.code or 0)
        text = printed.out or printed.err
        return status, json.loads(text)

    return type_command


def test_concepts_are_listed_and_shown(type_: Type, registry: Registry, publish: Publish) -> None:
    publish(registry, "robot", 1)
    publish(registry, "robot", 2)
    status, listed = type_("concept", "ls")
    assert status == 0
    assert [(one["name"], one["version"]) for one in listed] == [("robot", 2)]
    status, shown = type_("concept", "show", "robot@1")
    assert (status, shown["version"], shown["versions"], shown["record"]["steps"]) == (0, 1, [1, 2], 1)


def test_an_unknown_concept_is_a_failure_that_names_it(type_: Type) -> None:
    status, printed = type_("concept", "show", "rabot")
    assert status == 2
    assert printed["error"]["code"] == "unknown_concept"
    assert "rabot" in printed["error"]["message"]


def test_a_rollback_goes_one_back_or_where_it_is_told(type_: Type, registry: Registry, publish: Publish) -> None:
    for number in (1, 2, 3):
        publish(registry, "robot", number)
    assert type_("concept", "rollback", "robot")[1]["version"] == 2
    assert type_("concept", "rollback", "robot", "--to", "3")[1]["version"] == 3
    type_("concept", "rollback", "robot", "--to", "1")
    status, printed = type_("concept", "rollback", "robot")
    assert status == 2
    assert "oldest" in printed["error"]["message"]
    assert "concept promote robot@3" in printed["error"]["message"]


def test_an_export_can_be_imported_elsewhere(
    type_: Type, registry: Registry, publish: Publish, tmp_path: Path, make_embedding: Callable[[int], Embedding]
) -> None:
    publish(registry, "robot", 1)
    status, printed = type_("concept", "export", "robot", "--out", str(tmp_path))
    (path,) = printed["files"]
    assert status == 0
    assert printed["readers"].startswith("AUTOMATIC1111, Forge, ComfyUI")
    assert import_embedding(Path(path)) == make_embedding(1)


def test_an_export_that_no_other_program_reads_says_so(type_: Type, registry: Registry, tmp_path: Path) -> None:
    rows = Embedding({"qwen3_4b": torch.ones(1, 8)})
    registry.publish("robot", rows, {}, fingerprint="f" * 64, base_model="other", base_revision="r" * 64)
    _, printed = type_("concept", "export", "robot", "--out", str(tmp_path))
    assert printed["readers"].startswith("no other program reads rows of this family today")


def test_a_file_of_another_program_becomes_a_version_once(type_: Type, tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save({"string_to_param": {"*": torch.ones(2, 192)}}, path)
    for _ in range(2):
        status, printed = type_("concept", "import", str(path), "--name", "old", "--base-model", "emoji")
        assert (status, printed["name"], printed["version"], printed["num_vectors"]) == (0, "old", 1, 2)


def test_rows_that_do_not_fit_the_base_model_are_refused_and_the_version_that_works_stays(
    type_: Type, tmp_path: Path
) -> None:
    def import_rows(**rows: torch.Tensor) -> tuple[int, Any]:
        path = tmp_path / "rows.safetensors"
        safetensors.torch.save_file(rows, path)
        return type_("concept", "import", str(path), "--name", "mine", "--base-model", "emoji")

    assert import_rows(emb_params=torch.ones(2, 192))[0] == 0
    wide = import_rows(emb_params=torch.ones(2, 768))
    two = import_rows(clip_l=torch.ones(2, 192), clip_g=torch.ones(2, 1280))
    for status, printed in (wide, two):
        assert (status, printed["error"]["code"]) == (2, "other_base_model")
        assert "rows.safetensors cannot be used with emoji" in printed["error"]["message"]
    assert type_("concept", "show", "mine")[1]["versions"] == [1]


def test_a_removed_concept_is_gone(type_: Type, registry: Registry, publish: Publish) -> None:
    publish(registry, "robot", 1)
    assert type_("concept", "rm", "robot", "--yes") == (0, {"removed": ["robot"]})
    assert type_("concept", "ls") == (0, [])


def test_verify_fails_when_something_is_damaged(type_: Type, registry: Registry, publish: Publish) -> None:
    published = publish(registry, "robot", 1)
    assert type_("concept", "verify") == (0, [])
    registry.store.put(f"runs/{published.run_id}/record.json", b"{}")
    status, problems = type_("concept", "verify")
    assert status == 1
    assert [problem["concept"] for problem in problems] == ["robot"]


def test_gc_says_what_it_would_remove_and_removes_it(type_: Type, registry: Registry, publish: Publish) -> None:
    publish(registry, "robot", 1)
    keys = ["runs/orphan/embedding.safetensors", "previews/orphan/000050.jpg"]
    for key in keys:
        registry.store.put(key, b"orphan")
    for words in (("--dry-run",), ()):
        status, report = type_("concept", "gc", "--grace-hours", "0", *words)
        assert (status, report["removed_keys"], report["removed_bytes"]) == (0, keys, 12)
    assert not any(map(registry.store.exists, keys))


def test_concepts_are_copied_to_another_prefix(
    type_: Type, registry: Registry, publish: Publish, s3_settings: StoreSettings
) -> None:
    publish(registry, "robot", 1)
    other = f"{s3_settings.prefix}-copy"
    status, printed = type_("concept", "cp", "robot", "--to-prefix", other)
    assert (status, printed[0]["name"]) == (0, "robot")
    copied = Registry(connect_store(s3_settings.model_copy(update={"prefix": other})))
    assert [one.name for one in copied.list()] == ["robot"]
    assert type_("concept", "cp", "robot")[0] == 2


def test_the_status_of_a_configured_store_is_told(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    status, facts = type_("store", "status")
    assert (status, facts["kind"], facts["usable"]) == (0, "S3", True)
    monkeypatch.setenv("TEXTINV_STORE_SECRET_KEY", "wrong")
    status, facts = type_("store", "status")
    assert (status, facts["usable"]) == (1, False)
    assert "refuses access key" in facts["problem"]
    assert type_("store", "up")[0] == 2


def test_the_embedded_store_is_started_and_stopped(
    type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEXTINV_STORE_ENDPOINT_URL")
    monkeypatch.setenv("TEXTINV_HOME", str(tmp_path))
    try:
        assert type_("store", "status")[0] == 1
        status, reached = type_("store", "up")
        assert status == 0
        assert reached["secret_key"].startswith("***")
        assert type_("store", "up")[1]["endpoint_url"] == reached["endpoint_url"]
        assert type_("store", "status")[1]["endpoint_url"] == reached["endpoint_url"]
        assert type_("store", "down") == (0, {"stopped": True})
        assert type_("store", "down") == (0, {"stopped": False})
    finally:
        EmbeddedServer(tmp_path).kill()


def test_an_import_over_a_version_waits_to_be_promoted(type_: Type, tmp_path: Path) -> None:
    for number in (1.0, 2.0):
        safetensors.torch.save_file({"emb_params": torch.full((2, 192), number)}, tmp_path / "rows.safetensors")
        status, told = type_("concept", "import", str(tmp_path / "rows.safetensors"), "--name", "mine")
        assert (status, told["current"]) == (0, 1)
    status, told = type_("concept", "promote", "mine")
    assert (status, told["version"], told["changed"]) == (0, 2, True)
    safetensors.torch.save_file({"emb_params": torch.full((2, 192), 3.0)}, tmp_path / "rows.safetensors")
    told = type_("concept", "import", str(tmp_path / "rows.safetensors"), "--name", "mine", "--no-gate")[1]
    assert (told["version"], told["current"]) == (3, 3)
