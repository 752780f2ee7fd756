"""What of a plan is already done.

Owns comparing specs with what the registry holds: by fingerprint, so that the same work is never done twice, and by
name, so that a person sees what is new and what has changed. Reads with as few requests as the plan's size allows: a
plan of three must not list a million, and a plan of ten thousand must not ask ten thousand times.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal

from textinv.spec import TrainSpec

if TYPE_CHECKING:
    from textinv.registry import ConceptSummary, Registry
    from textinv.registry.entries import Head

State = Literal["new", "done", "changed"]
FEW = 300
"""Up to so many concepts are asked for one by one, which takes a second; more are listed."""
_AT_ONCE = 16
_LOOKED_THROUGH = 1000
"""Heads, which is one request: an example is not worth more."""


@dataclass(frozen=True)
class PlannedSpec:
    """A spec and what has become of it before."""

    spec: TrainSpec
    fingerprint: str
    state: State
    reason: str
    version: int | None = None
    """The version that a done spec has become."""
    head_moves: bool = False
    """Whether that version is not the current one, so that submitting makes it current again."""

    def to_json(self) -> dict[str, Any]:
        """What people and programs are told of it."""
        return {
            "name": self.spec.name,
            "state": self.state,
            "reason": self.reason,
            "version": self.version,
            "head_moves": self.head_moves,
            "recipe": self.spec.recipe,
            "pictures": len(self.spec.pictures),
            "max_sample_passes": self.spec.max_steps * self.spec.samples_per_step,
            "fingerprint": self.fingerprint,
        }


def compare(specs: Sequence[TrainSpec], registry: "Registry | None") -> list[PlannedSpec]:
    """Mark each spec as new, changed or done."""
    fingerprints = [spec.fingerprint for spec in specs]
    if registry is None:
        return [_new(spec, fingerprint) for spec, fingerprint in zip(specs, fingerprints, strict=True)]
    registry.check_format()
    heads = current_versions([spec.name for spec in specs], specs[0].base_revision, registry) if specs else {}
    versions = {summary.fingerprint: summary.version for summary in heads.values()}
    versions |= finished_versions([one for one in fingerprints if one not in versions], registry)
    return [
        _state(spec, fingerprint, head, version, _held(registry, spec.name, head, version))
        for spec, fingerprint in zip(specs, fingerprints, strict=True)
        for head, version in ((heads.get(spec.name), versions.get(fingerprint)),)
    ]


def _held(registry: "Registry", name: str, head: "ConceptSummary | None", version: int | None) -> str | None:
    """Why a version that a spec has become is not the current one, where that was not a person's choice."""
    if version is None or head is None or version == head.version:
        return None
    return registry.entry(name, version).held


def _state(
    spec: TrainSpec, fingerprint: str, head: "ConceptSummary | None", version: int | None, held: str | None
) -> PlannedSpec:
    if version is not None and head is not None:
        if head.version == version:
            return PlannedSpec(spec, fingerprint, "done", f"published as {spec.name}@{version}", version)
        if held:
            reason = f"published as {spec.name}@{version}, which is held back: {held}"
            return PlannedSpec(spec, fingerprint, "done", reason, version)
        reason = f"published as {spec.name}@{version}; {spec.name}@{head.version} is current and will be replaced by it"
        return PlannedSpec(spec, fingerprint, "done", reason, version, head_moves=True)
    if head is None:
        return _new(spec, fingerprint)
    return PlannedSpec(spec, fingerprint, "changed", f"{spec.name}@{head.version} was learned from another spec")


def _new(spec: TrainSpec, fingerprint: str) -> PlannedSpec:
    return PlannedSpec(spec, fingerprint, "new", f"there is no {spec.name} for this base model yet")


def current_versions(names: Sequence[str], base_revision: str, registry: "Registry") -> Mapping[str, "ConceptSummary"]:
    """The current versions of those concepts that there are for a base model."""
    if len(names) > FEW:
        wanted = set(names)
        mine = (one for one in registry.list_heads() if one.base_revision == base_revision)
        return {summary.name: summary for summary in mine if summary.name in wanted}
    from textinv.registry.entries import summary_of

    return {head.entry.name: summary_of(head) for head in _heads(names, base_revision, registry)}


def finished_versions(fingerprints: Sequence[str], registry: "Registry") -> Mapping[str, int]:
    """The versions that specs have become, by fingerprint, of those that were finished."""
    others = list(dict.fromkeys(fingerprints))
    if len(others) > FEW:
        done = registry.finished_fingerprints()
        others = [fingerprint for fingerprint in others if fingerprint in done]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        claims = list(pool.map(registry.finished, others))
    return {
        fingerprint: int(claim["version"])
        for fingerprint, claim in zip(others, claims, strict=True)
        if claim is not None
    }


def finished_among(fingerprints: Sequence[str], registry: "Registry") -> set[str]:
    """Those specs that were finished, whatever their versions are."""
    if len(fingerprints) <= FEW:
        return set(finished_versions(fingerprints, registry))
    return registry.finished_fingerprints().intersection(fingerprints)


def example_records(
    names: Iterable[str], base_revision: str, registry: "Registry", most: int
) -> Iterator[Mapping[str, Any]]:
    """Records of a few concepts that were learned on a base model: these by preference, else whatever comes first."""
    from textinv.registry.layout import HEADS, concept_of, head_key

    listed = islice(registry.store.list(HEADS), _LOOKED_THROUGH)
    names_of_keys = ((concept_of(info.key), info.key) for info in listed)
    first = (name for name, key in names_of_keys if key == head_key(name, base_revision))
    candidates = dict.fromkeys(chain(islice(names, most), islice(first, most)))
    for head in _heads(list(candidates), base_revision, registry):
        yield head.record


def _heads(names: Sequence[str], base_revision: str, registry: "Registry") -> list["Head"]:
    from textinv.registry.heads import read_head

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda name: read_head(registry.store, name, base_revision), names)
        return [at.head for at in found if at is not None and not at.head.removed]
