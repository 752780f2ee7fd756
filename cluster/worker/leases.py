"""Specs for a pack, leased from the queue and fetched from the store.

Owns the worker's leases: taking them and fetching what they need from the store beside training, renewing them in a
thread, and knowing which the worker must drop. A guess is kept aside until nothing else is held. What the worker's
place is to blame for goes back, and the worker pauses. Does not train.
"""

import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

from cluster.queue.messages import BeatReply, Lease, WorkerCard
from cluster.queue.on_ray import QueueForWorkers
from cluster.worker.place import Place, is_of_the_place
from cluster.worker.prefetch import Prefetch
from textinv.errors import CancelledError, ClusterError, TextinvError
from textinv.guess.guess import start_of
from textinv.jobs import JobStore
from textinv.jobs.layout import spec_sheet_key
from textinv.plan.sources import fetch_pictures
from textinv.registry.guesses import check_usable, load_guess
from textinv.spec import image_key, read_spec
from textinv.threads import vital
from textinv.training import Work


class Leases:
    """A `WorkSource` whose work comes from a queue and a store."""

    def __init__(
        self,
        queue: QueueForWorkers,
        job_store: JobStore,
        card: WorkerCard,
        *,
        beat_s: float,
        wait: Callable[[float], object] | None = None,
        place: Place | None = None,
        encoders: Sequence[Path] = (),
    ) -> None:
        """`encoders` are the folders that a guess may see pictures through."""
        self._queue, self._job_store, self._card = queue, job_store, card
        self._beat_s = beat_s
        self._held: dict[str, str] = {}
        """The job of each lease, by fingerprint."""
        self._guess: Lease | None = None
        """A guess that waits until nothing else is held."""
        self._last_beat = BeatReply()
        self._request = 0
        self._dismissed = self._more = False
        self._not_before = 0.0
        self._ending, self._over = threading.Event(), threading.Event()
        self._wait = wait or self._ending.wait
        self._lines = lru_cache(maxsize=8)(job_store.spec_lines)
        self._guesses = lru_cache(maxsize=2)(partial(load_guess, job_store.store))
        self._encoders = encoders
        self._place = place or Place()
        self._asking, self._speaking = threading.Lock(), threading.Lock()
        self._prefetch = Prefetch(self._lease_and_fetch)
        self._beats = vital(self._keep_beating, "textinv-beat")

    def __enter__(self) -> "Leases":
        self._last_beat = self._queue.beat(self._card, ())
        self._beats.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._over.set()
        self._beats.join(self._beat_s + 1.0)

    def rest(self, seconds: float) -> None:
        """Let time pass while heartbeats go on; no longer than until this worker is dismissed."""
        until = time.monotonic() + seconds
        while not self.is_dismissed and (left := until - time.monotonic()) > 0:
            self._wait(min(left, self._beat_s))

    def end(self) -> None:
        """Take nothing any more, so that what is held from now on is all that there is to hand back."""
        with self._asking:
            self._ending.set()

    @property
    def finished(self) -> bool:
        """Whether the queue has let this worker go."""
        return self._dismissed and not self._prefetch.is_under_way

    @property
    def held(self) -> frozenset[str]:
        """Fingerprints of what is leased."""
        return frozenset(self._held)

    def job_of(self, fingerprint: str) -> str | None:
        """The job for which something is leased; None when it is not."""
        return self._held.get(fingerprint)

    @property
    def is_dismissed(self) -> bool:
        """Whether the worker shall hand back what it has."""
        return self._last_beat.dismissed

    @property
    def others_wait(self) -> bool:
        """Whether there is work that nobody has."""
        return self._last_beat.others_wait

    @property
    def guess_is_due(self) -> bool:
        """Whether there is a guess to train, and nothing else is held."""
        return self._guess is not None and self.held == {self._guess.fingerprint}

    def take_guess(self) -> Lease | None:
        """The guess that is due; given once."""
        guess, self._guess = (self._guess, None) if self.guess_is_due else (None, self._guess)
        return guess

    def take(self) -> Work | None:
        """What was leased and fetched; None while that is under way, and when there is nothing.

        As long as plenty waits, the next is fetched before there is room for it.
        """
        if not self._dismissed and time.monotonic() >= self._not_before:
            self._prefetch.begin()
        work = self._prefetch.take()
        if work is not None and self._more:
            self._prefetch.begin()
        return work

    def _lease_and_fetch(self) -> Work | None:
        """Lease the next spec and fetch its pictures and checkpoint; what cannot be fetched is reported and passed."""
        while time.monotonic() >= self._not_before and (lease := self._lease()) is not None:
            if lease.is_guess:
                self._guess = lease
                continue  # as long as it is held, the queue hands out nothing else
            try:
                return self._place.patiently(partial(self._fetch, lease), self._wait, self._ending.is_set)
            except TextinvError as error:
                self._turn_back(lease, error)
        return None

    def _lease(self) -> Lease | None:
        with self._asking:
            if self._ending.is_set() or self._dismissed:
                return None
            reply = self._queue.take(self._card, self._request)
            self._request += 1
            self._dismissed, self._more = reply.dismissed, reply.more
            self._not_before = time.monotonic() + reply.wait_s
            if reply.lease is not None:
                self._held[reply.lease.fingerprint] = reply.lease.job_id
            return reply.lease

    def _turn_back(self, lease: Lease, error: TextinvError) -> None:
        self.give_up(lease.fingerprint, error)
        if is_of_the_place(error):
            self._not_before = time.monotonic() + self._place.pause_s

    def release(self, fingerprint: str) -> None:
        """Stop renewing a lease that has ended."""
        self._held.pop(fingerprint, None)

    # No heartbeat may be on its way while the queue hears that something is not held any more: it would take it again,
    # for a worker that does not have it. Nor may work be asked for: it may be the same, and would be released here.

    def hand_back(self, fingerprint: str) -> None:
        """Let others have what is not to be finished here, if it still is this worker's."""
        with self._asking, self._speaking:
            self._queue.hand_back(self._card.id, [fingerprint])
            self.release(fingerprint)

    def give_up(self, fingerprint: str, error: TextinvError) -> bool:
        """Tell the queue why something could not be learned; whether it is given up for good.

        What the worker's place is to blame for is handed back.
        """
        if is_of_the_place(error):
            self.hand_back(fingerprint)
            return False
        with self._asking, self._speaking:
            is_final = self._queue.fail(self._card.id, fingerprint, error.code, error.message)
            self.release(fingerprint)
            return is_final

    def leave(self, reason: str | None = None) -> None:
        """Let the queue have back what is held, and beat no more; with a reason, the worker is dying of what it had."""
        with self._speaking:
            self._over.set()
            self._queue.leave(self._card.id, reason)

    def check(self, fingerprint: str) -> None:
        """See whether a concept is still this worker's to train.

        Raises:
            CancelledError: it is not.
        """
        if fingerprint in self._last_beat.lost:
            raise CancelledError("the lease was lost to another worker", lost=True)
        if fingerprint in self._last_beat.cancelled:
            raise CancelledError("the concept was cancelled", keep_rows=self._last_beat.keep_rows)

    def _fetch(self, lease: Lease) -> Work:
        line = self._lines(lease.job_id, lease.sheet)[lease.place]
        spec = read_spec(spec_sheet_key(lease.job_id, lease.sheet), line)
        pictures = fetch_pictures(spec, lambda digest: self._job_store.store.get(image_key(digest)).body)
        checkpoint = self._job_store.checkpoint(lease.fingerprint)
        if spec.start_digest is not None and checkpoint is None:  # what has begun goes on
            check_usable(self._job_store.store, self._guesses(spec.start_digest))
        start = start_of(spec, pictures, self._guesses, self._encoders)
        return Work(spec, pictures, checkpoint, work_id=lease.fingerprint, start=start)

    def _keep_beating(self) -> None:
        while not self._over.wait(self._beat_s):
            try:
                with self._speaking:
                    if self._over.is_set():
                        return
                    self._last_beat = self._queue.beat(self._card, self.held, self._place.trouble)
            except ClusterError:
                continue  # the queue is being restarted, or the cluster is going down: both show soon enough
