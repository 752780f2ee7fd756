"""`textinv submit`: plan a manifest, put its job into the store, and make sure that somebody works on it.

Owns the order of these; everything that can be wrong with a manifest shows before anything is started.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, cast, get_args

import typer

from textinv.cli.config import loaded_settings, settings_at
from textinv.cli.output import AsJson, counted, emit, literal, stderr, warn
from textinv.cli.waiting import counting, waiting_for
from textinv.errors import InputError
from textinv.states import MAX_PRIORITY

if TYPE_CHECKING:
    from cluster.driver.options import DriverOptions
    from textinv.jobs import JobRecord, JobStore
    from textinv.manifest.fields import Manifest
    from textinv.plan import Plan
    from textinv.settings import Settings

GateMode = Literal["off", "warn", "on"]
Slots = Annotated[str | None, typer.Option("--slots", help="Concepts that a worker trains at once: a number or auto.")]
Compiled = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the UNet for training (torch.compile, CUDA graphs): takes minutes per picture size; needs "
        "--slots N.",
    ),
]

Gate = Annotated[
    str,
    typer.Option(help="If scores fall: on keeps the old version current, warn only records it, off does not compare."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(submit)


def submit(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest (YAML).")],
    address: Annotated[str | None, typer.Option(help="Jobs address of a Ray cluster; default: a local Ray.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show progress until the job ends.")] = False,
    priority: Annotated[
        int, typer.Option(min=-MAX_PRIORITY, max=MAX_PRIORITY, help="Jobs with a higher priority come first.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Maximum number of workers.")] = 1,
    crew_size: Annotated[int | None, typer.Option(min=1, help="Workers that start and stop together.")] = None,
    threads_per_worker: Annotated[int | None, typer.Option(min=1, help="CPU threads of a worker.")] = None,
    gpu: Annotated[bool | None, typer.Option(help="Give each worker a GPU; default: if there is one.")] = None,
    gpus: Annotated[
        str | None, typer.Option(help="GPUs of this machine to learn on, by CUDA's numbers: 0, or 0,1.")
    ] = None,
    slots: Slots = None,
    compiled: Compiled = False,
    gate: Gate = "on",
    json: AsJson = False,
) -> None:
    """Learn the concepts of a manifest; those that are done are not learned again.

    Results are scored with the encoders of the settings (`textinv --encoder FOLDER submit`), else the base's own CLIP.
    """
    from cluster.commands.follow import end_with, tell_of_the_gate, watch
    from textinv.manifest import load_manifest

    settings = settings_at(address)
    options = _options(workers, crew_size, threads_per_worker, gpu, gpus, slots, compiled)
    made = submitted(load_manifest(manifest), settings, options, priority, gate_mode(gate))
    if not follow:
        emit(made.facts, json, made.text)
        return
    stderr().print(literal(made.text))
    status = watch(made.job_store, made.record, settings, options)
    tell_of_the_gate(made.job_store, made.record, status)
    end_with(status, json, made.facts)


class Submitted(NamedTuple):
    """A job that is in the store, and has a driver if anything of it is left to do."""

    job_store: "JobStore"
    record: "JobRecord"
    facts: dict[str, Any]
    text: str


def submitted(
    loaded: "Manifest", settings: "Settings", options: "DriverOptions", priority: int = 0, gate: GateMode = "on"
) -> Submitted:
    """Plan a manifest, put its job into the store, and start a driver where one is needed."""
    from cluster.driver.launch import ensure_driver, fleet_of
    from textinv.jobs import JobStore
    from textinv.jobs.sharing import Tenant
    from textinv.jobs.submission import submit_plan
    from textinv.plan import make_plan
    from textinv.plan.resolve import base_name
    from textinv.registry import Registry
    from textinv.store import ensure_store

    registry = Registry(ensure_store(settings))
    with counting("looking at pictures") as count:
        plan = make_plan(loaded, registry, settings=settings, progress=count)
    with counting("uploading pictures") as count:
        made = submit_plan(
            plan,
            registry,
            base_model=base_name(loaded),
            revision=loaded.revision,
            fleet=fleet_of(settings),
            priority=priority,
            gate=gate,
            tenant=Tenant(),
            progress=count,
        )
    record, left = made.record, plan.counts["new"] + plan.counts["changed"]
    with waiting_for("starting the driver"):
        started = bool(left) and ensure_driver(settings, options)
    _warn(plan, options, has_driver=bool(left) and not started)
    facts = {
        "job": record.id,
        "fleet": record.fleet,
        "counts": dict(plan.counts),
        "uploaded": made.uploaded,
        "moved_heads": made.moved_heads,
        "driver_started": started,
    }
    of, uploaded = counted(record.num_concepts, "concept"), f"{counted(made.uploaded, 'picture')} uploaded"
    text = f"job {record.id}: {left} of {of} to learn, {uploaded if made.uploaded else 'their pictures are stored'}"
    return Submitted(JobStore(registry.store), record, facts, text)


def gate_mode(said: str) -> GateMode:
    """What `--gate` says.

    Raises:
        InputError: it is none of the three.
    """
    for mode in get_args(GateMode):
        if said == mode:
            return cast(GateMode, mode)
    raise InputError(f"--gate {said!r} is neither on, warn nor off")


def _warn(plan: "Plan", options: "DriverOptions", has_driver: bool) -> None:
    """Tell what is doubtful about a plan, and that a driver that runs does not hear what was said for a new one."""
    from cluster.driver.options import DriverOptions

    for warning in plan.warnings:
        warn(str(warning))
    if has_driver and (options != DriverOptions() or loaded_settings().origin["encoders"] == "flag"):
        warn("a driver is running already and keeps its own options, not these; `textinv fleet stop` ends it")


def _options(
    workers: int,
    crew_size: int | None,
    threads: int | None,
    gpu: bool | None,
    gpus: str | None,
    slots: str | None,
    compiled: bool,
) -> "DriverOptions":
    from cluster.driver.options import DriverOptions

    if slots is not None and slots != "auto" and not (slots.isdecimal() and int(slots) > 0):
        raise InputError(f"--slots {slots!r} is neither a positive number nor auto")
    if gpus is not None and not all(one.isdecimal() for one in gpus.split(",")):
        raise InputError(f"--gpus {gpus!r} is not a list of GPU numbers: write 0, or 0,1")
    if compiled and slots in (None, "auto"):
        raise InputError("--compile without a number of slots would compile every number that is tried: add --slots N")
    given = {
        "workers": workers,
        "crew_size": crew_size,
        "threads_per_worker": threads,
        "use_gpu": gpu,
        "gpus": gpus,
        "num_slots": int(slots) if slots is not None and slots != "auto" else slots,
        "compiled": compiled,
    }
    return DriverOptions.model_validate({name: value for name, value in given.items() if value is not None})
