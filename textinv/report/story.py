"""A job's story: what was asked, which pictures were shown, how the loss went and what came of it.

Owns reading it from the store: specs from the book of jobs, results from the registry, pictures by digest. What is
gone (purged pictures) or not there yet is left out. Does not know how it is told.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from textinv.errors import ObjectNotFoundError, TextinvError
from textinv.images import as_trained
from textinv.jobs import Failure, JobBook, JobRecord
from textinv.jobs.previews import preview_steps, read_preview
from textinv.placeholders import ConceptRef
from textinv.plan.fetch import fetch_pictures
from textinv.plan.sources import image_key
from textinv.plan.spec import TrainSpec
from textinv.registry import Registry
from textinv.store.protocol import ObjectStore

MAX_CONCEPTS = 200
"""A page of more concepts than that would be too large to open."""
MAX_PREVIEWS = 12
"""Of one concept; more would say no more."""


@dataclass(frozen=True)
class ConceptStory:
    """One concept of a job."""

    spec: TrainSpec
    state: str
    """`done`, `failed` or `not done`."""
    version: int | None = None
    record: Mapping[str, Any] | None = None
    """The training record of what was published, or what is known of a failure."""
    problem: str | None = None
    deaths: tuple[Mapping[str, Any], ...] = ()
    """Workers that died while they had it."""
    pictures: tuple[bytes, ...] = ()
    """The training pictures as they were trained, PNG."""
    previews: tuple[tuple[int, bytes], ...] = ()
    """(step, JPEG) of pictures that were drawn while it learned."""

    @property
    def curve(self) -> list[tuple[int, float]]:
        """(step, loss on the fixed batch); values that were not finite are left out."""
        trace = (self.record or {}).get("trace", [])
        return [(int(seen["step"]), float(seen["loss"])) for seen in trace if seen.get("loss") is not None]


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
    """
    book, registry = JobBook(store), Registry(store)
    job = book.load(job_id)
    specs = [spec for sheet in book.sheets(job) for spec in sheet][:max_concepts]
    concepts = tuple(_concept(book, registry, spec) for spec in specs)
    return JobStory(job, concepts, job.num_concepts - len(concepts))


def _concept(book: JobBook, registry: Registry, spec: TrainSpec) -> ConceptStory:
    pictures, previews = _pictures(book.store, spec), _previews(book.store, spec)
    finished = registry.finished(spec.fingerprint)
    if finished is not None:
        version = int(finished["version"])
        record = registry.resolve(ConceptRef(str(finished["name"]), version)).record
        return ConceptStory(spec, "done", version, record, pictures=pictures, previews=previews)
    failure = book.failure(spec.fingerprint)
    if failure is not None:
        problem, deaths = _sentence(failure), failure.evidence
        return ConceptStory(spec, "failed", None, failure.record, problem, deaths, pictures, previews)
    return ConceptStory(spec, "not done", pictures=pictures, previews=previews)


def _sentence(failure: Failure) -> str:
    deaths = f" ({len(failure.evidence)} workers died with it)" if failure.evidence else ""
    return f"{failure.message}{deaths}"


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


def _previews(store: ObjectStore, spec: TrainSpec) -> tuple[tuple[int, bytes], ...]:
    """At most `MAX_PREVIEWS`, spread over the steps, the first and the last among them."""
    steps = preview_steps(store, spec.fingerprint)
    if len(steps) > MAX_PREVIEWS:
        steps = [steps[number * (len(steps) - 1) // (MAX_PREVIEWS - 1)] for number in range(MAX_PREVIEWS)]
    drawn = ((step, read_preview(store, spec.fingerprint, step)) for step in steps)
    return tuple((step, picture) for step, picture in drawn if picture is not None)
