"""Whose turn it is: the jobs that have specs to hand out, in the order in which they are served.

Owns a heap of turns. A turn that does not hold any more, as the job's number of leases changed since, is left in the
heap and passed over when it comes up; when most of the heap is such, it is made anew. So every operation takes the
logarithm of the number of jobs.
"""

import heapq
from collections.abc import Iterator, Mapping

from cluster.queue.ledger import JobLine

_SLACK = 64


class Turns:
    """The turns of `lines`, which others add to and take from; `note` must hear of each change of a line."""

    def __init__(self, lines: Mapping[str, JobLine]) -> None:
        self._lines = lines
        self._heap: list[tuple[tuple[int, int, float], str]] = []

    def note(self, line: JobLine) -> None:
        """Hear that a line has a spec to hand out, or that its turn changed."""
        turn = line.turn()
        if line.has_waiting and line.listed != turn:
            line.listed = turn
            heapq.heappush(self._heap, (turn, line.job_id))
            if len(self._heap) > 2 * len(self._lines) + _SLACK:
                self._heap = [(line.listed, name) for name, line in self._lines.items() if line.listed is not None]
                heapq.heapify(self._heap)

    def in_order(self) -> Iterator[JobLine]:
        """The lines that have specs to hand out, next first; each leaves the heap until it is noted again."""
        while self._heap:
            turn, job_id = heapq.heappop(self._heap)
            line = self._lines.get(job_id)
            if line is not None and line.listed == turn:
                line.listed = None
                if line.has_waiting:
                    yield line
