"""A driver with real queues, real training in threads, and a store in memory."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.driver.driver import MAX_TROUBLES, Driver
from cluster.queue.messages import WorkerCard
from cluster.worker import guesses
from cluster.worker.config import BaseModelRef, PackSettings
from cluster.worker.worker import learn_leased
from tests.cluster.shared_queue import SharedQueue
from tests.cluster.user import wait_until
from tests.guess.sharing import shared_enough
from tests.guess.small_guess import small_guess
from textinv.errors import BaseModelMismatchError, ClusterError, StoreError, StoreUnreachableError
from textinv.jobs import JobRecord, JobStatus, JobStore
from textinv.jobs.fleet import FleetSettings, settings_key
from textinv.jobs.guess_submission import submit_guess
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.registry import Registry
from textinv.registry.guesses import GuessFile
from textinv.store.memory import MemoryStore
from textinv.store.protocol import StoredObject

MakeJob = Callable[..., JobRecord]
FLEET = "fleet-of-tests"
STEP_S = 0.05
"""A step takes at least so long: what waits for a driver's next look is not to compute all the while."""


class FailsOnce(MemoryStore):
    """A store that does not give a job's specs when it is first asked for them."""

    has_failed = False

    def get(self, key: str) -> StoredObject:
        if "/specs/" in key and not self.has_failed:
            self.has_failed = True
            raise StoreError("it does not answer")
        return super().get(key)


class ThreadCrew:
    """A crew of one worker in a thread."""

    def __init__(
        self, name: str, queue: Any, registry: Registry, load: Callable[[], BaseModel], pack: PackSettings
    ) -> None:
        self.name, self.num_workers, self.problem = name, 1, None
        self.gone = threading.Event()

        def work() -> None:
            card = WorkerCard(f"{name}/0", name, 0)
            try:
                learn_leased(load, queue, registry, card, pack, lambda: self.gone.wait(STEP_S))
            except BaseModelMismatchError as error:
                self.problem = str(error)

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def abandon(self) -> None:
        self.gone.set()


class Place:
    """A driver and what it drives."""

    def __init__(
        self, registry: Registry, load: Callable[[], BaseModel], max_workers: int = 1, checkpoint_every_s: float = 0.0
    ) -> None:
        self.pack = PackSettings(num_slots=2, lease_s=6.0, checkpoint_every_s=checkpoint_every_s)
        self.registry, self.job_store, self.load = registry, JobStore(registry.store), load
        self.queues: list[SharedQueue] = []
        self.crews: list[ThreadCrew] = []
        self.driver = Driver(registry, FLEET, self._open, self._start, settings=FleetSettings(max_workers=max_workers))

    def _open(self, base: BaseModelRef) -> Any:
        self.queues.append(SharedQueue(lease_s=6.0))
        return self.queues[-1]

    def _start(self, name: str, base: BaseModelRef, num_workers: int) -> ThreadCrew:
        self.crews.append(ThreadCrew(name, self.queues[-1], self.registry, self.load, self.pack))
        return self.crews[-1]

    def drive_until(self, is_so: Callable[[], bool], patience_s: float = 60.0) -> None:
        deadline = time.monotonic() + patience_s
        while not is_so():
            assert time.monotonic() < deadline, "it takes too long"
            self.driver.round()
            time.sleep(0.1)

    def status(self, record: JobRecord) -> JobStatus:
        status = self.job_store.status(record.id)
        assert status is not None
        return status

    def is_over(self, record: JobRecord) -> bool:
        return record.id not in self.job_store.open_jobs()


@pytest.fixture
def place(registry: Registry, model: BaseModel) -> Iterator[Place]:
    place = Place(registry, lambda: model)
    yield place
    place.driver.send_home()


def test_a_job_is_learned_reported_and_closed(place: Place, make_job: MakeJob) -> None:
    record = make_job(place.registry.store)
    place.drive_until(lambda: place.is_over(record))
    status = place.status(record)
    assert (status.state, status.done, status.total) == ("done", 3, 3)
    assert {(concept.name, concept.version, concept.step) for concept in status.concepts} == {
        (f"concept-{number}", 1, 5) for number in range(3)
    }
    assert all(concept.loss is not None for concept in status.concepts)
    log = place.job_store.log(record.id)
    assert "concept-2: done (version 1)" in log


def test_a_new_driver_trains_nothing_twice_and_resumes_what_was_half_done(
    registry: Registry, model: BaseModel, make_job: MakeJob
) -> None:
    first = Place(registry, lambda: model)
    record = make_job(registry.store, 4, max_steps=12)
    first.drive_until(lambda: len(registry.finished_fingerprints()) == 2 and len(first.job_store.checkpoints()) >= 1)
    first.crews[0].abandon()
    while not first.crews[0].ended:
        time.sleep(0.05)
    half_done = first.job_store.checkpoints()
    finished = {summary.name: summary for summary in registry.list()}
    second = Place(registry, lambda: model)
    second.drive_until(lambda: second.is_over(record))
    second.driver.send_home()
    assert second.status(record).done == 4
    leased = {event.name for event in second.queues[0].view().events if event.kind == "leased"}
    assert leased.isdisjoint(finished)
    for name, summary in finished.items():
        assert registry.resolve(ConceptRef(name, None)).version == summary.version == 1
    assert half_done
    for number in range(4):
        assert registry.resolve(ConceptRef(f"concept-{number}", None)).record["sample_passes"] == 24


