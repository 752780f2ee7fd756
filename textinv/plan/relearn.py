"""Planning concepts anew for another base model, from what their records and the stored pictures say.

Owns what of a spec holds on another base model: pictures, captions, recipe and seed do; the size of the pictures is the
new base's own, and rows of other widths are nothing to start from. Nothing is read but the store.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from textinv.embedding import Embedding
from textinv.errors import InputError, UnknownConceptError
from textinv.placeholders import ConceptRef
from textinv.plan.estimate import estimate
from textinv.plan.guesses import GUESS, Guesses
from textinv.plan.plan import Plan
from textinv.plan.published import compare
from textinv.plan.resolve import BaseFacts
from textinv.plan.sources import Source, StoredPicture
from textinv.settings import Settings
from textinv.spec import TrainSpec, image_key

if TYPE_CHECKING:
    from textinv.registry import ConceptSummary, PublishedVersion, Registry


@dataclass(frozen=True)
class Relearning:
    """A plan, and why some concepts are not in it."""

    plan: Plan
    left_out: Mapping[str, str]


def plan_relearning(
    names: Sequence[str], base_model: str, base: BaseFacts, registry: "Registry", settings: Settings
) -> Relearning:
    """Plan concepts (none named: all there are) for a base model.

    Raises:
        UnknownConceptError: there is no concept of a name.
        InputError: there is nothing to plan.
    """
    specs: list[TrainSpec] = []
    guesses = Guesses(base_model, base, registry)
    guess = guesses.found
    left_out: dict[str, str] = {}
    for name, source in _sources(names, base, registry).items():
        version = registry.resolve(ConceptRef(name, source.version))
        spec = spec_of(version)
        if spec is None:
            left_out[name] = "it was learned elsewhere, so its pictures are unknown"
        elif lost := [one for one in _digests(spec) if not registry.store.exists(image_key(one))]:
            left_out[name] = f"{len(lost)} of its pictures were deleted: submit them in a manifest"
        elif guess is None and spec.init == GUESS and spec.start_digest and not spec.max_steps:
            left_out[name] = f"it was only guessed, and {guesses.missing}"
        else:
            is_for_it = guess is not None and (spec.init == GUESS or spec.kind in guess.kinds)
            specs.append(on_base(spec, name, base_model, base, guess.digest if guess and is_for_it else None))
    if not specs:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise InputError(f"there is nothing to learn on {base_model}: {reasons or 'the store has no concepts'}")
    planned = compare(specs, registry)
    pictures: dict[str, Source] = {one: StoredPicture(registry.store, one) for spec in specs for one in _digests(spec)}
    price, are_scored = settings.gpu_hour_price, base.has_clip or bool(settings.encoders)
    costs = estimate(planned, registry, price, are_scored=are_scored, has_clip=base.has_clip)
    name = f"relearn on {base_model.rpartition('/')[2]}"
    sources = {guess.digest: guess.source} if guess and guess.source else {}
    notes = [f"rows start from words alone: {guesses.stale}"] if guesses.stale else []
    plan = Plan(name=name, specs=planned, pictures=pictures, warnings=(), estimate=costs, notes=notes, guesses=sources)
    return Relearning(plan, left_out)


def on_base(spec: TrainSpec, name: str, base_model: str, base: BaseFacts, guess: str | None = None) -> TrainSpec:
    """The spec of a concept for another base model; `guess` is the digest of that one's guess."""
    changes: dict[str, Any] = {
        "name": name,
        "base_model": base_model,
        "base_revision": base.revision,
        "resolution_px": base.native_px,
        "tells_sizes": base.takes_sizes,
    }
    if spec.start_digest is not None:
        changes["start_digest"] = guess
        if guess is None and spec.init == GUESS:
            changes["init"] = spec.class_word or "auto"
    if spec.init_embedding is not None and base.row_widths:
        start = Embedding.from_bytes(base64.b64decode(spec.init_embedding))
        if start.misfit(base.row_widths, base_model, base.whole):
            changes |= {"init": spec.class_word or "auto", "init_embedding": None, "start_digest": None}
    return spec.model_copy(update=changes)


def _sources(names: Sequence[str], base: BaseFacts, registry: "Registry") -> dict[str, "ConceptSummary"]:
    """Of each concept the newest current version that was learned on another base model, else that on this one."""
    found: dict[str, ConceptSummary] = {}
    for one in sorted(registry.list_heads(), key=lambda one: (one.base_revision != base.revision, one.version)):
        found[one.name] = one
    if unknown := [name for name in names if name not in found]:
        raise UnknownConceptError(f"there is no concept {unknown[0]!r}: `textinv concept ls` lists all concepts")
    return {name: found[name] for name in dict.fromkeys(names or sorted(found))}


def spec_of(version: "PublishedVersion") -> TrainSpec | None:
    """The spec that a version was learned from, if its record has one."""
    try:
        return TrainSpec.model_validate(version.record.get("spec"))
    except ValidationError:
        return None


def _digests(spec: TrainSpec) -> list[str]:
    return [digest for one in spec.pictures for digest in (one.digest, one.mask_digest) if digest]
