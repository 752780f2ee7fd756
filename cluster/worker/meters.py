"""What training tells Prometheus, through the metrics port of the Ray that it runs on.

Owns names, units, tags, and who counts what: the driver counts what its queues say, a worker what it does itself, both
how long the store takes. Ray puts `ray_` before every name and gives each process series of its own, so there are no
names of concepts or jobs in the tags. `cluster/deploy/` has the dashboard and the alerts.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

from cluster.queue.views import QueueView
from textinv.errors import ObjectNotFoundError, StoreConflictError, StoreError
from textinv.store.protocol import BINARY, ObjectInfo, ObjectStore, StoredObject

COUNTERS = {
    "textinv_concepts_ended_total": ("Concepts that ended, by outcome", ("base", "outcome")),
    "textinv_leases_total": ("Specs that were handed to workers", ("base",)),
    "textinv_lease_expiries_total": ("Workers that fell silent until their leases expired", ("base",)),
    "textinv_worker_deaths_total": ("Workers that died, whoever noticed", ("base",)),
    "textinv_queue_restarts_total": ("Times that a queue's process was replaced", ("base",)),
    "textinv_repeated_passes_total": ("Sample passes made again after a death", ("base",)),
    "textinv_sample_passes_total": ("Samples through forward and backward", ("base",)),
    "textinv_store_failures_total": ("Store calls that failed, by error code", ("operation", "code")),
}
GAUGES = {
    "textinv_specs_waiting": ("Specs that no worker has: the queue's depth", ("base",)),
    "textinv_specs_leased": ("Specs that workers have", ("base",)),
    "textinv_workers": ("Workers that the queue hears of", ("base",)),
    "textinv_driver_lives": ("Whether a fleet has a driver, as its supervisor sees it: 1 or 0", ("fleet",)),
    "textinv_driver_started_seconds": ("When the driver started, in Unix time: a change is a restart", ()),
    "textinv_pack_concepts": ("Concepts in this worker's pack", ("base",)),
    "textinv_pack_slots": ("Slots of this worker's pack, as far as it has used them", ("base",)),
}
HISTOGRAMS = {"textinv_store_seconds": ("Seconds of a store call with its repetitions, by operation", ("operation",))}
STORE_BOUNDS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)


class Board(Protocol):
    """Where figures are shown."""

    def add(self, name: str, amount: float, **tags: str) -> None:
        """Let a counter grow."""
        ...

    def set(self, name: str, value: float, **tags: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: str, value: float, **tags: str) -> None:
        """Put a value into a histogram."""
        ...


class NoBoard:
    """Shows nothing: for whatever runs without Ray."""

    def add(self, name: str, amount: float, **tags: str) -> None:
        """Do nothing."""

    def set(self, name: str, value: float, **tags: str) -> None:
        """Do nothing."""

    def observe(self, name: str, value: float, **tags: str) -> None:
        """Do nothing."""


class RayBoard:
    """Shows figures at the metrics port of this node's Ray."""

    def add(self, name: str, amount: float, **tags: str) -> None:
        """Let a counter grow."""
        if amount > 0:  # Ray refuses a growth of nothing
            _counter(name).inc(amount, tags=tags)

    def set(self, name: str, value: float, **tags: str) -> None:
        """Set a gauge."""
        _gauge(name).set(value, tags=tags)

    def observe(self, name: str, value: float, **tags: str) -> None:
        """Put a value into a histogram."""
        _histogram(name).observe(value, tags=tags)


class QueueMeters:
    """Counts what a queue says of itself from look to look; a queue that was replaced counts anew."""

    def __init__(self, board: Board, base: str) -> None:
        self._board, self._base = board, base
        self._before: QueueView | None = None

    def hear(self, view: QueueView) -> None:
        """Take in a look; its events are those that were not heard before."""
        board, base, before = self._board, self._base, self._before
        if before is not None and view.num_events < before.num_events:
            board.add("textinv_queue_restarts_total", 1, base=base)
            before = None
        for event in view.events:
            if event.kind == "leased":
                board.add("textinv_leases_total", 1, base=base)
            elif event.kind in ("done", "failed", "cancelled"):
                board.add("textinv_concepts_ended_total", 1, base=base, outcome=event.kind)
        for name, field in _GROWING.items():
            grown = getattr(view, field) - (getattr(before, field) if before is not None else 0)
            board.add(name, max(0, grown), base=base)
        board.set("textinv_specs_waiting", view.waiting, base=base)
        board.set("textinv_specs_leased", view.leased, base=base)
        board.set("textinv_workers", len(view.workers), base=base)
        self._before = view


