"""How much each API key may ask for: requests per minute, and requests at the same time.

Owns the counts. Does not know who shares them (`services.access.ledger`), nor HTTP.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.access.keys import ApiKey
from textinv.errors import OverloadedError

_MINUTE_S = 60.0
_MAX_KNOWN = 10_000


class Allowances:
    """Token buckets and counts by key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._drawing: Counter[str] = Counter()

    def spend(self, key: ApiKey | None) -> None:
        """Count a request.

        Raises:
            OverloadedError: the key has used up its requests of this minute.
        """
        if key is None or key.per_minute is None:
            return
        if len(self._buckets) > _MAX_KNOWN:
            self._buckets.clear()
        now = self._clock()
        left, since = self._buckets.get(key.id, (float(key.per_minute), now))
        left = min(float(key.per_minute), left + (now - since) * key.per_minute / _MINUTE_S)
        if left < 1:
            wait_s = math.ceil((1 - left) * _MINUTE_S / key.per_minute)
            raise OverloadedError(
                f"the API key {key.id} may make {key.per_minute} requests per minute; come back in {wait_s} s",
                retry_after_s=wait_s,
            )
        self._buckets[key.id] = left - 1, now

    @contextmanager
    def place(self, key: ApiKey | None) -> Iterator[None]:
        """Hold a place for a request while it is drawn.

        Raises:
            OverloadedError: the key's other requests hold all of them.
        """
        if key is None or key.concurrency is None:
            yield
            return
        check_concurrency(key, self._drawing[key.id])
        self._drawing[key.id] += 1
        try:
            yield
        finally:
            self._drawing[key.id] -= 1


def check_concurrency(key: ApiKey, num_drawing: int) -> None:
    """Check that a key may have one more request at the same time.

    Raises:
        OverloadedError: it may not.
    """
    if key.concurrency is not None and num_drawing >= key.concurrency:
        raise OverloadedError(
            f"the API key {key.id} may have {key.concurrency} requests at the same time; wait for one to end",
            retry_after_s=1,
        )
