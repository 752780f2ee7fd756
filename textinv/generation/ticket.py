"""A caller's half of a request that runs: wait for its pictures, watch them, or leave.

Owns nothing but the hand-over between the engine's thread and the caller's.
"""

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textinv.errors import TextinvError
from textinv.generation.request import GeneratedImage, GenerateRequest


class Preview(NamedTuple):
    """A picture under way: which of the request's, after how many of its inference steps, and its pixels (H, W, 3)."""

    image: int
    step: int
    num_steps: int
    pixels: NDArray[np.uint8]


@dataclass(eq=False)
class Ticket:
    """A submitted request. Safe to use from any thread; `future` fits `asyncio.wrap_future`."""

    request: GenerateRequest
    future: Future[list[GeneratedImage]] = field(default_factory=Future)
    previews: list[Preview] = field(default_factory=list)
    steps_done: int = 0
    steps_total: int = 1
    _images: dict[int, GeneratedImage] = field(default_factory=dict)
    _watchers: list[Callable[[Preview], None]] = field(default_factory=list)

    def result(self, timeout: float | None = None) -> list[GeneratedImage]:
        """Wait for the pictures, in order of their seeds.

        Raises:
            TextinvError: the request failed.
            concurrent.futures.CancelledError: it was cancelled.
            TimeoutError: `timeout` seconds have passed.
        """
        return self.future.result(timeout)

    def cancel(self) -> bool:
        """Leave; at most one more inference step is spent on it. False when it was already done."""
        return self.future.cancel()

    def cancelled(self) -> bool:
        """Whether the caller left."""
        return self.future.cancelled()

    def done(self) -> bool:
        """Whether it is finished, failed or cancelled."""
        return self.future.done()

    def add_done_callback(self, callback: Callable[["Ticket"], None]) -> None:
        """Call `callback` when it is done, in the engine's thread (at once when it already is)."""
        self.future.add_done_callback(lambda _: callback(self))

    def on_preview(self, callback: Callable[[Preview], None]) -> None:
        """Call `callback` with each preview, in the engine's thread; it must not block."""
        self._watchers.append(callback)

    @property
    def progress(self) -> float:
        """How much is done, from 0 to 1."""
        return 1.0 if self.done() else min(self.steps_done / self.steps_total, 1.0)

    # The engine's half.

    def show(self, preview: Preview) -> None:
        """Hand over a preview; each picture's latest is kept."""
        self.previews = [kept for kept in self.previews if kept.image != preview.image] + [preview]
        for watcher in self._watchers:
            watcher(preview)

    def deliver(self, index: int, image: GeneratedImage) -> None:
        """Hand over the request's picture number `index`; the last one finishes it."""
        self._images[index] = image
        if len(self._images) == self.request.num_images:
            self._settle(lambda: self.future.set_result([self._images[k] for k in sorted(self._images)]))

    def fail(self, error: TextinvError) -> None:
        """Finish with an error."""
        self._settle(lambda: self.future.set_exception(error))

    def _settle(self, settle: Callable[[], None]) -> None:
        try:
            settle()
        except InvalidStateError:  # the caller left a moment ago, or another of its pictures failed
            return
