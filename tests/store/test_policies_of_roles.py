"""What each part of a deployment may do to the bucket, by the identities of a real SeaweedFS."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pydantic import SecretStr

from services.access.keys import KeyRing
from textinv.cli.app import main
from textinv.cli.store_policy import READS, ROLES, WRITES, Role, s3_policy, seaweedfs_actions
from textinv.embedding import Embedding
from textinv.errors import StoreCredentialsError
from textinv.jobs import JobStore, layout
from textinv.jobs.fleet import StoredFleet
from textinv.jobs.previews import write_preview
from textinv.placeholders import ConceptRef
from textinv.registry import Registry
from textinv.registry.guesses import GuessFile, GuessRecord, LearnedFrom, publish_guess, published_by
from textinv.settings import StoreSettings
from textinv.store import EmbeddedServer, S3Store, connect_store, weed

pytestmark = pytest.mark.store
BUCKET, PREFIX = "textinv", "team/a"


class ServerWithRoles(EmbeddedServer):
    """An embedded server that knows an identity for each role beside its own."""

    def keys_of(self, role: Role) -> StoreSettings:
        mine = {"access_key": role, "secret_key": SecretStr(f"{role}-secret"), "prefix": PREFIX}
        return self.up().model_copy(update=mine)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerWithRoles]:
    def identity(role: Role) -> dict[str, object]:
        keys = {"accessKey": role, "secretKey": f"{role}-secret"}
        return {"name": role, "credentials": [keys], "actions": seaweedfs_actions(role, BUCKET, PREFIX)}

    def prepare(folder: Path, state: weed.ServerState) -> None:
        own(folder, state)
        known = json.loads((folder / "s3.json").read_text())
        weed.write_private(
            folder / "s3.json", json.dumps({"identities": [*known["identities"], *map(identity, ROLES)]})
        )

    own, server = weed.prepare, ServerWithRoles(tmp_path_factory.mktemp("roles"), BUCKET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weed, "prepare", prepare)
        server.up()
    yield server
    server.kill()


def publish(store: S3Store, name: str, value: float = 1.0) -> None:
    rows = Embedding({"text_encoder": torch.full((1, 8), value)})
    Registry(store).publish(
        name, rows, {}, fingerprint=f"{name}-{value}", base_model="emoji", base_revision="c0ffee", files={"p.png": b"p"}
    )


def beginnings() -> list[str]:
    """Where anything lies, one beginning of a key for each kind of object."""
    found = {name for names in (*READS.values(), *WRITES.values()) for name in names} | {"keys/"}
    return sorted(found - {""})


@pytest.mark.parametrize("role", ROLES)
def test_a_role_writes_where_it_may_and_nowhere_else(server: ServerWithRoles, role: Role) -> None:
    store = S3Store(server.keys_of(role))
    for name in beginnings():
        key = f"{name}test-{role}" if name.endswith("/") else name
        may = "" in WRITES[role] or name in WRITES[role]
        try:
            store.put(key, b"1")
            store.delete([key])
            wrote = True
        except StoreCredentialsError:
            wrote = False
        assert wrote == may, key
    elsewhere = S3Store(server.keys_of(role).model_copy(update={"prefix": "team/b"}))
    with pytest.raises(StoreCredentialsError):
        elsewhere.put("heads/theirs.json", b"1")
    with pytest.raises(StoreCredentialsError):
        elsewhere.get("heads/theirs.json")


def test_only_services_and_operators_read_keys(server: ServerWithRoles) -> None:
    text, key = KeyRing(connect_store(server.keys_of("operator"))).create("me", "generate")
    assert KeyRing(connect_store(server.keys_of("service"))).find(text, "generate").id == key.id
    for role in ("replica", "worker", "driver", "submitter"):
        with pytest.raises(StoreCredentialsError):
            KeyRing(connect_store(server.keys_of(role))).find(text, "generate")


def test_a_worker_publishes_and_a_replica_only_reads_what_it_published(server: ServerWithRoles) -> None:
    worker = connect_store(server.keys_of("worker"))
    publish(worker, "fox")
    publish(worker, "fox", 2.0)
    write_preview(worker, "f", 50, b"jpeg")
    JobStore(worker).write_checkpoint("f", b"state")
    trained = GuessRecord(
        base_model="emoji", base_revision="c0ffee", encoder="own", shape={}, kinds=(), concepts=9, source="", steps=1,
        sample_passes=1, made="", shares=(LearnedFrom(share="fox~1", tenant="acme", pictures=()),),
    )  # fmt: skip
    publish_guess(worker, GuessFile(trained, b"weights"), "work")
    assert published_by(connect_store(server.keys_of("driver")), "c0ffee", "work") is not None
    replica = connect_store(server.keys_of("replica"), reads_only=True)
    assert Registry(replica).resolve(ConceptRef("fox")).version == 2
    with pytest.raises(StoreCredentialsError, match="may only read"):
        Registry(replica).move_head("fox", 1)
    Registry(connect_store(server.keys_of("service"))).move_head("fox", 1)
    assert Registry(replica).resolve(ConceptRef("fox")).version == 1


def test_a_driver_and_a_submitter_do_their_work(server: ServerWithRoles) -> None:
    fleet = StoredFleet(connect_store(server.keys_of("submitter")), "f")
    assert fleet.change({"max_workers": 3}).max_workers == 3
    driver = connect_store(server.keys_of("driver"))
    driver.put(layout.log_key("j"), b"said")
    driver.put(layout.status_key("j"), b"{}")
    assert StoredFleet(driver, "f").settings().max_workers == 3
    with pytest.raises(StoreCredentialsError):
        driver.put("images/x", b"1")


def test_connecting_writes_nothing_where_a_role_may_not(server: ServerWithRoles) -> None:
    everything = S3Store(server.up().model_copy(update={"prefix": PREFIX}))
    before = {info.key: info.etag for info in everything.list("")}
    reading = connect_store(server.keys_of("replica"))  # not told that it may only read
    assert reading.reads_only
    with pytest.raises(StoreCredentialsError, match="may only read"):
        reading.put("heads/x.json", b"1")
    assert {info.key: info.etag for info in everything.list("")} == before
    assert not connect_store(server.keys_of("worker")).reads_only
    with pytest.raises(StoreCredentialsError):
        connect_store(server.keys_of("replica").model_copy(update={"secret_key": SecretStr("wrong")}))


def test_the_policy_of_a_role_is_printed_for_the_bucket_and_prefix_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEXTINV_STORE_BUCKET", "b")
    monkeypatch.setenv("TEXTINV_STORE_PREFIX", "p/")
    with pytest.raises(SystemExit):
        main(["store", "policy", "replica"])
    said = capsys.readouterr().out
    found = json.loads(said)
    assert found == s3_policy("replica", "b", "p/")
    assert {"arn:aws:s3:::b/p/heads/*", "arn:aws:s3:::b/p/format.json"} <= set(found["Statement"][1]["Resource"])
    assert "PutObject" not in said
    everything = s3_policy("operator", "b", "")["Statement"][2]
    assert everything == {
        "Effect": "Allow",
        "Action": ["s3:PutObject", "s3:DeleteObject"],
        "Resource": ["arn:aws:s3:::b/*"],
    }
