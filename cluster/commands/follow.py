"""Following a job: from its status in the store to progress bars, or plain lines where there is no terminal.

Owns what is drawn. Reads the store only, so it can be stopped and taken up again at will. Does not know Ray.
"""

import time
from collections.abc import Callable
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from textinv.errors import StoreError
from textinv.jobs import ConceptStatus, JobRecord, JobStatus, JobStore
from textinv.jobs.status import has_ended, waiting_status

POLL_S = 0.5
MAX_BARS = 24
PATIENCE_S = 120.0
"""A store may be silent for so long before following is given up."""


def follow(
    job_store: JobStore,
    record: JobRecord,
    console: Console,
    *,
    keep_alive: Callable[[], object] = lambda: None,
    timeout_s: float | None = None,
    poll_s: float = POLL_S,
) -> JobStatus:
    """Show a job until it ends or `timeout_s` is over, and return its last status.

    `keep_alive` is called with every look: it may start a new driver when the old one died.

    Raises:
        StoreError: the store does not answer for long.
    """
    begun = answered = time.monotonic()
    status = waiting_status(record)
    with _shown(console) as screen:
        while not has_ended(status, record) and not (timeout_s is not None and time.monotonic() - begun > timeout_s):
            try:
                found = job_store.status(record.id)
                answered = time.monotonic()
            except StoreError:
                if time.monotonic() - answered > PATIENCE_S:
                    raise
                found = None
            if found is not None and found.generation >= record.generation:
                status = found
                screen.update(status)
            if not has_ended(status, record):
                keep_alive()
                time.sleep(poll_s)
    return status


class Bars:
    """Progress bars: one for the job, one for each concept that runs or has ended."""

    def __init__(self, console: Console) -> None:
        self._whole = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
        )
        self._parts = Progress(
            TextColumn("  {task.description:<24}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
        )
        self._job: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}
        self._live = Live(Group(self._whole, self._parts), console=console, refresh_per_second=4)

    def __enter__(self) -> "Bars":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, status: JobStatus) -> None:
        """Show a status."""
        if self._job is None:
            self._job = self._whole.add_task(status.name, total=status.total, facts="")
        self._whole.update(self._job, total=status.total, completed=status.done, facts=job_facts(status))
        shown = [concept for concept in status.concepts if concept.state != "waiting"][-MAX_BARS:]
        names = {concept.name for concept in shown}
        for name in [name for name in self._tasks if name not in names]:
            self._parts.remove_task(self._tasks.pop(name))
        for concept in shown:
            if concept.name not in self._tasks:
                self._tasks[concept.name] = self._parts.add_task(concept.name, total=None, facts="")
            self._parts.update(
                self._tasks[concept.name],
                total=concept.max_steps or 1,
                completed=concept.max_steps or 1 if concept.state == "done" else concept.step,
                facts=concept_facts(concept),
            )


class Lines:
    """A line whenever a concept's state changes, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, str] = {}

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, status: JobStatus) -> None:
        """Show what changed."""
        for concept in status.concepts:
            if concept.state != self._states.get(concept.name, "waiting"):
                self._states[concept.name] = concept.state
                done = f"[{status.done}/{status.total}]"
                self._console.print(f"{done} {concept.name}: {concept_facts(concept)}", markup=False)


def _shown(console: Console) -> Bars | Lines:
    return Bars(console) if console.is_terminal else Lines(console)


def job_facts(status: JobStatus) -> str:
    """What is said of a job beside its bar."""
    facts: list[str] = [status.state]
    facts += [f"{count} {name}" for name in ("running", "failed", "cancelled") if (count := getattr(status, name))]
    if status.eta_s is not None and not status.ended:
        facts.append(f"about {timedelta(seconds=round(status.eta_s))} left")
    if status.concepts_per_hour is not None:
        facts.append(f"{status.concepts_per_hour:.0f} concepts/h")
    if status.problem:
        facts.append(status.problem)
    return ", ".join(facts)


def concept_facts(concept: ConceptStatus) -> str:
    """What is said of a concept beside its bar."""
    loss = f", loss {concept.loss:.4f}" if concept.loss is not None else ""
    if concept.state == "done":
        version = f"@{concept.version}" if concept.version else ""
        return f"done: <{concept.name}{version}>{loss}, {concept.step} steps" if concept.step else "done"
    if concept.state == "failed":
        return f"failed: {concept.problem or 'see `textinv job show`'}"
    if concept.state == "running":
        return f"step {concept.step}{loss}"
    return concept.state
