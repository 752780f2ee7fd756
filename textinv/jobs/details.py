"""A job's concepts one by one, as people and programs are told of them.

Owns putting together what the status, the registry, stored failures and checkpoints say of a concept: the registry
is right about what is done, the status about what runs. Reads as little as the question needs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from textinv.errors import CorruptObjectError, UnknownConceptError
from textinv.jobs.job_store import JobStore
from textinv.jobs.previews import preview_steps
from textinv.jobs.record import Failure, JobRecord
from textinv.jobs.status import ConceptStatus, JobStatus
from textinv.placeholders import ConceptRef
from textinv.plan.published import finished_among, finished_versions
from textinv.spec import TrainSpec

if TYPE_CHECKING:
    from textinv.registry import Registry

Curve = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class ConceptDetail:
    """A concept of a job: its spec, how far it is, and what became of it."""

    spec: TrainSpec
    status: ConceptStatus
    failure: Failure | None = None
    record: Mapping[str, Any] | None = None
    """The training record of its version, where it was asked for."""


def concept_details(
    job_store: JobStore, registry: "Registry", status: JobStatus, specs: Sequence[TrainSpec]
) -> list[ConceptDetail]:
    """How these concepts of a job are; the registry is asked about those that the status does not name."""
    return list(_with_failures(job_store, status.job_id, _known(registry, status, specs), status.ended))


def _known(registry: "Registry", status: JobStatus, specs: Sequence[TrainSpec]) -> list[ConceptDetail]:
    known = {one.fingerprint: one for one in status.concepts}
    fingerprints = {spec.fingerprint: spec for spec in specs}
    versions = finished_versions([one for one in fingerprints if one not in known], registry)
    found = []
    for fingerprint, spec in fingerprints.items():
        one = known.get(fingerprint) or _unseen(spec, fingerprint, status)
        if fingerprint in versions:
            one = one.model_copy(update={"state": "done", "version": versions[fingerprint]})
        found.append(ConceptDetail(spec, one))
    return found


def all_concepts(
    job_store: JobStore, registry: "Registry", status: JobStatus, record: JobRecord
) -> list[ConceptDetail]:
    """All concepts of a job, however many: of a large one lists are asked for, so versions may be left open."""
    known = {one.fingerprint: one for one in status.concepts}
    specs = {spec.fingerprint: spec for spec in job_store.specs(record)}
    done, failed = finished_among(list(specs), registry), job_store.failed_fingerprints(record.id)
    found = []
    for fingerprint, spec in specs.items():
        one, failure = known.get(fingerprint) or _unseen(spec, fingerprint, status), None
        if fingerprint in done:
            one = one.model_copy(update={"state": "done"})
        elif fingerprint in failed:
            failure = job_store.failure(record.id, fingerprint)
            problem = f"{failure.code}: {failure.message}" if failure else None
            one = one.model_copy(update={"state": "failed", "problem": problem})
        found.append(ConceptDetail(spec, one, failure))
    return found


def concept_detail(job_store: JobStore, registry: "Registry", status: JobStatus, spec: TrainSpec) -> ConceptDetail:
    """All that is known of one concept of a job: its whole curve, its previews, its record."""
    (detail,) = _with_failures(job_store, status.job_id, _known(registry, status, [spec]), True)
    one, fingerprint = detail.status, spec.fingerprint
    record = _record(registry, spec, one)
    curve, counters = one.curve, record
    if record is None:
        record_of_failure = detail.failure.record if detail.failure else {}
        curve = max(one.curve, curve_of(record_of_failure), _checkpointed(job_store, fingerprint), key=len)
    else:
        curve = curve_of(record)
    changes: dict[str, Any] = {"curve": curve, "previews": tuple(preview_steps(job_store.store, fingerprint))}
    if counters is not None:
        last = curve[-1][1] if curve else one.loss
        changes |= {
            "step": counters.get("steps", one.step),
            "max_steps": spec.max_steps,
            "loss": last,
            "sample_passes": counters.get("sample_passes", one.sample_passes),
            "elapsed_s": counters.get("seconds", one.elapsed_s),
            "stopped": counters.get("stopped", one.stopped),
        }
    return replace(detail, status=one.model_copy(update=changes), record=record)


def curve_of(record: Mapping[str, Any]) -> Curve:
    """The looks at the fixed batch that a training record holds."""
    return tuple(
        (int(seen["step"]), float(seen["loss"])) for seen in record.get("trace", ()) if seen["loss"] is not None
    )


def _unseen(spec: TrainSpec, fingerprint: str, status: JobStatus) -> ConceptStatus:
    """A concept that the status does not name: it waits, or the job ended without it."""
    state = "cancelled" if status.state == "cancelled" else "waiting"
    return ConceptStatus(name=spec.name, fingerprint=fingerprint, state=state, max_steps=spec.max_steps)  # type: ignore[arg-type]


def _with_failures(
    job_store: JobStore, job_id: str, details: Iterable[ConceptDetail], is_over: bool
) -> Iterable[ConceptDetail]:
    for detail in details:
        status = detail.status
        if status.state == "failed" or (status.state == "waiting" and is_over):
            failure = job_store.failure(job_id, status.fingerprint)
            if failure is not None:
                problem = f"{failure.code}: {failure.message}"
                status = status.model_copy(update={"state": "failed", "problem": problem})
            detail = replace(detail, status=status, failure=failure)
        yield detail


def _record(registry: "Registry", spec: TrainSpec, status: ConceptStatus) -> Mapping[str, Any] | None:
    if status.state != "done" or status.version is None:
        return None
    try:
        return registry.resolve(ConceptRef(spec.name, status.version)).record
    except UnknownConceptError:
        return None  # removed since


def _checkpointed(job_store: JobStore, fingerprint: str) -> Curve:
    """The curve of a concept in training, from its last checkpoint."""
    from textinv.training.checkpoint import Checkpoint  # torch: only here

    data = job_store.checkpoint(fingerprint)
    if data is None:
        return ()
    try:
        return curve_of({"trace": Checkpoint.from_bytes(data).counters["history"]})
    except (CorruptObjectError, KeyError):
        return ()
