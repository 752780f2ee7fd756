"""What is wrong with a worker's place (keys, the store, its disk) costs time and no concept; a slow store costs no
step."""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest

from cluster.queue.messages import BeatReply, WorkerCard
from cluster.queue.queue import WorkQueue
from cluster.worker.config import PackSettings
from cluster.worker.leases import Leases
from cluster.worker.outbox import Outbox
from cluster.worker.place import Place, is_of_the_place
from cluster.worker.worker import learn_leased
from tests.cluster.shared_queue import SharedQueue, told
from tests.cluster.test_driver import Place as Fleet
from textinv.errors import (
    BaseModelError,
    CorruptObjectError,
    ImageError,
    StoreCredentialsError,
    StoreError,
    StoreUnreachableError,
    TextinvError,
)
from textinv.jobs import JobRecord, JobStore
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.store import MemoryStore
from textinv.store.protocol import StoredObject

MakeJob = Callable[..., JobRecord]
CARD = WorkerCard("crew/0", "crew", 0)
EXPIRED = StoreCredentialsError("the store refuses access key 'k' (ExpiredToken): get new ones")
DISK_FULL = StoreError("the store answered 500 InternalError: no space left on device", status=500)


class Unsteady(MemoryStore):
    """A store whose pictures cannot be read while there is an `error`, or hang until `goes_on`."""

    def __init__(self) -> None:
        super().__init__()
        self.error: TextinvError | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.num_asked = 0

    def get(self, key: str) -> StoredObject:
        if key.startswith("images/"):
            self.num_asked += 1
            self.goes_on.wait(30.0)
            if self.error is not None:
                raise self.error
        return super().get(key)


@pytest.fixture
def store() -> Iterator[Unsteady]:
    store = Unsteady()
    yield store
    store.goes_on.set()


def wait_until(is_so: Callable[[], object], patience_s: float = 20.0) -> None:
    deadline = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


@pytest.mark.parametrize("error", [EXPIRED, DISK_FULL, StoreUnreachableError("nobody answers")])
def test_a_place_out_of_order_fails_no_waiting_concept_however_often_it_is_tried(
    store: Unsteady, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, error: TextinvError
) -> None:
    monkeypatch.setattr("cluster.worker.place.MAX_PAUSE_S", 0.0)
    record, store.error = make_job(store, 5), error
    queue = told(Registry(store), record, SharedQueue())
    with Leases(queue, JobStore(store), CARD, beat_s=0.02, wait=lambda seconds: None) as leases:
        wait_until(lambda: leases.take() is None and store.num_asked > 200)
        wait_until(lambda: queue.view().workers[0].trouble.startswith(error.code))
        store.error = None
        wait_until(lambda: leases.take() is not None)
        wait_until(lambda: not queue.view().workers[0].trouble)
    counts = queue.view().jobs[0].counts
    assert (counts["waiting"] + counts["leased"], counts.get("failed", 0)) == (5, 0)


