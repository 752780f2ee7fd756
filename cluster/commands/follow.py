"""Following a job to its end, for `submit --follow`, `job wait` and whoever else watches one.

Owns what is drawn (progress bars, or plain lines where there is no terminal), starting a new driver when one died while
somebody watches, and saying how a job ended. Reads the store only, so it can be stopped and taken up again at will.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from cluster.driver.launch import ensure_driver, fleet_of
from cluster.driver.options import DriverOptions
from textinv.cli.output import emit, literal, stderr, warn
from textinv.cli.waiting import EVERY_S, duration
from textinv.errors import ClusterError, StoreError
from textinv.jobs import ConceptStatus, JobRecord, JobStatus, JobStore
from textinv.jobs.status import has_ended, waiting_status
from textinv.placeholders import ConceptRef
from textinv.settings import Settings

POLL_S = 0.5
MAX_BARS = 24
MAX_IN_A_LINE = 4
MAX_LOOKED_AT = 24
PATIENCE_S = 120.0
"""A store may be silent for so long before following is given up."""
_LOOK_S = 3.0
_TELLING_STEPS = 10
"""Before so many the time per step is mostly that of the start."""
MAX_RESTARTS = 3
"""A driver that dies more often under one watcher is not started again."""


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
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
            console=console,
        )
        self._parts = Progress(
            TextColumn("  {task.description:<24}", markup=False),
            BarColumn(bar_width=16),  # with a name of 18 characters, 80 columns
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
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
            self._job = self._whole.add_task(str(literal(status.name)), total=status.total, facts="")
        self._whole.update(self._job, total=status.total, completed=status.done, facts=str(literal(job_facts(status))))
        shown = [concept for concept in status.concepts if concept.state != "waiting"][-MAX_BARS:]
        names = {concept.name for concept in shown}
        for name in [name for name in self._tasks if name not in names]:
            self._parts.remove_task(self._tasks.pop(name))
        for concept in shown:
            if concept.name not in self._tasks:
                self._tasks[concept.name] = self._parts.add_task(str(literal(concept.name)), total=None, facts="")
            is_done = concept.state == "done"
            self._parts.update(
                self._tasks[concept.name],
                total=(concept.step if is_done else concept.max_steps) or 1,
                completed=(concept.step or 1) if is_done else concept.step,
                facts=str(literal(_done_facts(concept) if is_done else concept_facts(concept))),
            )


class Lines:
    """A line whenever a concept's state changes, and one of all that runs every `every_s`, for logs and pipes."""

    def __init__(self, console: Console, every_s: float = EVERY_S) -> None:
        self._console, self._every_s = console, every_s
        self._states: dict[str, str] = {}
        self._begun = self._told = time.monotonic()

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
                self._console.print(literal(f"{done} {concept.name}: {concept_facts(concept)}"))
        now = time.monotonic()
        if now - self._told >= self._every_s and not status.ended:
            self._told = now
            self._console.print(literal(progress_line(status, now - self._begun)))


def _shown(console: Console) -> Bars | Lines:
    return Bars(console) if console.is_terminal else Lines(console)


def progress_line(status: JobStatus, watched_s: float) -> str:
    """How far a job is, in a line: each concept that runs with its steps and loss, and the time that is left."""
    running = [concept for concept in status.concepts if concept.state == "running"]
    facts = [f"{one.name}: {_step(one)}{_loss(one)}" for one in running[:MAX_IN_A_LINE]]
    facts += [f"{len(running) - len(facts)} more"] if len(running) > len(facts) else []
    left = status.eta_s if status.eta_s is not None else _most_left_s(running)
    facts += [f"about {duration(left)} left"] if left else []
    awaited = "other jobs come first" if status.workers else "waiting for a worker, which takes a minute to start"
    facts = facts or [status.problem or f"{awaited}: {duration(watched_s)} so far"]
    return f"[{status.done}/{status.total}] {'; '.join(facts)}"


def _most_left_s(running: Sequence[ConceptStatus]) -> float | None:
    """How long those that run would take to their last step, while no concept has shown how long one takes."""
    lefts = (one.elapsed_s / one.step * (one.max_steps - one.step) for one in running if one.step >= _TELLING_STEPS)
    return max(lefts, default=None)


def _step(concept: ConceptStatus) -> str:
    if 0 < concept.max_steps <= concept.step:
        return f"all {concept.step} steps taken, being finished"
    return f"step {concept.step} of at most {concept.max_steps}"


def _loss(concept: ConceptStatus) -> str:
    return f", loss {concept.loss:.4f}" if concept.loss is not None else ""