def test_a_cancelled_concept_ends_without_a_version_and_a_resumed_job_learns_it(
    place: Place, make_job: MakeJob
) -> None:
    record = make_job(place.registry.store, 2, max_steps=400)
    place.drive_until(lambda: any(concept.step > 5 for concept in _concepts(place, record)))
    place.job_store.cancel(record.id, ["concept-1"])
    place.drive_until(lambda: _states(place, record)["concept-1"] == "cancelled")
    assert _states(place, record)["concept-0"] == "running"
    place.job_store.cancel(record.id)
    place.drive_until(lambda: place.is_over(record))
    assert place.status(record).state == "cancelled"
    assert list(place.registry.list()) == []
    resumed = place.job_store.resume(record.id).record
    place.drive_until(lambda: not place.is_over(record) and place.status(record).running == 2)
    assert place.status(record).generation == resumed.generation


def test_rows_of_a_cancelled_concept_are_published_when_that_is_asked_for(place: Place, make_job: MakeJob) -> None:
    record = make_job(place.registry.store, 1, max_steps=400)
    place.drive_until(lambda: any(concept.step > 10 for concept in _concepts(place, record)))
    place.job_store.cancel(record.id, keep_rows=True)
    place.drive_until(lambda: place.is_over(record))
    place.driver.send_home()
    found = place.registry.resolve(ConceptRef("concept-0", None))
    assert found.record["stopped"] == "cancelled"
    spec = place.job_store.spec_sheet(record.id, 0)[0]
    assert found.fingerprint != spec.fingerprint


def test_the_rows_that_are_kept_are_those_of_the_last_look_even_if_no_checkpoint_was_due_yet(
    registry: Registry, model: BaseModel, make_job: MakeJob
) -> None:
    place = Place(registry, lambda: model, checkpoint_every_s=1e6)
    record = make_job(registry.store, 1, max_steps=400)
    place.drive_until(lambda: any(concept.step > 10 for concept in _concepts(place, record)))
    assert place.job_store.checkpoints() == set()
    place.job_store.cancel(record.id, keep_rows=True)
    place.drive_until(lambda: place.is_over(record))
    kept = registry.resolve(ConceptRef("concept-0", None)).record
    assert kept["kept_step"] == kept["steps"] > 10
    place.driver.send_home()


@pytest.mark.parametrize("whose", ["the same driver", "another driver"])
def test_rows_of_a_concept_that_waits_half_done_are_published_from_its_checkpoint(
    registry: Registry, model: BaseModel, make_job: MakeJob, whose: str
) -> None:
    place = Place(registry, lambda: model)
    record = make_job(registry.store, 3, max_steps=400)
    place.drive_until(lambda: len([one for one in _concepts(place, record) if one.step > 5]) == 2)
    draining = FleetSettings(draining=True).model_dump_json().encode()
    registry.store.put(settings_key(FLEET), draining)
    place.drive_until(lambda: not place.driver.status()["crews"])
    begun = {concept.name for concept in _concepts(place, record) if concept.step > 5}
    assert list(registry.list()) == []
    place.job_store.cancel(record.id, keep_rows=True)
    if whose == "another driver":
        place = Place(registry, lambda: model)
    place.drive_until(lambda: place.is_over(record))
    assert (place.status(record).state, place.status(record).cancelled) == ("cancelled", 3)
    assert {summary.name: summary.version for summary in registry.list()} == dict.fromkeys(begun, 1)
    for name in begun:
        found = registry.resolve(ConceptRef(name, None))
        assert found.record["stopped"] == "cancelled"
        assert found.record["kept_step"] > 0
        assert found.record["spec"]["name"] == name


def test_a_job_of_which_a_queue_was_told_in_part_is_not_over(model: BaseModel, make_job: MakeJob) -> None:
    store = FailsOnce()
    place = Place(Registry(store), lambda: model)
    record = make_job(store)
    with pytest.raises(StoreError):
        place.driver.round()
    place.drive_until(lambda: place.is_over(record))
    assert (place.status(record).state, place.status(record).done) == ("done", 3)
    place.driver.send_home()


def test_another_base_model_on_all_nodes_fails_the_job_and_says_why(registry: Registry, make_job: MakeJob) -> None:
    def load() -> BaseModel:
        raise BaseModelMismatchError("emoji is c0ffee here: give all machines the same")

    place = Place(registry, load)
    record = make_job(registry.store)
    place.drive_until(lambda: place.is_over(record))
    status = place.status(record)
    assert status.state == "failed"
    assert "emoji is c0ffee here" in (status.problem or "")


