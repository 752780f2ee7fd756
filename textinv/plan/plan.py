"""`Manifest` to `Plan`, the ordered work with every default filled in.

Owns putting the parts together: pictures pinned by digest, initializers pinned, specs resolved, each compared with what
is already published. Everything that is wrong is reported at once. Nothing is uploaded and nothing is trained.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from textinv.manifest.fields import Manifest
from textinv.manifest.origin import Origin, Problem, raise_problems
from textinv.plan.estimate import Estimate, estimate
from textinv.plan.guesses import Guesses
from textinv.plan.initializers import AUTO, Initializers
from textinv.plan.picture_check import least_px
from textinv.plan.picture_facts import FactsCache
from textinv.plan.pictures import Gathered, Wanted, gather_all
from textinv.plan.published import PlannedSpec, compare
from textinv.plan.recipes import PUBLISHED
from textinv.plan.resolve import (
    BaseFacts,
    Values,
    base_facts,
    broken_combinations,
    crop_of,
    resolution_of,
    resolve_spec,
)
from textinv.plan.shelf import Shelf, shelf_for
from textinv.plan.sources import Source
from textinv.settings import Settings
from textinv.spec import TrainSpec

if TYPE_CHECKING:
    from textinv.registry import Registry


@dataclass(frozen=True)
class Plan:
    """Ordered work."""

    name: str
    specs: Sequence[PlannedSpec]
    pictures: Mapping[str, Source]
    """Where the bytes of each picture and mask are, by digest."""
    warnings: Sequence[Problem]
    estimate: Estimate
    notes: Sequence[str] = ()
    """What is worth knowing and nothing to correct."""
    guesses: Mapping[str, Source] = field(default_factory=dict)
    """Where the bytes of each guess are that the store may not have, by digest."""
    shared: Mapping[str, bool] = field(default_factory=dict)
    """By name, whether the guess may learn from a concept; without those of which the manifest does not say it."""

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How many concepts are new, changed and done."""
        counted = Counter(planned.state for planned in self.specs)
        return {state: counted[state] for state in ("new", "changed", "done")}

    def to_json(self) -> dict[str, Any]:
        """What people and programs are told of it."""
        return {
            "name": self.name,
            "counts": dict(self.counts),
            "estimate": vars(self.estimate),
            "warnings": [vars(warning) for warning in self.warnings],
            "notes": list(self.notes),
            "concepts": [planned.to_json() for planned in self.specs],
        }


def make_plan(
    manifest: Manifest,
    registry: "Registry | None" = None,
    *,
    settings: Settings | None = None,
    base: BaseFacts | None = None,
    shelf: Shelf | None = None,
    facts: FactsCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Plan a manifest; without a registry every concept is new.

    `base`, `shelf` and `facts` are found through `settings` when they are not given. `progress` hears how many
    concepts' pictures have been looked at, of how many.

    Raises:
        ManifestError: pictures, captions or initializers cannot be used, or fields contradict each other.
        BaseModelError: the base model cannot be read.
    """
    settings = settings or Settings()
    base = base or base_facts(manifest, settings)
    shelf = shelf or shelf_for(manifest.origin, settings)
    gathered = _gather(manifest, base, shelf, facts or FactsCache(settings.home), progress)
    problems = [problem for one in gathered for problem in one.problems]
    guesses = Guesses(manifest.base_model, base, registry)
    initializers = Initializers(manifest, registry, base, guesses)
    drafts, shared = [], dict[str, bool]()
    for index, (concept, pictures) in enumerate(zip(manifest.concepts, gathered, strict=True)):
        values = Values(manifest, concept, base)
        broken = list(broken_combinations(values, index))
        beginning = initializers.pin(values, index, broken)
        problems += broken
        if (share := values.stated("share_with_guess")) is not None:
            shared[concept.name] = share
        if not problems:
            drafts.append(resolve_spec(values, pictures.pictures, base, beginning))
    raise_problems(problems)
    specs = compare(drafts, registry)
    return Plan(
        name=manifest.name or _file_stem(manifest.origin),
        specs=specs,
        pictures={digest: source for one in gathered for digest, source in one.sources.items()},
        warnings=[warning for one in gathered for warning in one.warnings] + initializers.warnings,
        estimate=estimate(
            specs,
            registry,
            settings.gpu_hour_price,
            are_scored=base.has_clip or bool(settings.encoders),
            has_clip=base.has_clip,
        ),
        notes=[*_notes(drafts, base), *_note_of_guess(drafts, guesses)],
        guesses={digest: found.source for digest, found in initializers.guesses.items() if found.source},
        shared=shared,
    )


def _notes(specs: Sequence[TrainSpec], base: BaseFacts) -> list[str]:
    notes = [base.note] if base.note else []
    if count := sum(spec.recipe == PUBLISHED for spec in specs):
        notes.append(
            f"{count} of {len(specs)} with the recipe `published`, which was not measured here: {base.recipe['source']}"
        )
    if behind := sum(spec.rows == "output" for spec in specs):
        notes.append(
            f"{behind} of {len(specs)} with rows: output: other programs cannot read what these learn (OneTrainer can)"
        )
    if any(spec.context_weight and spec.rows == "output" for spec in specs):
        notes.append(
            "context_weight does nothing with rows: output: rows do not change what other words of a prompt say"
        )
    held = [spec for spec in specs if spec.context_weight and spec.rows == "input"]
    if base.compared and held:
        learning = {name for spec in held for name in spec.encoders or base.row_widths}
        if others := sorted(learning - set(base.compared)):
            notes.append(
                f"context_weight compares words of {' and '.join(base.compared)} only: it does not hold back what "
                f"{' and '.join(others)} learns"
            )
    return notes


def _note_of_guess(specs: Sequence[TrainSpec], guesses: Guesses) -> list[str]:
    count = sum(spec.init == AUTO for spec in specs) if guesses.stale else 0
    return [f"{count} of {len(specs)} with init: auto start from words alone: {guesses.stale}"] if count else []


def _gather(
    manifest: Manifest,
    base: BaseFacts,
    shelf: Shelf,
    facts: FactsCache,
    progress: Callable[[int, int], None] | None,
) -> list[Gathered]:
    wanted = []
    for index, concept in enumerate(manifest.concepts):
        values = Values(manifest, concept, base)
        resolution_px = resolution_of(values, base)
        least = least_px(resolution_px, values.stated("min_size_px"))
        wanted.append(Wanted(index, concept, resolution_px, least, crop_of(values, base)))
    return gather_all(wanted, manifest.origin, shelf, facts, progress)


def _file_stem(origin: Origin) -> str:
    return origin.file.rpartition("/")[2].rpartition(".")[0] or origin.file
