"""How often an address may send keys that nobody here remembers: each costs the store a request.

Owns the counts of one front. An address is a guess at who calls (a proxy's stands for all behind it), so only what is
not remembered is counted, and a key that turns out to exist costs nothing.
"""

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from textinv.errors import OverloadedError

# A program that is set up with an old key tries a few times; guessing 48 bits of an id takes a few more.
NUM_PER_MINUTE = 30
_MINUTE_S = 60.0
_MAX_ADDRESSES = 10_000


class Strangers:
    """Unknown keys by address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, num_per_minute: int = NUM_PER_MINUTE) -> None:
        self._clock, self._rate = clock, num_per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._counting = threading.Lock()

    def spend(self, address: str) -> None:
        """Count a key that is not remembered.

        Raises:
            OverloadedError: the address has sent too many.
        """
        with self._counting:
            left, now = self._left_of(address), self._clock()
            if left < 1:
                wait_s = math.ceil((1 - left) * _MINUTE_S / self._rate)
                raise OverloadedError(
                    f"{address} sent more than {self._rate} unknown API keys in a minute; come back in {wait_s} s "
                    "with one that exists",
                    retry_after_s=wait_s,
                )
            self._note(address, left - 1, now)

    def give_back(self, address: str) -> None:
        """Count one less: the key exists."""
        with self._counting:
            self._note(address, min(float(self._rate), self._left_of(address) + 1), self._clock())

    def _left_of(self, address: str) -> float:
        full = float(self._rate)
        left, since = self._left.get(_place_of(address), (full, self._clock()))
        return min(full, left + (self._clock() - since) * self._rate / _MINUTE_S)

    def _note(self, address: str, left: float, now: float) -> None:
        place = _place_of(address)
        self._left[place] = left, now
        self._left.move_to_end(place)
        while len(self._left) > _MAX_ADDRESSES:
            self._left.popitem(last=False)


def _place_of(address: str) -> str:
    """Whose address it is: with IPv6 everybody has a whole /64."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else address
