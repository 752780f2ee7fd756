"""One unit of training, complete and immutable: what a worker needs to know to learn a concept.

Owns the types of a spec, the words that manifests and specs share, and the fingerprint. Everything is filled in: no
default is left to whoever trains. Plain JSON in and out. Does not know manifests (what a person wrote), recipes, or how
training is done.
"""

import hashlib
import json
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from textinv.errors import CorruptObjectError, NewerProgramError, in_a_line

Crop = Literal["center", "random", "fit"]
Kind = Literal["object", "style"]
Method = Literal["sphere", "adamw"]
Schedule = Literal["constant", "linear", "cosine"]
StopRule = Literal["dvar", "fixed"]
RowPlace = Literal["input", "output"]

OUTPUT = "_out"
"""Behind the name of a text encoder: its rows that are written into what it says, not into what it reads."""

OBJECTIVE_VERSION = 2
"""Part of every fingerprint: raised when the same spec would learn other rows."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    added: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after specs were first stored. One at its default is not written, so that specs that do not
    need it keep their fingerprints, and older workers can learn them."""

    @model_serializer(mode="wrap")
    def _without_unused(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        fields = type(self).model_fields
        unused = {name for name in self.added if getattr(self, name) == fields[name].default}
        return {name: value for name, value in written.items() if name not in unused}


class PictureRef(_Frozen):
    """A training picture by the digest of its file; bytes lie wherever the submitter put them."""

    digest: str
    """SHA-256 of the file, hex."""
    name: str
    """The file's name, for messages only."""
    caption: str | None = None
    """What the picture shows, with `{}` where the placeholder goes; None: the spec's templates are used."""
    mask_digest: str | None = None
    """SHA-256 of a mask's file: bright where the loss counts."""


class OptimizerSpec(_Frozen):
    """How rows are moved."""

    kind: Method
    learning_rate: float
    """Most radians per step (sphere) or AdamW's learning rate; the peak of the schedule."""
    schedule: Schedule
    kappa: float = 0.0
    """Strength of the von Mises-Fisher prior towards the initializer (sphere only)."""


class StopSpec(_Frozen):
    """When a concept has learned enough."""

    rule: StopRule
    """`dvar` stops by evidence between `min_steps` and `max_steps`; `fixed` always takes `max_steps`."""
    every_steps: int
    """Steps between evaluations of the fixed batch."""
    window: int
    """Evaluations in the window whose variance is compared with the whole history's."""
    threshold: float
    """Ratio of the variances below which the concept has converged."""
    num_samples: int
    """Samples in the fixed batch."""


class TrainSpec(_Frozen):
    """One concept to learn."""

    added = frozenset({"encoders", "rows", "start_digest", "tells_sizes"})

    name: str
    kind: Kind
    pictures: tuple[PictureRef, ...]
    base_model: str
    """As the manifest names it."""
    base_revision: str
    """What `base_revision()` says of it."""
    class_word: str | None = None
    """What kind of thing the concept is."""
    init: str
    """`auto`, or the text whose tokens the rows start from; only a label when `init_embedding` is there."""
    init_embedding: str | None = None
    """Base64 of an `Embedding`'s bytes that the rows start from."""
    start_digest: str | None = None
    """SHA-256 of what the rows start from, hex, where the spec itself holds only a name of it. None: it holds all."""
    num_vectors: int
    encoders: tuple[str, ...] = ()
    """The text encoders that learn; the others keep the rows that they start from. Empty: all of them."""
    rows: RowPlace = "input"
    """Whether rows are written where a text encoder looks its tokens up, or into what it says of them."""
    resolution_px: int
    tells_sizes: bool = False
    """Whether the base model is told each picture's own size and its crop, as SDXL was in its training; else
    every picture counts as an uncropped one of the size that is learned."""
    crop: Crop
    flip: bool
    templates: tuple[str, ...]
    """Captions with `{}` where the placeholder goes, for pictures without a caption of their own."""
    samples_per_step: int
    max_steps: int
    min_steps: int
    optimizer: OptimizerSpec
    timesteps: tuple[int, int]
    """Half-open band of the base model's time, in thousandths: its timesteps, where there are 1000 of them."""
    context_weight: float = 0.0
    """Weight of the text-only context term; needs `class_word`."""
    stop: StopSpec
    seed: int
    preview_every: int = 0
    """Steps between preview pictures; 0: none."""
    evaluate: bool = True
    """Whether what was learned is scored at the end."""
    recipe: str
    """The set of values that the manifest started from."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides the result, hex: two specs with the same one learn the same rows."""
        return hashlib.sha256(json.dumps(self._identity(), sort_keys=True).encode()).hexdigest()

    def _identity(self) -> dict[str, Any]:
        labels = {"base_model", "base_revision", "preview_every", "evaluate", "recipe"} | (
            {"init"} if self.init_embedding else set()
        )
        identity = self.model_dump(mode="json", exclude=labels)
        for picture in identity["pictures"]:
            del picture["name"]
        return identity | {"objective": OBJECTIVE_VERSION, "base": self.base_revision or self.base_model}


def read_spec(key: str, line: bytes) -> TrainSpec:
    """Read a spec that lies at `key`.

    Raises:
        NewerProgramError: it has a field that this program does not know.
        CorruptObjectError: it is no spec.
    """
    try:
        return TrainSpec.model_validate_json(line)
    except ValidationError as error:
        unknown = [one["loc"] for one in error.errors(include_url=False) if one["type"] == "extra_forbidden"]
        if unknown:
            field = ".".join(map(str, unknown[0]))
            raise NewerProgramError(
                f"a spec in {key} has the field {field!r}, which this program does not know: it needs a newer worker",
                key=key,
                field=field,
            ) from error
        raise CorruptObjectError(
            f"{key} is not a sheet of specs ({in_a_line(error)}): submit the manifest again", key=key
        ) from error


def image_key(digest: str) -> str:
    """Key of a picture or mask in the store, by its digest."""
    return f"images/{digest}"
