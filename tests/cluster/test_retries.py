"""Every error has a decision."""

from collections.abc import Iterator

from cluster.queue.retries import RETRIES, pause_s, retry_of
from textinv.errors import TextinvError


def _codes(kind: type[TextinvError]) -> Iterator[str]:
    yield kind.code
    for child in kind.__subclasses__():
        yield from _codes(child)


def test_the_table_decides_about_every_error_code_and_no_other() -> None:
    assert set(RETRIES) == set(_codes(TextinvError))


def test_what_a_person_wrote_wrong_is_never_tried_again() -> None:
    for code in ("invalid_image", "invalid_manifest", "other_base_model", "cancelled", "poisoned", "diverged"):
        assert retry_of(code) == (0, 0, False)


def test_a_store_that_is_away_for_three_minutes_is_waited_for() -> None:
    assert sum(pause_s(attempt) for attempt in range(retry_of("store_unreachable").calls)) > 180


def test_a_code_of_a_newer_program_is_treated_as_any_error() -> None:
    assert retry_of("melted") == retry_of("error")
