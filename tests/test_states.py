"""The table of what may become of what."""

import pytest

from textinv.jobs.status import ENDED
from textinv.states import TABLE, changes_nothing


def test_every_state_that_follows_is_in_the_table() -> None:
    for thing, states in TABLE.items():
        following = {state for actions in states.values() for state in actions.values()}
        assert following <= states.keys(), thing


@pytest.mark.parametrize(
    ("thing", "state", "action"),
    [
        *[("job", state, "cancel") for state in sorted(ENDED)],
        *[("concept", state, "cancel") for state in sorted(ENDED)],
        ("job", "done", "resume"),
        ("version", "current", "roll back to"),
        ("fleet", "drained", "drain"),
        ("key", "revoked", "revoke"),
    ],
)
def test_an_action_on_what_is_there_already_changes_nothing_and_says_so(thing: str, state: str, action: str) -> None:
    assert changes_nothing(thing, "X", state, action) == f"{thing} X is {state} already: there is nothing to {action}"


def test_what_is_not_over_can_be_cancelled() -> None:
    assert {"done", "failed", "cancelled"} == ENDED
    assert [changes_nothing("job", "X", state, "cancel") for state in ("waiting", "running")] == [None, None]
