"""What whoever waits sees where there is no terminal."""

import io
import time

from rich.console import Console

from textinv.cli.waiting import counting, waiting_for


def test_a_pipe_hears_now_and_then_that_something_is_still_under_way() -> None:
    heard = io.StringIO()
    with waiting_for("loading emoji", Console(file=heard), every_s=0.02):
        time.sleep(0.1)
    lines = heard.getvalue().splitlines()
    assert len(lines) >= 2
    assert set(lines) == {"loading emoji: 0:00:00 so far"}


def test_what_is_short_says_nothing() -> None:
    heard = io.StringIO()
    with (
        waiting_for("loading emoji", Console(file=heard)),
        counting("looking at pictures", Console(file=heard)) as count,
    ):
        count(1, 2)
    assert heard.getvalue() == ""


def test_what_is_counted_says_how_far_it_is_and_how_long_it_takes() -> None:
    heard = io.StringIO()
    with counting("looking at pictures", Console(file=heard), every_s=0.0) as count:
        count(0, 4)
        count(1, 4)
        count(4, 4)
    assert heard.getvalue() == "looking at pictures: 1 of 4, about 0:00:00 left\n"


def test_a_terminal_sees_a_spinner_and_a_bar() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=80)
    with waiting_for("loading [emoji]", console):
        pass
    with counting("looking at pictures", console) as count:
        count(1, 2)
    assert "loading [emoji]" in shown.getvalue()
    assert "looking at pictures" in shown.getvalue()
    assert "50%" in shown.getvalue()
