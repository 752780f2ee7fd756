"""A fleet that exists in virtual time only: fake workers on the real queue, job store and registry.

Workers lease, beat, report, keep checkpoints, publish and die as real ones do, but a minute of training takes no time.
Deaths are of three kinds: the seat is filled again soon; it is filled after the lease has expired; the worker only
slept, and comes back when others have its work. Everything random follows from one seed.
"""

import hashlib
import heapq
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch

from cluster.queue.messages import BeatReply, Lease, SpecRef, StepReport, TakeReply, WorkerCard
from cluster.queue.queue import LEASE_S, WorkQueue
from textinv.embedding import Embedding
from textinv.jobs import JobStore
from textinv.jobs.layout import SPECS_PER_SHEET
from textinv.registry import Registry
from textinv.store import ObjectStore

JOB = "simulated"
BEAT_S = LEASE_S / 6
BEATS_PER_CHECKPOINT = 3
RESEATED_S, RESTARTED_S = 10.0, 2 * LEASE_S
MAX_STEPS = 1000
_ROWS = b"x" * 2000


@dataclass(frozen=True)
class Sizes:
    """What is simulated."""

    concepts: int = 10_000
    workers: int = 1_000
    slots: int = 8
    training_s: float = 60.0
    """Of a concept, on average."""
    worker_life_s: float = 3600.0
    """Until a worker dies, on average."""
    publish_one_in: int = 1
    """The others are only noted as done."""
    queue_deaths: int = 1
    threads: int = 0
    """That write to the store at once; 0: it is in memory."""
    seed: int = 0


@dataclass
class FakeWorker:
    """One on a seat; `ends` says when each of its concepts will be learned."""

    card: WorkerCard
    awake: bool = True
    alive: bool = True
    is_patient: bool = False
    """Found nothing, and asks again a little later."""
    request: int = 0
    beats: int = 0
    ends: dict[str, float] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    spoke: dict[str, float] = field(default_factory=dict)
    publishing: set[str] = field(default_factory=set)


class Clock:
    """Virtual seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class TimedQueue:
    """A queue whose calls are counted and timed; workers' calls are those that an actor would get."""

    def __init__(self, clock: Clock, hold_s: float = 0.0) -> None:
        self.queue = WorkQueue(clock, hold_s=hold_s)
        self.calls: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation, calls, seconds = getattr(self.queue, name), self.calls, self.seconds

        def timed(*arguments: Any) -> Any:
            begun = time.thread_time()
            found = operation(*arguments)
            seconds[name] += time.thread_time() - begun
            calls[name] += 1
            return found

        self.__dict__[name] = timed
        return timed


