"""What may become of what: the states of jobs, concepts, versions, fleets and keys, and the actions that change them.

Owns the one table of them, and the sentence for an action that changes nothing. Whoever lets people act on one of these
asks here first. Does not know where states are kept.
"""

from collections.abc import Mapping

MAX_PRIORITY = 1000
"""Of a job that waits; the lowest is as far below zero."""
Actions = Mapping[str, str]
"""The state that follows, by the action that leads there."""

_LEARNED: Mapping[str, Actions] = {
    "waiting": {"take up": "running", "cancel": "cancelled", "fail": "failed", "finish": "done", "resume": "waiting"},
    "running": {
        "hand back": "waiting",
        "cancel": "cancelled",
        "fail": "failed",
        "finish": "done",
        "resume": "running",
    },
    "done": {},
    "failed": {"resume": "waiting"},
    "cancelled": {"resume": "waiting"},
}
TABLE: Mapping[str, Mapping[str, Actions]] = {
    "job": _LEARNED,
    "concept": _LEARNED,
    "version": {
        "older": {"roll back to": "current", "remove": "removed"},
        "current": {"supersede": "older"},
        "removed": {},
    },
    "fleet": {"serving": {"drain": "drained", "scale": "serving"}, "drained": {"scale": "serving"}},
    "key": {"valid": {"revoke": "revoked"}, "revoked": {}},
}
"""By the kind of thing, then by its state."""


def ended(thing: str) -> frozenset[str]:
    """The states of a job or concept in which nothing of it is left to do."""
    return frozenset(state for state, actions in TABLE[thing].items() if "cancel" not in actions)


def changes_nothing(thing: str, name: str, state: str, action: str) -> str | None:
    """Why an action on a thing in this state changes nothing, as a sentence; None when it changes something."""
    if action in TABLE[thing][state]:
        return None
    return f"{thing} {name} is {state} already: there is nothing to {action}"
