"""Which concepts of a job the guess may learn from, as its manifest or its tenant says.

Owns what a submission says about it: a manifest that is submitted again without `share_with_guess` takes back what it
shared. And what a purge takes back. The objects are `registry.shares`'.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textinv.errors import InputError
from textinv.placeholders import ConceptRef
from textinv.plan import Plan
from textinv.registry.shares import NOT_SAID, OPERATOR, PURGED, TAKEN_BACK, Share, give, shares, withdraw
from textinv.spec import TrainSpec, image_key
from textinv.store.protocol import ObjectStore, side_by_side

if TYPE_CHECKING:
    from textinv.registry import Registry


@dataclass(frozen=True)
class Tenant:
    """Whose pictures a submission brings."""

    name: str = OPERATOR
    shares: bool = False
    """Whether the guess may learn from them where the manifest does not say."""


def note_sharing(store: ObjectStore, plan: Plan, job_id: str, tenant: Tenant) -> None:
    """Write down which of a plan's concepts a tenant shares, and take back those that it shared before."""
    specs = [planned.spec for planned in plan.specs]
    given = {
        one.id: one
        for spec in specs
        if plan.shared.get(spec.name, tenant.shares)
        for one in (Share.of(spec, tenant.name, job_id),)
    }
    kept = {share.concept for share in given.values()}
    others = {spec.name for spec in specs} - kept
    mine = [one for one in shares(store, specs[0].base_revision, others) if one.tenant == tenant.name]
    # What was shared by hand, a manifest takes back only where it says so.
    withdraw(store, [one for one in mine if one.job or plan.shared.get(one.concept) is False], NOT_SAID)
    for _ in side_by_side(lambda one: give(store, one), given.values()):
        pass


def share_concept(registry: "Registry", name: str) -> list[Share]:
    """Let the guess learn from the pictures of a concept's current versions, one of each base model.

    Raises:
        InputError: there is no such concept, or nobody knows its pictures, or they were deleted.
    """
    from textinv.plan.relearn import spec_of  # torch: only here

    heads = [one for one in registry.list_heads(name) if one.name == name]
    found = (spec_of(registry.resolve(ConceptRef(name, one.version))) for one in heads)
    given = [Share.of(spec, OPERATOR) for spec in found if spec is not None]
    if not given:
        raise InputError(
            f"nobody knows the pictures of a concept {name!r}: `textinv concept ls` lists what was learned"
        )
    if lost := [digest for one in given for digest in one.digests if not registry.store.exists(image_key(digest))]:
        raise InputError(f"{len(lost)} pictures of {name!r} were deleted: submit them in a manifest")
    for one in given:
        give(registry.store, one)
    return given


def take_back(store: ObjectStore, name: str) -> int:
    """Take a concept back, whoever shared it; how many shares that were."""
    return withdraw(store, shares(store, names=[name]), TAKEN_BACK)


def withdraw_purged(store: ObjectStore, job_id: str, specs: Iterable[TrainSpec], doomed: Collection[str]) -> None:
    """Take back what was shared with a job, and what shows pictures that are about to be deleted."""
    names: dict[str, set[str]] = defaultdict(set)
    for spec in specs:
        names[spec.base_revision].add(spec.name)
    for base_revision, of_base in names.items():
        found = shares(store, base_revision, of_base)
        withdraw(store, [one for one in found if one.job == job_id or not one.digests.isdisjoint(doomed)], PURGED)
