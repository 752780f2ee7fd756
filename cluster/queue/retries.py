"""What is tried again after which error: the one place where that is decided.

Owns a decision for every code of `textinv.errors`; a test fails when one is missing. `calls` is how often a worker
repeats a single call of the store before it gives the concept back; `concepts` is how often a concept is handed out
again before it is given up; what is of the `place` (keys, permissions, a store or base model that is away) says nothing
of the concept, which waits until the place is in order.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Retry(NamedTuple):
    """How often something is tried again."""

    calls: int = 0
    concepts: int = 0
    place: bool = False


NEVER = Retry()
"""The same input gives the same error."""
ELSEWHERE = Retry(concepts=2)
"""Another worker, or a later moment, may do better."""
NEWER = Retry(concepts=10)
"""Of a fleet that is being renewed, another worker may know what this one does not."""
PATIENTLY = Retry(calls=12, concepts=5)
"""The store comes back: with the pauses of `pause_s`, twelve calls wait for about four minutes."""

RETRIES: Mapping[str, Retry] = MappingProxyType(
    {
        "error": ELSEWHERE,
        "invalid_input": NEVER,
        "invalid_settings": NEVER,
        "invalid_manifest": NEVER,
        "invalid_image": NEVER,
        "invalid_prompt": NEVER,
        "invalid_request": NEVER,
        "unknown_concept": NEVER,
        "invalid_embedding": NEVER,
        "other_base_model": NEVER,
        "access_denied": NEVER,
        "content_policy_violation": NEVER,
        "base_model_unavailable": Retry(place=True),
        "store_failed": PATIENTLY,
        "store_unreachable": Retry(calls=12, place=True),
        "store_credentials": Retry(calls=2, place=True),
        "store_unsafe": Retry(place=True),
        "store_old_format": Retry(place=True),
        "object_not_found": NEVER,
        "store_conflict": Retry(calls=5, concepts=2),
        "corrupt_object": ELSEWHERE,
        "training_failed": ELSEWHERE,
        "diverged": NEVER,
        "out_of_memory": ELSEWHERE,
        "cancelled": NEVER,
        "poisoned": NEVER,
        "needs_newer_worker": NEWER,
        "cluster_failed": ELSEWHERE,
        "service_failed": NEVER,
        "overloaded": NEVER,
        "deadline": NEVER,
        "not_ready": NEVER,
    }
)

MAX_PAUSE_S = 30.0


def retry_of(code: str) -> Retry:
    """What is tried again after an error with this code; a code of a newer program is treated as any error."""
    return RETRIES.get(code, RETRIES["error"])


def pause_s(attempt: int) -> float:
    """Seconds before a call is repeated for the `attempt`-th time, from 0."""
    return min(MAX_PAUSE_S, 0.5 * 2.0 ** min(attempt, 10))
