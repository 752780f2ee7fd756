"""What of a plan is already done.

Owns comparing specs with what the registry holds: by fingerprint, so that the same work is never done twice, and by
name, so that a person sees what is new and what has changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from textinv.plan.published import current_versions, finished_versions
from textinv.spec import TrainSpec

if TYPE_CHECKING:
    from textinv.registry import ConceptSummary, Registry

State = Literal["new", "done", "changed"]


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
    heads = current_versions([spec.name for spec in specs], registry)
    versions = {summary.fingerprint: summary.version for summary in heads.values()}
    versions |= finished_versions([one for one in fingerprints if one not in versions], registry)
    return [
        _state(spec, fingerprint, heads.get(spec.name), versions.get(fingerprint))
        for spec, fingerprint in zip(specs, fingerprints, strict=True)
    ]


def _state(spec: TrainSpec, fingerprint: str, head: "ConceptSummary | None", version: int | None) -> PlannedSpec:
    if version is not None and head is not None:
        if head.version == version:
            return PlannedSpec(spec, fingerprint, "done", f"published as {spec.name}@{version}", version)
        reason = f"published as {spec.name}@{version}; {spec.name}@{head.version} is current and will be replaced by it"
        return PlannedSpec(spec, fingerprint, "done", reason, version, head_moves=True)
    if head is None:
        return _new(spec, fingerprint)
    return PlannedSpec(spec, fingerprint, "changed", f"{spec.name}@{head.version} was learned from another spec")


def _new(spec: TrainSpec, fingerprint: str) -> PlannedSpec:
    return PlannedSpec(spec, fingerprint, "new", f"there is no {spec.name} yet")
