"""A job's story: what was asked, which pictures were shown, how the loss went and what came of it.

Owns reading it from the store: specs from the job store, results from the registry, pictures by digest. What is
gone (purged pictures) or not there yet is left out. Does not know how it is told.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from textinv.errors import InputError, ObjectNotFoundError, TextinvError
from textinv.images import as_trained
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.details import ConceptDetail, concept_detail
from textinv.jobs.previews import read_preview
from textinv.plan.sources import fetch_pictures
from textinv.registry import Registry
from textinv.spec import TrainSpec, image_key
from textinv.store.protocol import ObjectStore

MAX_CONCEPTS = 200
"""A page of more concepts than that would be too large to open."""
MAX_PREVIEWS = 12
"""Of one concept; more would say no more."""


@dataclass(frozen=True)
class ConceptStory:
    """One concept of a job."""

    detail: ConceptDetail
    """How far it is and what became of it, with its whole curve."""
    pictures: tuple[bytes, ...] = ()
    """The training pictures as they were trained, PNG."""
    previews: tuple[tuple[int, bytes], ...] = ()
    """(step, JPEG) of pictures that were drawn while it learned."""

    @property
    def spec(self) -> TrainSpec:
        """What was asked."""
        return self.detail.spec

    @property
    def record(self) -> Mapping[str, Any]:
        """The training record of what was published, else what is known of a failure; empty where there is neither."""
        failure = self.detail.failure
        return self.detail.record or (failure.record if failure else {})

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """How good the record says it is; empty where it was not evaluated."""
        return dict(self.record.get("evaluation") or {})

    @property
    def scores(self) -> Mapping[str, Any]:
        """The evaluation by its first encoder."""
        return dict((self.evaluation.get("encoders") or [{}])[0])

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """(step, loss on the fixed batch)."""
        return self.detail.status.curve


@dataclass(frozen=True)
class JobStory:
    """A job with its concepts; `left_out` counts those beyond `MAX_CONCEPTS`."""

    job: JobRecord
    concepts: tuple[ConceptStory, ...]
    left_out: int = 0


def tell(store: ObjectStore, job_id: str, max_concepts: int = MAX_CONCEPTS) -> JobStory:
    """Gather a job's story.

    Raises:
        UnknownConceptError: there is no such job.
        InputError: it learns no concepts.
    """
    job_store, registry = JobStore(store), Registry(store)
    job = job_store.load(job_id)
    if job.kind == "guess":
        raise InputError(
            f"job {job_id} trains a guess, and a report tells of concepts: `textinv job show {job_id}` says how it "
            "went, `textinv guess show` what a guess is worth"
        )
    status = job_store.current_status(job)
    specs = list(islice(job_store.specs(job), max_concepts))
    details = (concept_detail(job_store, registry, status, spec) for spec in specs)
    concepts = tuple(_concept(store, detail) for detail in details)
    return JobStory(job, concepts, job.num_concepts - len(concepts))


def _concept(store: ObjectStore, detail: ConceptDetail) -> ConceptStory:
    return ConceptStory(detail, _pictures(store, detail.spec), _previews(store, detail))


def _pictures(store: ObjectStore, spec: TrainSpec) -> tuple[bytes, ...]:
    try:
        pictures = fetch_pictures(spec, lambda digest: store.get(image_key(digest)).body)
    except ObjectNotFoundError:
        return ()  # purged, as people may ask
    except TextinvError:
        return ()  # damaged: `textinv job show` and the failure say so
    files = []
    for picture in pictures:
        file = io.BytesIO()
        as_trained(picture, spec.resolution_px, spec.crop, seed=spec.seed).save(file, "PNG")
        files.append(file.getvalue())
    return tuple(files)


def _previews(store: ObjectStore, detail: ConceptDetail) -> tuple[tuple[int, bytes], ...]:
    """At most `MAX_PREVIEWS`, spread over the steps, the first and the last among them."""
    steps = detail.status.previews
    if len(steps) > MAX_PREVIEWS:
        steps = tuple(steps[number * (len(steps) - 1) // (MAX_PREVIEWS - 1)] for number in range(MAX_PREVIEWS))
    drawn = ((step, read_preview(store, detail.spec.fingerprint, step)) for step in steps)
    return tuple((step, picture) for step, picture in drawn if picture is not None)
