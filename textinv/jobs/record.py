"""What a job is: an immutable list of specs under an id that follows from them, and a few facts around it.

Owns the JSON of job records, cancellations, failures and deaths, and the bytes of spec sheets. Lenient when reading.
What went well is in the registry.
"""

import gzip
import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from textinv.errors import CorruptObjectError
from textinv.jobs.layout import SPECS_PER_SHEET
from textinv.spec import TrainSpec, read_spec
from textinv.states import MAX_PRIORITY

Priority = Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)]


class Stored(BaseModel):
    """Plain JSON in the store; unknown fields are ignored, so that an older program can read a newer one's."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def body(self) -> bytes:
        """Write it as JSON; equal values give equal bytes."""
        return self.model_dump_json().encode()


class JobRecord(Stored):
    """A submitted manifest."""

    id: str
    name: str
    submitted: str
    """When it was last submitted or resumed: ISO 8601, UTC, by the submitter's clock."""
    generation: int = 1
    """Grows with every submission, resumption and cancellation."""
    priority: Priority = 0
    """Jobs of higher priority are served first; those of equal priority share."""
    fleet: str = ""
    """Whose drivers serve it."""
    base_model: str
    """Where a worker finds the base model."""
    revision: str | None = None
    base_revision: str
    num_concepts: int
    num_sheets: int
    gate: Literal["off", "warn", "on"] = "on"
    """Whether a version whose scores have fallen is not looked for, told, or held back."""
    name_prefix: str = ""
    """What the names of all its concepts start with: says who may see it. Empty in records of older programs."""
    kind: Literal["concepts", "guess"] = "concepts"
    """Whether it learns concepts, or trains a guess: then it has no specs but an order, which counts as one."""


class Cancellation(Stored):
    """What of a job is not wanted any more: all of it, or some concepts."""

    names: tuple[str, ...] | None = None
    keep_rows: bool = False
    """Whether rows that were learned so far are published."""

    def beside(self, before: bytes | None) -> "Cancellation":
        """This one and the one that was stored before it, together."""
        if before is None:
            return self
        old = Cancellation.model_validate_json(before)
        names = None if self.names is None or old.names is None else tuple(dict.fromkeys((*old.names, *self.names)))
        return Cancellation(names=names, keep_rows=self.keep_rows or old.keep_rows)

    def covers(self, name: str) -> bool:
        """Whether a concept is cancelled."""
        return self.names is None or name in self.names


class Failure(Stored):
    """A spec that was given up; submitting or resuming its job tries it again."""

    fingerprint: str
    name: str
    code: str
    message: str
    evidence: tuple[dict[str, Any], ...] = ()
    """Workers that died while they had it, with what was known of each."""
    record: dict[str, Any] = Field(default_factory=dict)
    """What training knew of it."""


class Deaths(Stored):
    """Workers that died while they had a spec, with what was known of each."""

    evidence: tuple[dict[str, Any], ...]


def now() -> str:
    """The time by this machine's clock, as records hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def job_id(name: str, identities: Iterable[tuple[str, str]]) -> str:
    """The id of a job from its name and the (name, fingerprint) of its specs: the same manifest is the same job."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "job"
    digest = hashlib.sha256("\n".join(sorted(" ".join(identity) for identity in identities)).encode()).hexdigest()
    return f"{slug}-{digest[:10]}"


def spec_sheets_of(specs: Sequence[TrainSpec]) -> list[bytes]:
    """Pack specs into sheets; equal specs give equal bytes."""
    lines = [spec.model_dump_json().encode() for spec in specs]
    parts = [lines[start : start + SPECS_PER_SHEET] for start in range(0, len(lines), SPECS_PER_SHEET)]
    return [gzip.compress(b"\n".join(part), compresslevel=6, mtime=0) for part in parts]


def read_spec_sheet(key: str, body: bytes) -> list[TrainSpec]:
    """Unpack a sheet.

    Raises:
        NewerProgramError: a spec in it has a field that this program does not know.
        CorruptObjectError: it is not one.
    """
    return [read_spec(key, line) for line in spec_lines(key, body)]


def spec_lines(key: str, body: bytes) -> list[bytes]:
    """The specs of a sheet as they are written, so that one that cannot be read leaves the others readable.

    Raises:
        CorruptObjectError: it is no sheet.
    """
    try:
        return gzip.decompress(body).split(b"\n")
    except (OSError, EOFError) as error:
        raise CorruptObjectError(
            f"{key} is not a sheet of specs ({error}): submit the manifest again", key=key
        ) from error
