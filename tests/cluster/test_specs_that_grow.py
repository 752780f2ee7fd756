"""Specs get fields over the years: what does not need them stays as it was, and what does waits for a newer worker."""

import gzip
import json
from collections.abc import Callable

import pytest

from cluster.queue.messages import WorkerCard
from cluster.worker.leases import Leases
from tests.cluster.shared_queue import SharedQueue, told
from textinv.errors import CorruptObjectError, NewerProgramError
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.layout import spec_sheet_key
from textinv.jobs.record import read_spec_sheet
from textinv.registry import Registry
from textinv.spec import TrainSpec, read_spec

MakeJob = Callable[..., JobRecord]
CARD = WorkerCard("crew/0", "crew", 0)


def grown(spec: TrainSpec) -> bytes:
    """The spec as a newer program writes it, with a field of its own."""
    return json.dumps({**spec.model_dump(mode="json"), "colour_space": "linear"}).encode()


def test_a_field_at_its_default_is_neither_written_nor_in_the_fingerprint(
    registry: Registry, make_job: MakeJob
) -> None:
    (spec,) = JobStore(registry.store).spec_sheet(make_job(registry.store, 1).id, 0)
    assert "start_digest" not in spec.model_dump(mode="json")
    assert "start_digest" not in json.loads(spec.model_dump_json())
    assert TrainSpec.model_validate_json(spec.model_dump_json()) == spec


def test_what_the_rows_start_from_is_pinned_by_the_fingerprint(registry: Registry, make_job: MakeJob) -> None:
    (spec,) = JobStore(registry.store).spec_sheet(make_job(registry.store, 1).id, 0)
    started = [spec.model_copy(update={"start_digest": digest}) for digest in ("a" * 64, "b" * 64)]
    assert len({one.fingerprint for one in (spec, *started)}) == 3
    assert TrainSpec.model_validate_json(started[0].model_dump_json()) == started[0]


def test_a_spec_with_an_unknown_field_needs_a_newer_program_and_one_that_is_none_is_corrupt(
    registry: Registry, make_job: MakeJob
) -> None:
    (spec,) = JobStore(registry.store).spec_sheet(make_job(registry.store, 1).id, 0)
    with pytest.raises(NewerProgramError, match=r"'colour_space'.* needs a newer worker"):
        read_spec("jobs/a/specs/00000.gz", grown(spec))
    with pytest.raises(NewerProgramError):
        read_spec_sheet("jobs/a/specs/00000.gz", gzip.compress(grown(spec)))
    with pytest.raises(CorruptObjectError, match="submit the manifest again"):
        read_spec("jobs/a/specs/00000.gz", b'{"name": "fox"}')


def test_a_worker_hands_back_what_it_does_not_know_and_learns_its_neighbour(
    registry: Registry, make_job: MakeJob
) -> None:
    record = make_job(registry.store, 2)
    job_store, queue = JobStore(registry.store), told(registry, record, SharedQueue())
    newer, known = job_store.spec_sheet(record.id, 0)
    lines = b"\n".join([grown(newer), known.model_dump_json().encode()])
    registry.store.put(spec_sheet_key(record.id, 0), gzip.compress(lines))
    with Leases(queue, job_store, CARD, beat_s=60.0, wait=lambda seconds: None) as work:
        taken = work.take()
        assert taken is not None
        assert taken.spec == known
    (returned,) = [event for event in queue.view().events if event.kind == "returned"]
    assert returned.name == newer.name
    assert "needs_newer_worker" in returned.text
    assert queue.view().jobs[0].counts["waiting"] == 1