class Fleet:
    """Runs a job to its end."""

    def __init__(self, sizes: Sizes, store: ObjectStore) -> None:
        self.sizes, self.store = sizes, store
        self.registry, self.job_store = Registry(store), JobStore(store)
        self.clock, self.chance = Clock(), random.Random(sizes.seed)
        self.queue = TimedQueue(self.clock)
        self.done: set[str] = set()
        self.deaths: Counter[str] = Counter()
        self.resumed = 0
        self.refill_s: list[float] = []
        self._events_seen = 0
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = count()
        self._embedding = Embedding({"text_encoder": torch.randn(4, 768, generator=torch.Generator().manual_seed(0))})
        self._threads = ThreadPoolExecutor(sizes.threads) if sizes.threads else None
        self._under_way: dict[Future[Any], tuple[FakeWorker, str]] = {}

    def run(self) -> None:
        """Live until every concept of the filled queue is done."""
        for seat in range(self.sizes.workers):
            self._at(self.chance.uniform(0, BEAT_S), self._arrive, seat)
        parts = self.sizes.queue_deaths + 1
        queue_deaths = [self.sizes.concepts * part // parts for part in range(1, parts)]
        while len(self.done) < self.sizes.concepts:
            when, _, act, arguments = heapq.heappop(self._agenda)
            self.clock.now = max(self.clock.now, when)
            act(*arguments)
            self._collect()
            if queue_deaths and len(self.done) >= queue_deaths[0]:
                queue_deaths.pop(0)
                self._replace_queue()
        if self._threads is not None:
            self._threads.shutdown()

    def fill(self) -> None:
        """Tell the queue of the job, a sheet at a time, as a driver does."""
        begun = time.thread_time()
        self.queue.queue.open_job(JOB)
        for refs in _sheets(self.sizes.concepts):
            settled = {ref.fingerprint: "done" for ref in refs if ref.fingerprint in self.done}
            self.queue.queue.add(JOB, refs, settled)
        self.refill_s.append(time.thread_time() - begun)

    def _resume(self) -> None:
        """Ask again for concepts that were set aside, as `job resume` does: here workers die by chance alone."""
        view = self.queue.queue.view(self._events_seen)
        self._events_seen = view.num_events
        for event in view.events:
            if event.kind == "failed":
                self.resumed += 1
                number = int(event.fingerprint[:12], 16)
                place = divmod(number, SPECS_PER_SHEET)
                self.queue.queue.add(JOB, [SpecRef(event.fingerprint, event.name, *place)])

    def _replace_queue(self) -> None:
        """The queue's process dies; its successor hears from workers what they have."""
        calls, seconds = self.queue.calls, self.queue.seconds
        self.queue = TimedQueue(self.clock, LEASE_S / 2)
        self.queue.calls, self.queue.seconds = calls, seconds
        self._events_seen = 0
        self.fill()

    def _at(self, when: float, act: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._agenda, (when, next(self._numbers), act, arguments))

    # A worker's life.

    def _arrive(self, seat: int) -> None:
        number = next(self._numbers)
        worker = FakeWorker(WorkerCard(f"crew/{seat}-{number}", "crew", seat))
        self._at(self.clock.now + self.chance.expovariate(1 / self.sizes.worker_life_s), self._die, worker)
        self._beat(worker)
        self._resume()
        self._ask(worker)

    def _ask(self, worker: FakeWorker) -> None:
        while worker.alive and worker.awake and not worker.is_patient and len(worker.ends) < self.sizes.slots:
            reply: TakeReply = self.queue.take(worker.card, worker.request)
            worker.request += 1
            if reply.lease is None:
                worker.is_patient = True
                self._at(self.clock.now + max(reply.wait_s, BEAT_S / 10), self._ask_again, worker)
                return
            self._begin(worker, reply.lease)

    def _ask_again(self, worker: FakeWorker) -> None:
        worker.is_patient = False
        self._ask(worker)

    def _begin(self, worker: FakeWorker, lease: Lease) -> None:
        saved = self.job_store.checkpoint(lease.fingerprint)
        part_done = json.loads(saved)["part"] if saved else 0.0
        takes_s = self.chance.uniform(0.5, 1.5) * self.sizes.training_s
        worker.begun[lease.fingerprint] = self.clock.now - part_done * takes_s
        worker.ends[lease.fingerprint] = end = self.clock.now + (1 - part_done) * takes_s
        self._report(worker, lease.fingerprint, "started")
        self._at(end, self._end, worker, lease.fingerprint, end)

    def _end(self, worker: FakeWorker, fingerprint: str, end: float) -> None:
        if not worker.alive or worker.ends.get(fingerprint) != end:
            return
        if not worker.awake:
            self._at(self.clock.now + BEAT_S, self._end, worker, fingerprint, end)
            return
        del worker.ends[fingerprint], worker.begun[fingerprint], worker.spoke[fingerprint]
        worker.publishing.add(fingerprint)
        self._deliver(worker, fingerprint)
        self._ask(worker)

    def _beat(self, worker: FakeWorker) -> None:
        if not worker.alive:
            return
        if worker.awake:
            worker.beats += 1
            reply: BeatReply = self.queue.beat(worker.card, (*worker.ends, *worker.publishing))
            for fingerprint in reply.lost:
                worker.ends.pop(fingerprint, None)
                worker.begun.pop(fingerprint, None)
            for fingerprint in worker.ends:
                if self.clock.now - worker.spoke.get(fingerprint, 0.0) >= reply.report_every_s:
                    self._report(worker, fingerprint, "training")
                if worker.beats % BEATS_PER_CHECKPOINT == 0:
                    body = b'{"part": %.6f, "rows": "%s"}' % (self._part(worker, fingerprint), _ROWS)
                    self.job_store.write_checkpoint(fingerprint, body)
            if reply.lost:
                self._ask(worker)
        self._at(self.clock.now + BEAT_S, self._beat, worker)

    def _die(self, worker: FakeWorker) -> None:
        kind = self.chance.choice(("reseated", "expired", "slept"))
        self.deaths[kind] += 1
        if kind == "slept":
            worker.awake = False
            self._at(self.clock.now + 3 * LEASE_S, self._wake, worker)
            return
        worker.alive = False
        pause_s = RESEATED_S if kind == "reseated" else RESTARTED_S
        self._at(self.clock.now + pause_s, self._arrive, worker.card.seat)

    def _wake(self, worker: FakeWorker) -> None:
        worker.awake = True
        self._resume()
        self._at(self.clock.now + self.chance.expovariate(1 / self.sizes.worker_life_s), self._die, worker)
        self._ask(worker)

    def _part(self, worker: FakeWorker, fingerprint: str) -> float:
        begun, end = worker.begun[fingerprint], worker.ends[fingerprint]
        return min(1.0, (self.clock.now - begun) / (end - begun))

    def _report(self, worker: FakeWorker, fingerprint: str, state: str) -> None:
        step = round(MAX_STEPS * self._part(worker, fingerprint))
        report = StepReport(step, MAX_STEPS, 0.1, 4 * step, self.clock.now - worker.begun[fingerprint], state)
        self.queue.report(worker.card.id, fingerprint, report)
        worker.spoke[fingerprint] = self.clock.now

    # Results.

    def _deliver(self, worker: FakeWorker, fingerprint: str) -> None:
        number = int(fingerprint[:12], 16)
        if number % self.sizes.publish_one_in:
            self._finished(worker, fingerprint, 1)
        elif self._threads is None:
            self._finished(worker, fingerprint, self._publish(fingerprint, number))
        else:
            self._under_way[self._threads.submit(self._publish, fingerprint, number)] = (worker, fingerprint)

    def _publish(self, fingerprint: str, number: int) -> int:
        found = self.registry.publish(
            f"concept-{number}",
            self._embedding,
            {"steps": MAX_STEPS, "trace": [[step, 0.1] for step in range(20)]},
            fingerprint=fingerprint,
            base_model="emoji",
            base_revision="r1",
        )
        return found.version

    def _collect(self) -> None:
        """Hear of publications that have ended; wait for one when too many are under way."""
        if not self._under_way:
            return
        full = len(self._under_way) >= 4 * self.sizes.threads
        ended = wait(self._under_way, return_when=FIRST_COMPLETED).done if full else set()
        for future in ended or [future for future in self._under_way if future.done()]:
            worker, fingerprint = self._under_way.pop(future)
            self._finished(worker, fingerprint, future.result())

    def _finished(self, worker: FakeWorker, fingerprint: str, version: int) -> None:
        worker.publishing.discard(fingerprint)
        self.queue.finish(worker.card.id, fingerprint, version)
        self.job_store.drop_checkpoint(fingerprint)
        self.done.add(fingerprint)


def fingerprint_of(number: int) -> str:
    """A fingerprint of a concept; the number is its beginning."""
    return f"{number:012x}{hashlib.sha256(str(number).encode()).hexdigest()[:52]}"


def _sheets(num_concepts: int) -> Iterator[list[SpecRef]]:
    for sheet, first in enumerate(range(0, num_concepts, SPECS_PER_SHEET)):
        numbers = range(first, min(first + SPECS_PER_SHEET, num_concepts))
        yield [SpecRef(fingerprint_of(number), f"concept-{number}", sheet, number - first) for number in numbers]
