"""What training tells Prometheus: by driver, worker and store, and that it arrives at Ray's metrics port."""

import re
import time
import urllib.request
from collections.abc import Callable

import pytest

from cluster.queue.messages import SpecRef, StepReport, WorkerCard
from cluster.queue.queue import WorkQueue
from cluster.worker.config import PackSettings
from cluster.worker.meters import COUNTERS, GAUGES, HISTOGRAMS, PackMeters, QueueMeters, RayBoard, TimedStore
from cluster.worker.worker import learn_leased
from tests.cluster.shared_queue import LetsGo, told
from tests.cluster.shown import RememberedBoard
from tests.cluster.test_worker import card
from textinv.errors import ObjectNotFoundError, StoreConflictError, StoreUnreachableError
from textinv.jobs import JobRecord
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.store import MemoryStore
from textinv.store.protocol import ObjectStore, StoredObject


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def queue_of(clock: Clock, *names: str) -> WorkQueue:
    queue = WorkQueue(clock, lease_s=10.0, max_deaths=2)
    queue.open_job("job")
    queue.add("job", [SpecRef(f"fp-{name}", name, 0, number) for number, name in enumerate(names)])
    return queue


def test_concepts_are_counted_once_by_outcome_and_deaths_with_the_work_they_cost() -> None:
    board, clock = RememberedBoard(), Clock()
    meters, queue, seen = QueueMeters(board, "emoji"), queue_of(clock, "a", "b", "c"), 0

    def look() -> None:
        nonlocal seen
        view = queue.view(seen)
        meters.hear(view)
        seen = view.num_events

    first, second = WorkerCard("crew/0", "crew", 0), WorkerCard("crew/1", "crew", 1)
    queue.take(first, 0)
    queue.report("crew/0", "fp-a", StepReport(20, 100, None, 80, 1.0, "training"))
    look()
    assert board.values["specs_waiting base=emoji"] == 2
    clock.now = 4.0
    queue.view()  # a queue that does nothing for long takes itself for asleep
    clock.now = 8.0
    queue.view()
    clock.now = 12.0
    look()  # the silent worker is buried
    queue.take(second, 0)
    queue.report("crew/1", "fp-a", StepReport(5, 100, None, 20, 1.0, "training"))
    queue.finish("crew/1", "fp-a", 1)
    queue.finish("crew/1", "fp-a", 1)
    queue.take(second, 1)
    queue.fail("crew/1", "fp-b", "diverged", "no number")
    look()
    look()
    assert board.counts["leases_total base=emoji"] == 3
    assert board.counts["lease_expiries_total base=emoji"] == 1
    assert board.counts["worker_deaths_total base=emoji"] == 1
    assert board.counts["repeated_passes_total base=emoji"] == 60
    assert board.counts["concepts_ended_total base=emoji outcome=done"] == 1
    assert board.counts["concepts_ended_total base=emoji outcome=failed"] == 1
    assert board.values["workers base=emoji"] == 1


def test_a_queue_that_was_replaced_is_counted_and_its_figures_go_on_growing() -> None:
    board = RememberedBoard()
    meters = QueueMeters(board, "emoji")
    for _ in range(2):
        queue = queue_of(Clock(), "a", "b")
        queue.take(WorkerCard("crew/0", "crew", 0), 0)
        queue.leave("crew/0", "killed")
        meters.hear(queue.view())
    assert "queue_restarts_total base=emoji" not in board.counts  # as many events as before: nothing was seen of it
    meters.hear(queue_of(Clock(), "a").view())
    assert board.counts["queue_restarts_total base=emoji"] == 1
    restarted = queue_of(Clock(), "a")
    restarted.take(WorkerCard("crew/0", "crew", 0), 0)
    restarted.leave("crew/0", "killed")
    meters.hear(restarted.view())
    assert board.counts["worker_deaths_total base=emoji"] == 2


def test_a_worker_counts_its_sample_passes_and_empties_its_pack(
    registry: Registry, model: BaseModel, make_job: Callable[..., JobRecord]
) -> None:
    board = RememberedBoard()
    queue = told(registry, make_job(registry.store), LetsGo())
    pack = PackSettings(num_slots=2, lease_s=30.0)
    learn_leased(lambda: model, queue, registry, card(), pack, meters=PackMeters(board, "emoji"))
    assert board.counts["sample_passes_total base=emoji"] == 3 * 5 * 2  # concepts, steps, samples per step
    assert board.values["pack_slots base=emoji"] == 2
    assert board.values["pack_concepts base=emoji"] == 0


def test_store_calls_are_timed_and_only_failures_count_as_such() -> None:
    class Slow(MemoryStore):
        def get(self, key: str) -> StoredObject:
            clock.now += 0.3
            if key == "down":
                raise StoreUnreachableError("nobody answers")
            return super().get(key)

    board, clock = RememberedBoard(), Clock()
    store = TimedStore(Slow(), board, clock)
    etag = store.create("a", b"1")
    assert store.get("a").body == b"1"
    with pytest.raises(ObjectNotFoundError):
        store.get("b")
    with pytest.raises(StoreUnreachableError):
        store.get("down")
    assert [info.key for info in store.list("")] == ["a"]
    assert board.seen["store_seconds operation=get"] == pytest.approx([0.3] * 3)
    assert dict(board.counts) == {"store_failures_total code=store_unreachable operation=get": 1}
    assert isinstance(store, ObjectStore)
    assert store.get_if_changed("a", etag) is None
    changed = store.swap("a", b"2", etag)
    with pytest.raises(StoreConflictError):
        store.swap("a", b"3", etag)
    assert changed != store.put("a", b"4")
    assert store.presign("a", 60)
    store.delete(["a"])
    assert not store.exists("a")
    calls = {name.removeprefix("store_seconds operation="): len(seen) for name, seen in board.seen.items()}
    assert calls == {"create": 1, "get": 3, "get_if_changed": 1, "swap": 2, "put": 1, "delete": 1, "exists": 1}
    assert sum(board.counts.values()) == 1


@pytest.mark.ray
@pytest.mark.load
def test_every_figure_arrives_at_the_metrics_port_of_ray_under_its_name(local_ray: str) -> None:
    import ray

    board = RayBoard()
    tags = {"base": "emoji", "outcome": "done", "operation": "get", "code": "error", "fleet": "one"}
    for name, (_, keys) in COUNTERS.items():
        board.add(name, 3, **{key: tags[key] for key in keys})
    for name, (_, keys) in GAUGES.items():
        board.set(name, 2, **{key: tags[key] for key in keys})
    for name, (_, keys) in HISTOGRAMS.items():
        board.observe(name, 0.03, **{key: tags[key] for key in keys})
    port = ray.nodes()[0]["MetricsExportPort"]
    wanted = {f"ray_{name}" for name in (*COUNTERS, *GAUGES, *(f"{name}_bucket" for name in HISTOGRAMS))}
    deadline = time.monotonic() + 40.0
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            text = reply.read().decode()
        if wanted <= (found := set(re.findall(r"^(ray_textinv_\w+)\{", text, re.MULTILINE))):
            break
        assert time.monotonic() < deadline, f"missing: {sorted(wanted - found)}"
        time.sleep(1.0)
    (line,) = re.findall(r"^ray_textinv_sample_passes_total\{.*\} (.*)$", text, re.MULTILINE)
    assert float(line) == 3
