"""All that a driver does for one base model: its queue, its crews, the jobs that wait for it.

Owns its round: look at the queue, note what happened, report on jobs; then let crews come and go, with an eye on
what the other base models have. Does not know Ray nor where jobs come from.
"""

import secrets
import time
from collections.abc import Callable, Sequence

from cluster.driver.crews import NOBODY, Crew, CrewStarter, Others, idle_crews, new_crews
from cluster.driver.open_jobs import OpenJob, OpenJobs
from cluster.driver.reports import Reports
from cluster.queue.messages import BaseModelRef
from cluster.queue.on_ray import QueueForDriver
from cluster.queue.views import Event, QueueView
from textinv.jobs.fleet import FleetSettings

MAX_FAILED_STARTS = 3
"""So many workers in a row may die before they have any work; then the base model's jobs are given up."""
LINGER_S = 2.0
"""A crew without work waits so long for more."""
GRACE_S = 20.0
"""A crew that was dismissed may take so long to end; then it is abandoned."""


class ServedBaseModel:
    """A base model that a fleet serves."""

    def __init__(
        self,
        base: BaseModelRef,
        queue: QueueForDriver,
        start_crew: CrewStarter,
        open_jobs: OpenJobs,
        reports: Reports,
        clock: Callable[[], float] = time.monotonic,
        hear: Callable[[QueueView], None] = lambda view: None,
    ) -> None:
        """`hear` is told of every look at the queue."""
        self.base, self.queue = base, queue
        self._start_crew, self._open_jobs, self._reports, self._clock = start_crew, open_jobs, reports, clock
        self._hear = hear
        self.crews: list[Crew] = []
        self.view: QueueView | None = None
        self._dismissed: dict[str, float] = {}
        self._idle_since: dict[str, float] = {}
        self.served = clock()
        """When it last had a crew; at first, when it was opened."""
        self._seen = 0
        self._problem: str | None = None
        self._forgiven = 0
        self._failed_crews = 0

    def look(self) -> None:
        """See what happened, and tell of it."""
        view = self.queue.view(self._seen)
        if view.num_events < self._seen:  # the queue's process was replaced, and counts anew
            view = self.queue.view(0)
        for event in view.events:
            self._reports.note(event)
            self._open_jobs.note(event)
        self._keep_rows(view.events)
        self._seen, self.view = view.num_events, view
        self._hear(view)
        self._problem = self._problem_of(view)
        self._report(view, self._problem)
        if self.crews:
            self.served = self._clock()
        self._bury_ended()

    def staff(self, settings: FleetSettings, others: Others = NOBODY) -> None:
        """Let crews come and go by what was last seen."""
        if self.view is None:
            return
        if self._problem is None:
            self._hire(self.view, settings, others)
            self._let_go(self.view, settings, others)
        else:
            self._forgive(self.view)

    @property
    def staying(self) -> list[Crew]:
        """The crews that were not told to go."""
        return [crew for crew in self.crews if crew.name not in self._dismissed]

    @property
    def is_starving(self) -> bool:
        """Whether work waits here and nobody will do it."""
        return self.view is not None and self.view.waiting > 0 and self._problem is None and not self.staying

    def dismiss_all(self) -> None:
        """Tell all crews to hand back what they have and go."""
        self._dismiss([crew.name for crew in self.crews])

    def abandon_all(self) -> None:
        """Stop all crews at once."""
        for crew in self.crews:
            crew.abandon()

    def _jobs(self) -> list[OpenJob]:
        return [job for job in self._open_jobs.jobs.values() if job.base.base_revision == self.base.base_revision]

    def _keep_rows(self, events: Sequence[Event]) -> None:
        """See that rows which are to be kept are published before their job is closed, whatever their worker did."""
        for job in self._jobs() if any(event.kind == "cancelled" for event in events) else ():
            mine = (event for event in events if event.kind == "cancelled" and job.record.id in event.jobs)
            self._open_jobs.keep_rows(job, {event.fingerprint for event in mine})

    def _report(self, view: QueueView, problem: str | None) -> None:
        views = {job.job_id: job for job in view.jobs}
        for job in self._jobs():
            if job.record.id not in views:
                self._open_jobs.tell(job, self.queue)
                continue
            status = self._reports.write(job, views[job.record.id], view, problem)
            if status.ended:
                self._open_jobs.close(job, self.queue)
                self._reports.forget(job.record.id)

    def _problem_of(self, view: QueueView) -> str | None:
        """Why no work can be done here at all."""
        self._forgiven = min(self._forgiven, len(view.failed_starts))
        if view.leased:
            self._failed_crews = 0
        reasons = view.failed_starts[self._forgiven :]
        if max(len(reasons), self._failed_crews) < MAX_FAILED_STARTS:
            return None
        last = reasons[-1] if reasons else "see the job's log"
        return f"{MAX_FAILED_STARTS} workers in a row died before they had any work; the last: {last}"

    def _forgive(self, view: QueueView) -> None:
        """Send all crews away; whoever submits next may try again."""
        self.dismiss_all()
        self._forgiven, self._failed_crews = len(view.failed_starts), 0

    def _bury_ended(self) -> None:
        for crew in [crew for crew in self.crews if crew.ended]:
            self.crews.remove(crew)
            self.queue.bury_crew(crew.name)
            if self._dismissed.pop(crew.name, None) is None and crew.problem is not None:
                self._failed_crews += 1
                for job in self._jobs():
                    self._reports.say(job.record.id, f"crew {crew.name} ended: {crew.problem}")

    def _hire(self, view: QueueView, settings: FleetSettings, others: Others) -> None:
        for size in new_crews(view, self.staying, settings, others):
            name = f"crew-{secrets.token_hex(3)}"
            self.crews.append(self._start_crew(name, self.base, size))

    def _let_go(self, view: QueueView, settings: FleetSettings, others: Others) -> None:
        now, idle = self._clock(), idle_crews(view, self.crews, settings, others)
        self._idle_since = {name: self._idle_since.get(name, now) for name in idle}
        patience = 0.0 if settings.draining else LINGER_S
        self._dismiss([name for name, since in self._idle_since.items() if now - since >= patience])
        for crew in self.crews:
            if now - self._dismissed.get(crew.name, now) > GRACE_S:
                crew.abandon()

    def _dismiss(self, names: list[str]) -> None:
        fresh = [name for name in names if name not in self._dismissed]
        if fresh:
            self.queue.dismiss(fresh)
            self._dismissed |= dict.fromkeys(fresh, self._clock())
