"""Requests that are being drawn, by caller: for progress, and so that a caller can interrupt its own.

Owns the list of one front; `services.access.usage` joins those of several.
"""

import asyncio
import time
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class InterruptedByCallerError(Exception):
    """The caller interrupted this request."""


@dataclass(eq=False)
class Running:
    """One request under way; `share` of it is done, and its first picture looks like `sketch`.

    `task_id` is what its caller calls it, if anything.
    """

    caller: str
    num_steps: int
    num_images: int
    share: float = 0.0
    sketch: NDArray[np.uint8] | None = None
    task_id: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    started_at: float = field(default_factory=time.monotonic)
    interrupted: bool = False
    task: asyncio.Future[Any] | None = None

    @property
    def age_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started_at

    @property
    def left_s(self) -> float:
        """Seconds that are left, judged by those that have passed."""
        return self.age_s * (1 - self.share) / self.share if self.share > 0 else 0.0


class InFlight:
    """The requests under way."""

    def __init__(self) -> None:
        self._running: list[Running] = []

    async def run(self, running: Running, work: Coroutine[Any, Any, T]) -> T:
        """Do work that the caller may interrupt.

        Raises:
            InterruptedByCallerError: it did.
        """
        running.task = task = asyncio.ensure_future(work)
        self._running.append(running)
        try:
            return await task
        except asyncio.CancelledError:
            if running.interrupted:
                raise InterruptedByCallerError from None
            raise
        finally:
            task.cancel()
            self._running.remove(running)

    def of(self, caller: str) -> list[Running]:
        """A caller's requests, the oldest first."""
        return [one for one in self._running if one.caller == caller]

    def all(self) -> list[Running]:
        """Everybody's requests, the oldest first."""
        return list(self._running)

    def interrupt(self, caller: str) -> int:
        """Interrupt all requests of a caller; how many there were."""
        found = self.of(caller)
        for one in found:
            self.stop(one)
        return len(found)

    def stop(self, running: Running) -> None:
        """Interrupt a request."""
        running.interrupted = True
        if running.task is not None:
            running.task.cancel()