def test_a_drained_fleet_saves_what_it_has_and_goes_on_when_it_is_scaled(place: Place, make_job: MakeJob) -> None:
    record = make_job(place.registry.store, 2, max_steps=400)  # more than a worker takes until its next beat
    place.drive_until(lambda: any(concept.step > 5 for concept in _concepts(place, record)))
    store = place.registry.store
    store.put(settings_key(FLEET), FleetSettings(draining=True).model_dump_json().encode())
    place.drive_until(lambda: not place.driver.status()["crews"])
    saved = {concept.name: concept.step for concept in _concepts(place, record)}
    assert len(place.job_store.checkpoints()) == 2
    assert not place.is_over(record)
    store.put(settings_key(FLEET), FleetSettings().model_dump_json().encode())
    seen: list[tuple[str, int]] = []

    def all_went_on() -> bool:
        seen.extend((concept.name, concept.step) for concept in _concepts(place, record))
        return all(step > saved[name] for name, step in seen[-2:])

    place.drive_until(all_went_on)
    assert not [(name, step) for name, step in seen if 0 < step < saved[name]]  # 0: it has no worker yet
    assert len(place.crews) == 2


def test_jobs_of_another_fleet_are_left_alone(place: Place, make_job: MakeJob) -> None:
    record = make_job(place.registry.store)
    place.job_store.open(record.model_copy(update={"fleet": "somebody else's"}))
    for _ in range(3):
        place.driver.round()
    assert place.job_store.status(record.id) is None
    assert place.crews == []


def _concepts(place: Place, record: JobRecord) -> Any:
    status = place.job_store.status(record.id)
    return status.concepts if status else ()


def _states(place: Place, record: JobRecord) -> dict[str, str]:
    return {concept.name: concept.state for concept in _concepts(place, record)}


def test_a_guess_is_trained_reported_and_closed_beside_a_job_of_concepts(
    registry: Registry, emoji: BaseModel, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(model: BaseModel, *arguments: Any, **told: Any) -> GuessFile:
        return small_guess(model, held_out={"is_better": True})

    monkeypatch.setattr(guesses, "finished", measured)
    shared_enough(registry.store, emoji.revision)
    guess = submit_guess(registry, "emoji", emoji.revision, steps=1, fleet=FLEET).record
    place = Place(registry, lambda: emoji)
    concepts = make_job(registry.store, 1, 1, base_revision=emoji.revision)
    place.drive_until(lambda: place.is_over(guess) and place.is_over(concepts))
    status = place.status(guess)
    (one,) = status.concepts
    assert (status.state, status.done, one.name, one.state) == ("done", 1, "guess", "done")
    assert (one.step, one.max_steps, one.sample_passes, one.version) == (1, 1, 16, None)
    assert "guess: done" in place.job_store.log(guess.id)
    assert place.status(concepts).state == "done"
    place.driver.send_home()


class Troubled(Driver):
    """A driver whose rounds fail as they are told to, and with nothing to do."""

    def __init__(self, registry: Registry, errors: list[Exception | None]) -> None:
        super().__init__(registry, FLEET, _nothing, _nothing, settings=FleetSettings())
        self.errors = errors

    def round(self) -> None:
        super().round()
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error


def _nothing(*_: Any) -> Any:
    raise AssertionError("there is no work")


def test_a_driver_outlives_what_the_next_round_may_mend_and_ends_when_it_has_nothing_to_do(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cluster.driver.driver.POLL_S", 0.01)
    revived: list[str] = []

    def revive() -> None:
        revived.append("the store")
        raise StoreError("not yet")

    mended = [StoreUnreachableError("nobody answers"), StoreError("it is full"), *[ClusterError("a hiccup")] * 4]
    driver = Troubled(registry, [*mended, None, ClusterError("a hiccup")])
    driver.serve(threading.Event(), 0.2, revive)
    assert (driver.errors, revived) == ([], ["the store"])
    assert driver.idle_for_s > 0.2
    said = [record.getMessage() for record in caplog.records]
    assert said[:3] == [
        "the store failed, which the next round may mend: nobody answers",
        "the store failed, which the next round may mend: it is full",
        "Ray failed: a hiccup",
    ]


def test_a_driver_whose_ray_fails_again_and_again_gives_up(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.driver.driver.POLL_S", 0.01)
    driver = Troubled(registry, [ClusterError("it is gone")] * 9)
    with pytest.raises(ClusterError, match="it is gone"):
        driver.serve(threading.Event(), None, lambda: None)
    assert len(driver.errors) == 9 - MAX_TROUBLES


def test_a_driver_that_is_told_to_stop_sends_its_crews_home(place: Place, make_job: MakeJob) -> None:
    record, stop = make_job(place.registry.store, 2, max_steps=400), threading.Event()
    serving = threading.Thread(target=place.driver.serve, args=(stop, None, lambda: None))
    serving.start()
    wait_until(lambda: place.queues and place.queues[0].view().leased)
    stop.set()
    serving.join(60)
    assert not serving.is_alive()
    assert all(crew.ended for crew in place.crews)
    assert not place.is_over(record)
