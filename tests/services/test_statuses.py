"""Every error has a status, and none makes a client repeat its own mistake."""

from collections.abc import Iterator

import pytest

from services.api.errors import STATUSES, status_of
from textinv.errors import InputError, SettingsError, TextinvError, UnknownConceptError


def all_errors(root: type[TextinvError] = TextinvError) -> Iterator[type[TextinvError]]:
    yield root
    for child in root.__subclasses__():
        yield from all_errors(child)


def test_every_error_code_has_a_status_and_there_are_no_others() -> None:
    assert {error.code for error in all_errors()} == set(STATUSES)


@pytest.mark.parametrize("error", [error for error in all_errors(InputError) if error is not SettingsError])
def test_what_a_caller_did_wrong_is_not_sent_again(error: type[TextinvError]) -> None:
    status = status_of(error("wrong"))
    assert 400 <= status < 500
    assert status not in (408, 409, 429)


def test_what_a_path_names_and_is_not_there_is_404() -> None:
    assert status_of(UnknownConceptError("none"), named_in_path=True) == 404
    assert status_of(UnknownConceptError("none")) == 400
