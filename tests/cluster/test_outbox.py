"""Writing beside training."""

import threading

from cluster.worker.outbox import Outbox
from textinv.errors import ImageError, StoreUnreachableError, TextinvError


def test_letters_are_delivered_in_order_and_a_store_that_is_away_is_tried_again() -> None:
    delivered: list[str] = []
    pauses: list[float] = []
    troubles = iter([True, True, False])
    outbox = Outbox(pauses.append)

    def write_first() -> None:
        if next(troubles):
            raise StoreUnreachableError("nobody answers")
        delivered.append("first")

    outbox.post(write_first, lambda error: delivered.append("given up"))
    outbox.post(lambda: delivered.append("second"), lambda error: delivered.append("given up"))
    assert outbox.close()
    assert delivered == ["first", "second"]
    assert pauses == [0.5, 1.0]


def test_an_error_that_trying_again_does_not_mend_is_told_at_once() -> None:
    errors: list[TextinvError] = []
    outbox = Outbox()

    def write() -> None:
        raise ImageError("that is no picture")

    outbox.post(write, errors.append)
    outbox.close()
    assert [error.code for error in errors] == ["invalid_image"]


def test_an_outbox_that_must_close_soon_does_not_wait_for_the_store() -> None:
    errors: list[TextinvError] = []
    tried = threading.Event()
    outbox = Outbox()

    def write() -> None:
        tried.set()
        raise StoreUnreachableError("nobody answers")

    outbox.post(write, errors.append)
    assert tried.wait(5.0)
    assert outbox.close(patience_s=0.1)
    assert [error.code for error in errors] == ["store_unreachable"]
