"""Previews that workers draw: they are there for whoever watches, and change nothing of what is learned."""

import io
from collections.abc import Callable

import pytest
import torch
from PIL import Image

from cluster.driver.open_jobs import OpenJob
from cluster.driver.reports import MAX_POINTS, Reports, Trace
from cluster.queue.messages import StepReport, WorkerCard
from cluster.queue.queue import WorkQueue
from cluster.worker.config import BaseModelRef, PackSettings
from cluster.worker.outbox import Outbox
from cluster.worker.previews import Previews
from cluster.worker.worker import learn_leased
from tests.cluster.shared_queue import LetsGo, told
from textinv.errors import ServiceError
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.previews import PREVIEW_FILE, preview_steps, read_preview
from textinv.jobs.record import spec_sheets_of
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.plan.estimate import MAX_PREVIEWS
from textinv.registry import PublishedVersion, Registry
from textinv.store.memory import MemoryStore
from textinv.training import Work

PACK = PackSettings(num_slots=2, lease_s=30.0, checkpoint_every_s=0.0)
MakeJob = Callable[..., JobRecord]


class Watched(LetsGo):
    """Dismisses a crew when all is settled, and lets a driver's reports look at every answer of the worker."""

    def __init__(self, look: Callable[[WorkQueue], object]) -> None:
        super().__init__()
        self._look = look

    def report(self, worker: str, fingerprint: str, report: StepReport) -> None:
        super().report(worker, fingerprint, report)
        self._look(self)


def learn(model: BaseModel, make_job: MakeJob, preview_every: int) -> tuple[Registry, JobRecord]:
    """Learn a job of one concept, reporting as a driver does."""
    registry = Registry(MemoryStore())
    job_store = JobStore(registry.store)
    record = make_job(registry.store, 1, max_steps=10)
    specs = [spec.model_copy(update={"preview_every": preview_every}) for spec in job_store.spec_sheet(record.id, 0)]
    registry.store.put(f"jobs/{record.id}/specs/00000.gz", spec_sheets_of(specs)[0])
    ticks = iter(range(10**6))
    reports = Reports(job_store, lambda: float(next(ticks)))
    job = OpenJob(record, "", BaseModelRef("emoji", None, record.base_revision))

    def look(queue: WorkQueue) -> None:
        view = queue.view()
        reports.write(job, view.jobs[0], view)

    queue = told(registry, record, Watched(look))
    learn_leased(lambda: model, queue, registry, WorkerCard("crew/0", "crew", 0), PACK)
    look(queue)
    return registry, record


def current(registry: Registry, name: str) -> PublishedVersion:
    return registry.resolve(ConceptRef(name, None))


@pytest.fixture(scope="module")
def both(model: BaseModel, make_job: MakeJob) -> tuple[tuple[Registry, JobRecord], tuple[Registry, JobRecord]]:
    """The same job learned with previews and without."""
    return learn(model, make_job, 5), learn(model, make_job, 0)


def test_drawing_previews_changes_nothing_of_what_is_learned(both) -> None:  # type: ignore[no-untyped-def]
    (with_previews, _), (without, _) = both
    drawn, plain = current(with_previews, "concept-0"), current(without, "concept-0")
    assert drawn.fingerprint == plain.fingerprint
    assert drawn.digest == plain.digest
    for encoder, rows in plain.embedding.rows.items():
        assert torch.equal(drawn.embedding.rows[encoder], rows)
    assert [seen["loss"] for seen in drawn.record["trace"]] == [seen["loss"] for seen in plain.record["trace"]]


def test_a_preview_every_so_many_steps_and_one_of_what_is_kept_lie_in_the_store(both) -> None:  # type: ignore[no-untyped-def]
    (registry, record), (without, _) = both
    (spec,) = JobStore(registry.store).spec_sheet(record.id, 0)
    assert preview_steps(registry.store, spec.fingerprint) == [5, 10]
    first, picture = (read_preview(registry.store, spec.fingerprint, step) for step in (5, 10))
    assert first is not None
    assert picture is not None
    assert first != picture
    assert Image.open(io.BytesIO(picture)).size == (32, 32)
    entry = registry.entry(spec.name, 1)
    assert registry.store.get(entry.artifacts[PREVIEW_FILE].key).body == picture
    assert entry.artifacts[PREVIEW_FILE].media_type == "image/jpeg"
    assert preview_steps(without.store, spec.fingerprint) == []
    assert PREVIEW_FILE not in without.entry("concept-0", 1).artifacts


def test_the_status_tells_the_curve_the_previews_and_why_it_stopped(both) -> None:  # type: ignore[no-untyped-def]
    (registry, record), _ = both
    status = JobStore(registry.store).status(record.id)
    assert status is not None
    for concept in status.concepts:
        trace = current(registry, concept.name).record["trace"]
        assert list(concept.curve) == [(seen["step"], seen["loss"]) for seen in trace]
        assert concept.previews == (5, 10)
        assert concept.stopped == "cap"


def test_a_preview_that_fails_or_is_one_too_many_costs_nothing_but_itself(both) -> None:  # type: ignore[no-untyped-def]
    (registry, record), _ = both
    spec = JobStore(registry.store).spec_sheet(record.id, 0)[0]
    work = Work(spec, [], work_id="work")
    embedding = current(registry, spec.name).embedding
    store, outbox = MemoryStore(), Outbox()
    answers = iter([ServiceError("no memory"), *[None] * 1000])

    def draw(*_: object) -> bytes:
        if (error := next(answers)) is not None:
            raise error
        return b"picture"

    previews = Previews(store, outbox, draw)
    for step in range(1, 200):
        previews.show(work, step, embedding)
    assert outbox.close()
    steps = preview_steps(store, "work")
    assert (steps[0], len(steps)) == (2, MAX_PREVIEWS - 2)
    assert previews.stored(work) == steps[-1]


def test_a_long_curve_is_thinned_out_and_a_resumed_one_goes_on_where_it_was() -> None:
    trace = Trace()
    for step in range(0, 5000, 5):
        trace.hear(StepReport(step, 5000, 1.0 / (step + 1), step, 1.0, "training", step // 500 * 500))
    assert len(trace.curve) <= MAX_POINTS
    assert (trace.curve[0][0], trace.curve[-1][0]) == (0, 4995)
    assert trace.previews == list(range(500, 5000, 500))
    trace.hear(StepReport(2000, 5000, 0.5, 2000, 1.0, "training"))
    assert trace.curve[-1] == (2000, 0.5)
    assert all(step < 2000 for step, _ in trace.curve[:-1])
