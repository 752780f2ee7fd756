"""Mounts: the embeddings that a request's prompts use, checked against the base model.

Owns the checks that an embedding fits. Does not know where embeddings come from.
"""

from collections.abc import Iterable, Mapping

from textinv.embedding import Embedding
from textinv.errors import BaseModelMismatchError, UnknownConceptError
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.registry import PublishedVersion

Mount = Embedding | PublishedVersion


def embedding_of(mount: Mount) -> Embedding:
    """The rows of a mount."""
    return mount.embedding if isinstance(mount, PublishedVersion) else mount


def check_mounts(model: BaseModel, refs: Iterable[ConceptRef], mounts: Mapping[ConceptRef, Mount]) -> None:
    """Check that every named concept is mounted and belongs to this base model.

    Raises:
        UnknownConceptError: a named concept has no mount.
        BaseModelMismatchError: an embedding was learned on another base model, or has other widths.
    """
    for ref in refs:
        mount = mounts.get(ref)
        if mount is None:
            raise UnknownConceptError(
                f"the concept {ref} is not mounted; learn it first or correct its name", concept=str(ref)
            )
        if isinstance(mount, PublishedVersion) and mount.base_revision != model.revision:
            raise BaseModelMismatchError(
                f"the concept {ref} was learned on {mount.base_model!r} (revision {mount.base_revision[:12]}), but "
                f"this is {model.id!r} (revision {model.revision[:12]}); learn it on this base model",
                concept=str(ref),
                learned_on=mount.base_model,
                base_model=model.id,
            )
        _check_widths(model, ref, embedding_of(mount))


def used_concepts(refs: Iterable[ConceptRef], mounts: Mapping[ConceptRef, Mount]) -> dict[str, str]:
    """The digests of the concepts used, by `name@version` (by `name` for embeddings that were never published)."""
    used: dict[str, str] = {}
    for ref in refs:
        mount = mounts[ref]
        name = f"{mount.name}@{mount.version}" if isinstance(mount, PublishedVersion) else str(ref)
        used[name] = mount.digest
    return used


def _check_widths(model: BaseModel, ref: ConceptRef, embedding: Embedding) -> None:
    if problem := embedding.misfit(model.encoder_widths, repr(model.id)):
        raise BaseModelMismatchError(
            f"the embedding of {ref} does not fit: {problem}; learn it on this base model",
            concept=str(ref),
            base_model=model.id,
        )