class Far:
    """A queue that is slow to reach."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        self.on_its_way, self.arrives = threading.Event(), threading.Event()

    def __getattr__(self, operation: str) -> Any:
        return getattr(self._queue, operation)


class LateBeats(Far):
    """A queue that heartbeats take long to reach."""

    def beat(self, card: WorkerCard, held: Collection[str], trouble: str = "") -> BeatReply:
        if held:
            self.on_its_way.set()
            self.arrives.wait(30.0)
        return self._queue.beat(card, held, trouble)


@pytest.mark.parametrize("error", [DISK_FULL, CorruptObjectError("pictures")])
def test_a_heartbeat_on_its_way_does_not_take_again_what_is_given_back(
    store: Unsteady, make_job: MakeJob, error: TextinvError
) -> None:
    store.error = error
    store.goes_on.clear()
    queue = told(Registry(store), make_job(store, 1), SharedQueue())
    late = LateBeats(queue)
    with Leases(late, JobStore(store), CARD, beat_s=0.01) as leases:
        assert leases.take() is None
        late.on_its_way.wait(20.0)
        leases.end()
        store.goes_on.set()
        time.sleep(0.1)  # in which it could be given back
        late.arrives.set()
        wait_until(lambda: not leases.held)
    assert (queue.view().leased, queue.view().waiting) == (0, 1)


class LateAnswers(Far):
    """A queue that hears at once what is handed back, and whose answer takes long."""

    def hand_back(self, worker_id: str, fingerprints: Collection[str]) -> None:
        self._queue.hand_back(worker_id, fingerprints)
        self.on_its_way.set()
        self.arrives.wait(30.0)


def test_what_is_leased_again_while_it_is_handed_back_is_not_forgotten(store: Unsteady, make_job: MakeJob) -> None:
    queue = told(Registry(store), make_job(store, 1), SharedQueue())
    late = LateAnswers(queue)
    with Leases(late, JobStore(store), CARD, beat_s=0.01) as leases:
        wait_until(leases.take)
        (fingerprint,) = leases.held
        handing = threading.Thread(target=leases.hand_back, args=(fingerprint,))
        handing.start()
        late.on_its_way.wait(20.0)
        again = [leases.take()]
        time.sleep(0.2)  # in which it could be leased
        late.arrives.set()
        handing.join(20.0)
        wait_until(lambda: again[-1] is not None or again.append(leases.take()))
        assert leases.held == {fingerprint}
        assert [bool(worker.leases) for worker in queue.view().workers] == [True]


@pytest.mark.parametrize("reason", [None, "RuntimeError: out of luck"])
def test_a_heartbeat_on_its_way_does_not_bring_a_worker_back_that_has_left(
    store: Unsteady, make_job: MakeJob, reason: str | None
) -> None:
    queue = told(Registry(store), make_job(store, 1), SharedQueue())
    late = LateBeats(queue)
    with Leases(late, JobStore(store), CARD, beat_s=0.01) as leases:
        wait_until(leases.take)
        late.on_its_way.wait(20.0)
        leases.end()
        leaving = threading.Thread(target=leases.leave, args=(reason,))
        leaving.start()
        time.sleep(0.1)  # in which it could leave
        late.arrives.set()
        leaving.join(20.0)
        time.sleep(0.1)  # in which it could beat
        view = queue.view()
    assert (view.workers, view.leased, view.waiting) == ((), 0, 1)
    assert view.deaths == (reason is not None)


def test_a_job_whose_workers_keys_have_expired_says_so_and_ends_well_with_new_ones(
    store: Unsteady, model: BaseModel, make_job: MakeJob
) -> None:
    record, store.error = make_job(store, 2), EXPIRED
    fleet = Fleet(Registry(store), lambda: model)
    job_store = JobStore(store)

    def problem() -> str:
        status = job_store.status(record.id)
        return (status.problem or "") if status else ""

    fleet.drive_until(lambda: "ExpiredToken" in problem())
    status = fleet.status(record)
    assert (status.failed, status.ended) == (0, False)
    store.error = None
    fleet.drive_until(lambda: fleet.is_over(record))
    status = fleet.status(record)
    assert (status.state, status.done, status.problem) == ("done", 2, None)
    fleet.driver.send_home()


def test_a_job_waits_for_a_base_model_that_no_worker_can_load_and_says_so(
    store: Unsteady, model: BaseModel, make_job: MakeJob
) -> None:
    there: list[BaseModel] = []

    def load() -> BaseModel:
        if not there:
            raise BaseModelError("weights are missing on this node")
        return there[0]

    record, fleet, job_store = make_job(store, 1), Fleet(Registry(store), load), JobStore(store)

    def problem() -> str:
        status = job_store.status(record.id)
        return (status.problem or "") if status else ""

    fleet.drive_until(lambda: "weights are missing" in problem())
    assert (fleet.status(record).state, fleet.status(record).ended) == ("waiting", False)
    there.append(model)
    fleet.drive_until(lambda: fleet.is_over(record))
    assert (fleet.status(record).state, fleet.status(record).problem) == ("done", None)
    fleet.driver.send_home()


def test_a_worker_that_waits_for_its_base_model_goes_when_it_is_dismissed(store: Unsteady, make_job: MakeJob) -> None:
    queue, asked = told(Registry(store), make_job(store, 1), SharedQueue()), threading.Event()

    def load() -> BaseModel:
        asked.set()
        raise BaseModelError("weights are missing on this node")

    pack = PackSettings(num_slots=1, lease_s=1.0)
    worker = threading.Thread(target=learn_leased, args=(load, queue, Registry(store), CARD, pack))
    worker.start()
    assert asked.wait(20.0)
    queue.dismiss(["crew"])
    worker.join(20.0)
    assert not worker.is_alive()
    assert queue.view().failed_starts == ()


def test_what_was_learned_waits_for_the_place_and_a_checkpoint_does_not() -> None:
    written: list[str] = []
    given_up: list[str] = []
    errors: list[TextinvError] = [DISK_FULL] * 50
    outbox = Outbox(lambda seconds: None)

    def write(what: str) -> None:
        if errors:
            raise errors.pop()
        written.append(what)

    outbox.post(lambda: write("checkpoint"), lambda error: given_up.append("checkpoint"))
    outbox.post(lambda: write("result"), lambda error: given_up.append("result"), waits=True)
    assert outbox.close()
    assert (written, given_up) == (["result"], ["checkpoint"])


def test_a_superseded_checkpoint_in_the_line_is_not_written() -> None:
    written: list[str] = []
    go_on = threading.Event()
    outbox = Outbox()
    outbox.post(lambda: go_on.wait(20.0) and None, lambda error: None)
    for number in range(5):
        for concept in ("a", "b"):
            outbox.post(
                lambda text=f"{concept}{number}": written.append(text),  # type: ignore[misc]
                lambda error: None,
                subject=concept,
            )
    outbox.post(lambda: written.append("a is published"), lambda error: None, subject="a")
    go_on.set()
    assert outbox.close()
    assert written == ["b4", "a is published"]


def test_errors_of_the_work_are_told_from_those_of_the_place() -> None:
    assert not is_of_the_place(ImageError("no picture"))
    assert not is_of_the_place(StoreError("EntityTooLarge", status=400))
    assert Place().pause_s == 0.0


def test_a_store_that_hangs_holds_up_no_step_and_no_drain(store: Unsteady, make_job: MakeJob) -> None:
    record = make_job(store, 3)
    queue = told(Registry(store), record, SharedQueue())
    with Leases(queue, JobStore(store), CARD, beat_s=0.02) as leases:
        assert leases.take() is not None
        store.goes_on.clear()
        leases.take()
        begun = time.monotonic()
        assert [leases.take() for _ in range(1000)] == [None] * 1000
        assert time.monotonic() - begun < 0.5
        assert len(leases.held) == 2  # one beyond what is in training, no more
        begun = time.monotonic()
        leases.end()
        assert time.monotonic() - begun < 0.5
    queue.leave(CARD.id)
    store.goes_on.set()
    time.sleep(0.1)
    assert queue.view().jobs[0].counts["waiting"] == 3


def test_the_next_concept_is_fetched_before_there_is_room_for_it_as_long_as_plenty_waits(
    store: Unsteady, make_job: MakeJob
) -> None:
    queue = told(Registry(store), make_job(store, 7), SharedQueue())
    with Leases(queue, JobStore(store), CARD, beat_s=0.02) as leases:
        held = []
        for _ in range(5):
            assert leases.take() is not None
            wait_until(lambda: not queue.view().workers[0].leases or len(leases.held) >= 2)
            time.sleep(0.05)
            held.append(len(leases.held))
    assert held == [2, 3, 3, 4, 5]  # with more than four waiting, one beyond what is in training


def test_an_error_of_the_queue_while_fetching_reaches_the_training(store: Unsteady) -> None:
    class Gone(SharedQueue):
        def take(self, card, request):  # type: ignore[no-untyped-def]
            raise RuntimeError("the cluster is going down")

    with (
        Leases(Gone(), JobStore(store), CARD, beat_s=5.0) as leases,
        pytest.raises(RuntimeError, match="going down"),
    ):
        leases.take()
