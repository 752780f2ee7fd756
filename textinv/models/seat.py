"""A frozen part's place on its device, which it leaves while nothing needs it.

Owns moving it away, and back when somebody uses it: several threads may, and none loses it under its hands. Does not
know what the part is, nor when it is worth it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

AWAY = torch.device("cpu")


def may_leave(network: Any, home: torch.device) -> bool:
    """Whether there is another memory than the device's, as there is not on a CPU; weights of four bits stay where they
    were rounded."""
    return home != AWAY and not getattr(network, "is_loaded_in_4bit", False)


class Seat:
    """Where a network is."""

    def __init__(self, network: Any, home: torch.device) -> None:
        self._network, self._home = network, home
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
        if self.is_home != to_home:
            self._network.to(self._home if to_home else AWAY)
            self.is_home = to_home