_GROWING = {
    "textinv_lease_expiries_total": "expiries",
    "textinv_worker_deaths_total": "deaths",
    "textinv_repeated_passes_total": "repeated_passes",
}


class PackMeters:
    """Counts what a worker does: sample passes, and how full its pack is."""

    def __init__(self, board: Board, base: str) -> None:
        self._board, self._base = board, base
        self._passes: dict[str, int] = {}
        self._num_slots = 0

    def began(self, work_id: str, slot: int, passes: int) -> None:
        """A slot took a concept, with the sample passes that it had already."""
        self._passes[work_id] = passes
        self._num_slots = max(self._num_slots, slot + 1)
        self._show()

    def came_to(self, work_id: str, passes: int) -> None:
        """A concept has so many sample passes by now."""
        before = self._passes.get(work_id, passes)
        self._board.add("textinv_sample_passes_total", max(0, passes - before), base=self._base)
        self._passes[work_id] = passes

    def ended(self, work_id: str) -> None:
        """A concept has left the pack."""
        self._passes.pop(work_id, None)
        self._show()

    def _show(self) -> None:
        self._board.set("textinv_pack_concepts", len(self._passes), base=self._base)
        self._board.set("textinv_pack_slots", self._num_slots, base=self._base)


class TimedStore:
    """An object store whose calls are timed."""

    def __init__(self, store: ObjectStore, board: Board, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._board, self._clock = store, board, clock

    def get(self, key: str) -> StoredObject:
        """See `ObjectStore`."""
        with self._timed("get"):
            return self._store.get(key)

    def get_if_changed(self, key: str, etag: str) -> StoredObject | None:
        """See `ObjectStore`."""
        with self._timed("get_if_changed"):
            return self._store.get_if_changed(key, etag)

    def put(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        """See `ObjectStore`."""
        with self._timed("put"):
            return self._store.put(key, body, content_type)

    def create(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        """See `ObjectStore`."""
        with self._timed("create"):
            return self._store.create(key, body, content_type)

    def swap(self, key: str, body: bytes, etag: str, content_type: str = BINARY) -> str:
        """See `ObjectStore`."""
        with self._timed("swap"):
            return self._store.swap(key, body, etag, content_type)

    def exists(self, key: str) -> bool:
        """See `ObjectStore`."""
        with self._timed("exists"):
            return self._store.exists(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `ObjectStore`; pages come as they are asked for, so a listing is not timed."""
        return self._store.list(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        """See `ObjectStore`."""
        with self._timed("delete"):
            self._store.delete(keys)

    def presign(self, key: str, expires_s: int, content_type: str | None = None, filename: str | None = None) -> str:
        """See `ObjectStore`; the store itself is not asked."""
        return self._store.presign(key, expires_s, content_type, filename)

    @contextmanager
    def _timed(self, operation: str) -> Iterator[None]:
        started = self._clock()
        try:
            yield
        except (ObjectNotFoundError, StoreConflictError):
            raise  # answers, not failures
        except StoreError as error:
            self._board.add("textinv_store_failures_total", 1, operation=operation, code=error.code)
            raise
        finally:
            self._board.observe("textinv_store_seconds", self._clock() - started, operation=operation)


@lru_cache
def _counter(name: str) -> Any:
    from ray.util.metrics import Counter

    text, tags = COUNTERS[name]
    return Counter(name, text, tag_keys=tags)


@lru_cache
def _gauge(name: str) -> Any:
    from ray.util.metrics import Gauge

    text, tags = GAUGES[name]
    return Gauge(name, text, tag_keys=tags)


@lru_cache
def _histogram(name: str) -> Any:
    from ray.util.metrics import Histogram

    text, tags = HISTOGRAMS[name]
    return Histogram(name, text, boundaries=list(STORE_BOUNDS_S), tag_keys=tags)
