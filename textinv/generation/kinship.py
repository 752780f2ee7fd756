"""Whether rows that were learned on one base model may be drawn by another.

Embeddings of Stable Diffusion 1.5 and XL are used across all their fine-tuned checkpoints every day, and do less well
the further these are from where they were learned. Owns the rule: the same base model; or, where kin is allowed, one
of the same family (widths are checked with the rows). Of what was learned here kin is refused unless it is asked for;
of what was imported, and whose base nobody knows, it is allowed unless it is refused.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

from textinv.embedding import Embedding
from textinv.placeholders import ConceptRef

if TYPE_CHECKING:
    from textinv.generation.prompts import Mount
    from textinv.models.base import BaseModel

Bases = Literal["exact", "kin"]
UNKNOWN_BASE = "an unknown base model"


class Learned(Protocol):
    """What knows the base model that it was learned on."""

    @property
    def base_revision(self) -> str: ...
    @property
    def family(self) -> str | None: ...


def may_draw(base_revision: str, family: str, learned: Learned, bases: Bases | None) -> bool:
    """Whether a base model may draw what was learned on another; `bases` None: what holds where nobody says."""
    if learned.base_revision == base_revision:
        return True
    if not learned.base_revision:
        return bases != "exact"
    return bases == "kin" and learned.family == family


def learned_elsewhere(
    model: "BaseModel", refs: Iterable[ConceptRef], mounts: Mapping[ConceptRef, "Mount"]
) -> dict[str, str]:
    """The base models of those concepts that were learned on another one than this, by `name@version`."""
    used = (mounts[ref] for ref in refs)
    return {
        f"{mount.name}@{mount.version}": mount.base_model or UNKNOWN_BASE
        for mount in used
        if not isinstance(mount, Embedding) and mount.base_revision != model.revision
    }
