"""Publishing that is cut short anywhere, or whose replies are lost: one version per spec, and nothing is left over."""

import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from textinv.errors import StoreUnreachableError
from textinv.placeholders import ConceptRef
from textinv.registry import PublishedVersion, Registry
from textinv.settings import StoreSettings
from textinv.store import MemoryStore, connect_store
from textinv.store.protocol import BINARY

Publish = Callable[..., PublishedVersion]
NUM_WRITES = 7  # format, three artifacts, claim, version, head


class MortalStore(MemoryStore):
    """Dies at its n-th write: before it when `lost`, else after it, when only the reply is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int | None = None
        self.lost = True

    def put(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        return self._live(lambda: MemoryStore.put(self, key, body, content_type))

    def create(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        return self._live(lambda: MemoryStore.create(self, key, body, content_type))

    def swap(self, key: str, body: bytes, etag: str, content_type: str = BINARY) -> str:
        return self._live(lambda: MemoryStore.swap(self, key, body, etag, content_type))

    def _live(self, write: Callable[[], str]) -> str:
        if self.writes_left is None:
            return write()
        if self.writes_left == 0:
            if not self.lost:
                write()
            raise StoreUnreachableError("dead")
        self.writes_left -= 1
        return write()


def _die_while_publishing(publish: Publish, num_writes: int, lost: bool) -> MortalStore:
    store = MortalStore()
    store.writes_left, store.lost = num_writes, lost
    with pytest.raises(StoreUnreachableError):
        publish(Registry(store), "robot", 1)
    store.writes_left = None
    return store


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("num_writes", range(NUM_WRITES))
def test_a_death_at_any_write_is_made_good_by_the_next_finisher(publish: Publish, num_writes: int, lost: bool) -> None:
    registry = Registry(_die_while_publishing(publish, num_writes, lost))
    assert publish(registry, "robot", 1).version == 1
    assert [one.version for one in registry.versions("robot")] == [1]
    assert registry.resolve(ConceptRef("robot")).version == 1
    registry.gc(grace_s=0)
    assert list(registry.verify()) == []
    assert len({info.key.split("/")[1] for info in registry.store.list("runs/")}) == 1


@pytest.mark.parametrize("num_writes", range(5, NUM_WRITES))
def test_a_claimed_publication_is_completed_by_whoever_asks(publish: Publish, num_writes: int) -> None:
    registry = Registry(_die_while_publishing(publish, num_writes, lost=True))
    found = registry.finished("spec-robot-1")
    assert found is not None
    assert found["version"] == 1
    assert registry.resolve(ConceptRef("robot")).version == 1


@pytest.mark.parametrize("num_writes", range(1, NUM_WRITES))
def test_gc_completes_what_was_claimed_and_removes_what_was_not(publish: Publish, num_writes: int) -> None:
    store = _die_while_publishing(publish, num_writes, lost=True)
    registry = Registry(store)
    claimed = num_writes >= 5
    before = {info.key: info.etag for info in store.list("")}
    planned = registry.gc(dry_run=True, grace_s=0)
    assert {key: tag for key, tag in ((i.key, i.etag) for i in store.list("")) if key != "index/clock"} == before
    report = registry.gc(grace_s=0)
    assert report == planned
    assert bool(report.completed) == claimed
    assert bool(list(store.list("runs/"))) == claimed
    assert [one.name for one in registry.list()] == (["robot"] if claimed else [])


def test_gc_leaves_young_runs_alone(publish: Publish) -> None:
    store = _die_while_publishing(publish, 4, lost=True)
    assert Registry(store).gc().removed_keys == []
    assert list(store.list("runs/"))


def test_gc_removes_no_runs_while_a_version_cannot_be_read(publish: Publish) -> None:
    store = _die_while_publishing(publish, 4, lost=True)
    publish(Registry(store), "other", 1)
    store.put("versions/other/00000001.json", b"{damaged")
    before = len(list(store.list("runs/")))
    report = Registry(store).gc(grace_s=0)
    assert report.damaged == ["versions/other/00000001.json"]
    assert len(list(store.list("runs/"))) == before


def test_a_removal_that_was_cut_short_is_finished_by_gc(publish: Publish) -> None:
    store = MortalStore()
    registry = Registry(store)
    publish(registry, "robot", 1)
    kept = {info.key: store.get(info.key).body for info in store.list("") if info.key.startswith(("versions", "done"))}
    registry.remove("robot")
    for key, body in kept.items():
        store.put(key, body)
    assert registry.finished("spec-robot-1") is None
    registry.gc(grace_s=0)
    assert not [info.key for info in store.list("") if info.key.startswith(("versions", "done", "runs"))]


def test_a_concept_can_be_learned_again_though_its_removal_was_cut_short(publish: Publish) -> None:
    store = MortalStore()
    registry = Registry(store)
    publish(registry, "robot", 1)
    claim = store.get("done/spec-robot-1.json").body
    registry.remove("robot")
    store.put("done/spec-robot-1.json", claim)
    assert publish(registry, "robot", 1).version == 2
    assert registry.resolve(ConceptRef("robot")).version == 2


def test_verify_names_what_is_missing_or_changed(publish: Publish) -> None:
    store = MemoryStore()
    registry = Registry(store)
    published = publish(registry, "robot", 1)
    publish(registry, "whole", 1)
    store.delete([f"runs/{published.run_id}/record.json", "done/spec-robot-1.json"])
    store.put(f"runs/{published.run_id}/preview.png", b"other picture")
    store.put("heads/robot.json", b"[]")
    found = {problem.key for problem in registry.verify()}
    assert found == {
        f"runs/{published.run_id}/record.json",
        f"runs/{published.run_id}/preview.png",
        "done/spec-robot-1.json",
        "heads/robot.json",
    }
    assert {problem.concept for problem in registry.verify()} == {"robot"}
    assert list(registry.verify("whole")) == []


class ForgetfulProxy(BaseHTTPRequestHandler):
    """Passes requests on and drops the connection instead of answering every second PUT."""

    protocol_version = "HTTP/1.1"
    target: tuple[str, int]
    num_puts = 0
    counting = threading.Lock()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {key: value for key, value in self.headers.items() if key.lower() != "expect"}
        connection = HTTPConnection(*self.target, timeout=30)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if self.command == "PUT" and self._swallows():
            self.close_connection = True
            return
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = _pass_on

    def _swallows(self) -> bool:
        kind = type(self)
        with kind.counting:
            kind.num_puts += 1
            return kind.num_puts % 2 == 0

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def forgetful_settings(s3_settings: StoreSettings) -> Iterator[StoreSettings]:
    parts = urlsplit(str(s3_settings.endpoint_url))
    kind = type("Forgetful", (ForgetfulProxy,), {"target": (parts.hostname, parts.port)})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield s3_settings.model_copy(update={"endpoint_url": f"http://127.0.0.1:{proxy.server_address[1]}"})
    proxy.shutdown()
    proxy.server_close()


@pytest.mark.store
def test_lost_replies_make_no_second_version(
    forgetful_settings: StoreSettings, s3_settings: StoreSettings, publish: Publish
) -> None:
    registry = Registry(connect_store(forgetful_settings))
    assert [publish(registry, "robot", number).version for number in (1, 2, 3)] == [1, 2, 3]
    direct = Registry(connect_store(s3_settings))
    assert [one.version for one in direct.versions("robot")] == [1, 2, 3]
    assert direct.resolve(ConceptRef("robot")).version == 3
    assert list(direct.verify()) == []
    assert not direct.gc(grace_s=0).removed_keys
