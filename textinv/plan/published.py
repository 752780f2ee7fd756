"""What the registry holds of a plan's concepts, read with as few requests as the plan's size allows.

Owns choosing between asking for each concept and listing all: a plan of three must not list a million, and a plan of
ten thousand must not ask ten thousand times.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textinv.registry import Registry
    from textinv.registry.entries import ConceptSummary, Head

FEW = 300
"""Up to so many concepts are asked for one by one, which takes a second; more are listed."""
_AT_ONCE = 16


def current_versions(names: Sequence[str], registry: "Registry") -> Mapping[str, "ConceptSummary"]:
    """The current versions of those concepts that there are."""
    if len(names) > FEW:
        wanted = set(names)
        return {summary.name: summary for summary in registry.list() if summary.name in wanted}
    from textinv.registry.entries import summary_of

    return {head.entry.name: summary_of(head) for head in _heads(names, registry)}


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


def example_records(
    names: Iterable[str], base_revision: str, registry: "Registry", most: int
) -> Iterator[Mapping[str, Any]]:
    """Records of a few concepts that were learned on a base model: these by preference, else whatever comes first."""
    from textinv.registry.layout import HEADS, name_of

    first = (name_of(info.key) for info in registry.store.list(HEADS))
    candidates = dict.fromkeys(chain(islice(names, most), islice(first, most)))
    for head in _heads(list(candidates), registry):
        if head.entry.base_revision == base_revision:
            yield head.record


def _heads(names: Sequence[str], registry: "Registry") -> list["Head"]:
    from textinv.registry.heads import read_head

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda name: read_head(registry.store, name), names)
        return [at.head for at in found if at is not None and not at.head.removed]