def job_facts(status: JobStatus) -> str:
    """What is said of a job beside its bar."""
    facts: list[str] = [] if status.state == "running" and status.running else [status.state]
    facts += [f"{count} {name}" for name in ("running", "failed", "cancelled") if (count := getattr(status, name))]
    if status.eta_s and not status.ended:
        facts.append(f"about {duration(status.eta_s)} left")
    if status.concepts_per_hour is not None:
        facts.append(f"{status.concepts_per_hour:.0f} concepts/h")
    if status.problem:
        facts.append(status.problem)
    return ", ".join(facts)


def _done_facts(concept: ConceptStatus) -> str:
    """What is said of a concept that is done beside its bar, which has the steps."""
    return f"done: <{concept.name}@{concept.version}>" if concept.version else "done"


def concept_facts(concept: ConceptStatus) -> str:
    """What is said of a concept in a line, and beside its bar."""
    loss = _loss(concept)
    if concept.state == "done":
        version = f": <{concept.name}@{concept.version}>" if concept.version else ""  # a guess has none
        return f"done{version}{loss}, {concept.step} steps" if concept.step else "done"
    if concept.state == "failed":
        return f"failed: {concept.problem or 'see `textinv job show`'}"
    if concept.state == "running":
        return f"step {concept.step}{loss}"
    return concept.state


class DriverWatch:
    """Starts a new driver when the old one died."""

    def __init__(self, settings: Settings, options: DriverOptions) -> None:
        self._settings, self._options = settings, options
        self._looked = time.monotonic()
        self._restarts = 0

    def __call__(self) -> None:
        """Look, every few seconds.

        Raises:
            ClusterError: drivers die again and again.
        """
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        if ensure_driver(self._settings, self._options):
            self._restarts += 1
            if self._restarts > MAX_RESTARTS:
                raise ClusterError(f"the driver died {self._restarts} times: see `textinv job logs --driver`")
            warn("the driver died; a new one continues where it stopped")


def watch(
    job_store: JobStore, record: JobRecord, settings: Settings, options: DriverOptions, timeout_s: float | None = None
) -> JobStatus:
    """Follow a job on standard error to its end; who stops that is told that the job goes on."""
    is_ours = record.fleet == fleet_of(settings)
    keep_alive: Callable[[], object] = DriverWatch(settings, options) if is_ours else lambda: None
    with goes_on(record.id):
        return follow(job_store, record, stderr(), keep_alive=keep_alive, timeout_s=timeout_s)


@contextmanager
def goes_on(job_id: str) -> Iterator[None]:
    """Whoever stops following with Ctrl-C is told that the job goes on, and how to follow or cancel it."""
    try:
        yield
    except KeyboardInterrupt:
        stderr().print(
            literal(
                f"job {job_id} goes on without you: `textinv job wait {job_id}` follows it again, "
                f"`textinv job cancel {job_id}` ends it"
            )
        )
        raise


def tell_of_the_gate(job_store: JobStore, job: JobRecord, status: JobStatus) -> None:
    """Say which of a small job's versions did not become current, or did though they are worse, and what to do."""
    from textinv.registry import Registry

    registry = Registry(job_store.store)
    for concept in status.concepts[:MAX_LOOKED_AT]:
        if concept.state != "done" or concept.version is None:
            continue
        ref = ConceptRef(concept.name, concept.version)
        one = next((each for each in registry.versions(ref.name) if each.version == ref.version), None)
        if one is None:
            continue
        if one.held and not one.current:
            warn(
                f"{ref.placeholder} is not current: {one.held}. `textinv concept compare` shows both, "
                f"`textinv concept promote {ref.name}@{ref.version}` makes it current"
            )
        elif job.gate == "warn" and (worse := registry.resolve(ref).record.get("gate", {}).get("reasons")):
            back = f"`textinv concept rollback {ref.name}` goes back"
            warn(f"{ref.placeholder} is current, and worse: {'; '.join(worse)}. {back}")


def end_with(status: JobStatus, json: bool, facts: Mapping[str, Any] | None = None) -> None:
    """Say how a job ended; fails when it did not end well."""
    counts = {name: getattr(status, name) for name in ("done", "failed", "cancelled", "running", "waiting")}
    text = f"job {status.job_id}: {status.state} ({', '.join(f'{n} {name}' for name, n in counts.items() if n)})"
    for concept in status.concepts:
        if concept.state == "failed":
            text += f"\n{concept.name}: {concept.problem}"
    if status.problem:
        text += f"\n{status.problem}"
    emit({**(facts or {}), "status": status.model_dump(mode="json")}, json, text)
    if status.state != "done":
        raise typer.Exit(1)
