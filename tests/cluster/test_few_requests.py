"""What one concept costs in a store that knows many: nothing that others left there is listed for its sake."""

from collections.abc import Callable, Iterator

import pytest
import torch

from cluster.queue.queue import WorkQueue
from tests.cluster.shared_queue import told
from textinv.embedding import Embedding
from textinv.jobs import Failure, JobRecord, JobStore
from textinv.jobs.record import Deaths
from textinv.registry import Registry
from textinv.store.memory import MemoryStore
from textinv.store.protocol import ObjectInfo

MakeJob = Callable[..., JobRecord]
NUM_OTHERS = 2000


class CountingStore(MemoryStore):
    """Knows what was listed, and how many objects each listing went through."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: dict[str, int] = {}

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """List objects, counting them."""
        for info in super().list(prefix):
            self.listed[prefix] = self.listed.get(prefix, 0) + 1
            yield info


@pytest.fixture
def full() -> CountingStore:
    """A store in which thousands of specs were finished, given up, or died with."""
    store = CountingStore()
    job_store = JobStore(store)
    for number in range(NUM_OTHERS):
        fingerprint = f"{number:064d}"
        store.put(f"done/{fingerprint}.json", b"{}")
        job_store.write_failure(
            f"job-{number % 9}", Failure(fingerprint=fingerprint, name="x", code="diverged", message="nan")
        )
        job_store.write_deaths(f"job-{number % 9}", fingerprint, Deaths(evidence=()))
    return store


def test_submitting_resuming_and_serving_one_concept_lists_nothing_of_others(
    full: CountingStore, make_job: MakeJob
) -> None:
    registry, job_store, queue = Registry(full), JobStore(full), WorkQueue()
    full.listed.clear()
    record = make_job(full, 1)
    job_store.resume(record.id)
    told(registry, record, queue)
    assert queue.view().jobs[0].counts["waiting"] == 1
    assert sum(full.listed.values()) <= 5, full.listed


def test_what_of_a_job_is_done_failed_or_suspected_is_seen_in_that_job_alone(
    full: CountingStore, make_job: MakeJob
) -> None:
    registry, job_store, queue = Registry(full), JobStore(full), WorkQueue()
    record, other = make_job(full, 3), make_job(full, 3, name="other")
    done, failed, suspected = job_store.spec_sheet(record.id, 0)
    registry.publish(
        done.name,
        Embedding({"text_encoder": torch.ones(1, 4)}),
        {},
        fingerprint=done.fingerprint,
        base_model="emoji",
        base_revision=done.base_revision,
    )
    job_store.write_failure(
        record.id, Failure(fingerprint=failed.fingerprint, name=failed.name, code="diverged", message="nan")
    )
    job_store.write_deaths(record.id, suspected.fingerprint, Deaths(evidence=()))
    assert job_store.failed_fingerprints(record.id) == {failed.fingerprint}
    assert job_store.died_fingerprints(record.id) == {suspected.fingerprint}
    assert job_store.failed_fingerprints(other.id) == job_store.died_fingerprints(other.id) == set()
    told(registry, record, queue)
    counts = queue.view().jobs[0].counts
    assert (counts["done"], counts["failed"], counts["waiting"]) == (1, 1, 1)
    job_store.forget_misfortune(record)
    assert job_store.failed_fingerprints(record.id) == set()
