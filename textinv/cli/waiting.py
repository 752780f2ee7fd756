"""Work that takes long, as whoever waits for it sees it: on a terminal a spinner or a bar, elsewhere lines.

Owns both, and that a pipe or a log gets a line at least every `EVERY_S` seconds. Does not know what is waited for.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console

from textinv.cli.output import literal, stderr
from textinv.threads import beside

EVERY_S = 15.0
Count = Callable[[int, int], None]
"""Takes how many are done, of how many."""


@contextmanager
def waiting_for(what: str, console: Console | None = None, every_s: float = EVERY_S) -> Iterator[None]:
    """Say that something of unknown length is under way."""
    console = console or stderr()
    if console.is_terminal:
        with console.status(literal(what)):
            yield
        return
    ended, begun = threading.Event(), time.monotonic()

    def tell() -> None:
        while not ended.wait(every_s):
            console.print(literal(f"{what}: {duration(time.monotonic() - begun)} so far"))

    telling = beside(tell, "textinv-telling")
    telling.start()
    try:
        yield
    finally:
        ended.set()
        telling.join()


@contextmanager
def counting(what: str, console: Console | None = None, every_s: float = EVERY_S) -> Iterator[Count]:
    """Show how far something is that is counted."""
    console = console or stderr()
    if not console.is_terminal:
        yield _in_lines(what, console, every_s)
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _in_lines(what: str, console: Console, every_s: float) -> Count:
    begun = told = time.monotonic()

    def count(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= every_s and 0 < done < total:
            told = now
            left = duration((now - begun) / done * (total - done))
            console.print(literal(f"{what}: {done} of {total}, about {left} left"))

    return count


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
