"""`textinv job`: what was submitted, how far it is, and changing one's mind.

Owns the commands; all they do is written in the job store, from where a driver reads it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textinv.cli.config import current_settings, nothing_in_store, settings_at
from textinv.cli.output import AsJson, emit, rows_table

if TYPE_CHECKING:
    from textinv.jobs import JobRecord, JobStatus, JobStore

Job = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, as in `textinv job ls`, or its beginning.")]
Address = Annotated[str | None, typer.Option(help="Jobs address of a Ray cluster; default: a local Ray.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Follow, cancel and resume what was submitted.")
    group.command("ls")(list_jobs)
    for command in (show, logs, report, cancel, resume, wait, purge):
        group.command()(command)
    app.add_typer(group, name="job")


def list_jobs(json: AsJson = False) -> None:
    """List jobs, the last submitted first."""
    job_store = _job_store()
    statuses = [(record, job_store.current_status(record)) for record in job_store.jobs()]
    rows = [_row(record, status) for record, status in statuses]
    emit(rows, json, rows_table(rows, none=nothing_in_store()))


def show(job: Job, json: AsJson = False) -> None:
    """Show a job and its concepts, or its guess."""
    job_store = _job_store()
    record = job_store.find(job)
    status = job_store.current_status(record)
    concepts = (_guess if record.kind == "guess" else _concepts)(job_store, record, status)
    columns = ("name", "state", "step", "loss", "guess" if record.kind == "guess" else "version", "problem")
    if json:
        emit({"record": record, "status": status.model_copy(update={"concepts": ()}), "concepts": concepts}, json)
        return
    emit(None, json, rows_table([_row(record, status)]))
    emit(None, json, rows_table({column: concept[column] for column in columns} for concept in concepts))
    deaths = [{"died with": concept["name"], **death} for concept in concepts for death in concept["evidence"]]
    if deaths:
        emit(None, json, rows_table(deaths))


def _concepts(job_store: "JobStore", record: "JobRecord", status: "JobStatus") -> list[dict[str, Any]]:
    from textinv.jobs.details import all_concepts
    from textinv.registry import Registry

    details = all_concepts(job_store, Registry(job_store.store), status, record)
    return [one.status.model_dump() | {"evidence": one.failure.evidence if one.failure else ()} for one in details]


def _guess(job_store: "JobStore", record: "JobRecord", status: "JobStatus") -> list[dict[str, Any]]:
    from textinv.jobs.guess_order import guess_status, read_order, trained_guess

    order = read_order(job_store.store, record.id)
    failure = job_store.failure(record.id, order.fingerprint)
    told = guess_status(order, status, failure).model_dump()
    evidence = failure.evidence if failure else ()
    return [told | {"guess": trained_guess(job_store.store, order), "evidence": evidence}]


def logs(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Id of a job.")] = None,
    driver: Annotated[bool, typer.Option("--driver", help="Show the end of the local driver's own log.")] = False,
    json: AsJson = False,
) -> None:
    """Show what happened in a job."""
    if driver or job is None:
        from textinv.jobs.home_driver import HomeDriver

        text = HomeDriver(current_settings().home).last_words()
    else:
        job_store = _job_store()
        text = job_store.log(job_store.find(job).id)
    emit({"lines": text.splitlines()}, json, text or "(nothing yet)")


def report(
    job: Job,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Default: JOB.html here.")] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Also write curves and pictures here, as TensorBoard event files.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a job's story as one HTML file: pictures, curves, figures, and why each concept ended."""
    from textinv.report import tell, write_page
    from textinv.report.events import write_events

    job_store = _job_store()
    story = tell(job_store.store, job_store.find(job).id)
    path = output or Path(f"{story.job.id}.html")
    write_page(story, path)
    told: dict[str, Any] = {"report": str(path), "concepts": len(story.concepts), "left_out": story.left_out}
    if tensorboard is not None:
        told |= {"tensorboard": str(tensorboard), "curves": write_events(story, tensorboard)}
    emit(told, json)


def cancel(
    job: Job,
    concepts: Annotated[
        list[str] | None, typer.Option("--concept", help="Only this concept; can be given again.")
    ] = None,
    keep_rows: Annotated[bool, typer.Option("--keep-rows", help="Publish the best rows learned so far.")] = False,
    json: AsJson = False,
) -> None:
    """Cancel a job, or some of its concepts; what is published stays."""
    job_store = _job_store()
    job = job_store.find(job).id
    outcome = job_store.cancel(job, concepts or None, keep_rows)
    facts = {"job": job, "changed": outcome.changed, "note": outcome.note}
    if not outcome.changed:
        emit({**facts, "cancelled": []}, json, outcome.note)
        return
    what = ", ".join(concepts) if concepts else "all that is not done"
    told = f"job {job}: cancelled {what}" + (f" ({outcome.note})" if outcome.note else "")
    emit({**facts, "cancelled": concepts or "all", "keep_rows": keep_rows}, json, told)


def resume(job: Job, address: Address = None, json: AsJson = False) -> None:
    """Resume a job: try again what was cancelled or failed, and continue what is half done."""
    from cluster.driver.launch import ensure_driver, fleet_of
    from cluster.driver.options import DriverOptions

    settings = settings_at(address)
    job_store = _job_store()
    job = job_store.find(job).id
    outcome = job_store.resume(job, fleet_of(settings))
    started = outcome.changed and ensure_driver(settings, DriverOptions())
    facts = {"job": job, "changed": outcome.changed, "note": outcome.note, "driver_started": started}
    emit(facts, json, outcome.note or f"job {job} goes on")


def wait(
    job: Job,
    timeout_s: Annotated[float | None, typer.Option("--timeout", min=0, help="Seconds; default: none.")] = None,
    address: Address = None,
    json: AsJson = False,
) -> None:
    """Wait for a job to end, showing progress; fails if the job fails or time runs out."""
    from cluster.commands.follow import end_with, watch
    from cluster.driver.options import DriverOptions

    job_store = _job_store()
    record = job_store.find(job)
    end_with(watch(job_store, record, settings_at(address), DriverOptions(), timeout_s), json)


def purge(
    job: Job,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Delete a job's training pictures and previews; digests stay in the records. This cannot be undone.

    Pictures that other jobs use stay until those are purged too.
    """
    from textinv.jobs.purge import purge as purge_pictures
    from textinv.registry import Registry

    job_store = _job_store()
    job = job_store.find(job).id
    if not yes:
        typer.confirm(f"Delete the training pictures of {job} for good?", abort=True, err=True)
    done = purge_pictures(Registry(job_store.store), job)
    stay = f"; {done.kept} stay, as other jobs use them: {', '.join(done.users)}" if done.kept else ""
    emit({"job": job, **done._asdict()}, json, f"pictures deleted: {done.deleted}{stay}")


def _job_store() -> "JobStore":
    from textinv.jobs import JobStore
    from textinv.store import ensure_store

    return JobStore(ensure_store(current_settings()))


def _row(record: "JobRecord", status: "JobStatus") -> dict[str, Any]:
    counts = {name: getattr(status, name) for name in ("done", "running", "waiting", "failed", "cancelled")}
    return {
        "job": record.id,
        "kind": record.kind,
        "state": status.state,
        "concepts": record.num_concepts,
        **counts,
        "priority": record.priority,
        "base_model": record.base_model,
        "submitted": record.submitted,
    }
