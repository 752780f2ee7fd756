"""A frozen part's place on its device, which it leaves while nothing needs it.

Owns moving it away, and back when somebody uses it: several threads may, and none loses it under its hands. Does not
know what the part is, nor when it is worth it. Where there is only one memory, on a CPU, nothing moves.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

AWAY = torch.device("cpu")


class Seat:
    """Where a network is."""

    def __init__(self, network: Any, home: torch.device) -> None:
        self._network, self._home = network, home
        self._moves = home != AWAY and not getattr(network, "is_loaded_in_4bit", False)
        self._lock = threading.Lock()
        self._num_users = 0
        self.is_home = True

    @contextmanager
    def used(self) -> Iterator[None]:
        """The part is on its device meanwhile, and stays until it is sent away."""
        with self._lock:
            self._num_users += 1
            self._move(to_home=True)
        try:
            yield
        finally:
            with self._lock:
                self._num_users -= 1

    def leave(self) -> None:
        """Make room for others, unless somebody uses the part just now."""
        with self._lock:
            if not self._num_users:
                self._move(to_home=False)

    def _move(self, *, to_home: bool) -> None:
        if self._moves and self.is_home != to_home:
            self._network.to(self._home if to_home else AWAY)
            self.is_home = to_home
