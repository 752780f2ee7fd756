"""`textinv up | down`: store, Ray and service of this machine in one command, and the address of the page.

Owns flags, those that `textinv serve up` has too among them, and what is printed; what is done lies in
`services.local.everything`.
"""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from textinv.cli.config import current_settings
from textinv.cli.output import AsJson, emit, stderr, warn
from textinv.cli.waiting import waiting_for

Resize = Annotated[
    bool | None,
    typer.Option(
        "--resize/--no-resize", help="Draw a size that the base model cannot draw at one that it can, then resize."
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file with fields of services/config.py, such as safety_checker; flags win."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("down")(down)


def up(
    base_model: Annotated[str | None, typer.Option(help="Base model that learns and draws; default: emoji.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: that of `service_url`.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: that of `service_url`.")] = None,
    gpus: Annotated[float | None, typer.Option(help="GPUs of the replica that draws; default: 0.", min=0)] = None,
    workers: Annotated[
        int | None, typer.Option(help="Maximum number of workers that learn; default: 1.", min=1)
    ] = None,
    resize: Resize = None,
    config_file: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Start store, Ray and service, wait until all are ready, and say where the page is."""
    from services.local.config_file import choose_config
    from services.local.everything import start_everything
    from textinv.settings import is_loopback

    settings = current_settings()
    stated = urlsplit(settings.service_url)
    host = host or stated.hostname or "127.0.0.1"
    flags: dict[str, Any] = {"base_model": base_model, "num_gpus": gpus, "resize": resize}
    if workers is not None:
        flags["driver_options"] = {"workers": workers}
    unless_said = {"keys": not is_loopback(host), "driver_options": {"workers": 1}}
    config = choose_config(config_file, flags, unless_said)
    if not json:
        stderr().print("starting the store, Ray and the service; this takes about half a minute ...")
    with waiting_for("starting"):
        found = start_everything(settings, config, host, port or stated.port or 8000)
    service = found.service
    if service.base_model != config.base_model:
        warn(f"{service.base_model} is served already; `textinv down` first, to serve {config.base_model}")
    page = f"{service.url}/"
    said = [f"{'already up' if found.was_up else 'ready'}: {page}    (`textinv down` stops everything)"]
    said += [f"continues with {', '.join(found.resumed)}"] if found.resumed else []
    said += ["callers need a key: `textinv keys create NAME --role admin` makes one"] if config.keys else []
    emit({"page": page, "was_up": found.was_up, "resumed": found.resumed, **dict(service)}, json, "\n".join(said))


def down(json: AsJson = False) -> None:
    """Stop the service, the workers (once they have saved their work) and the embedded store; all data stay."""
    from services.local.everything import stop_everything

    with waiting_for("stopping"):
        stopped = stop_everything(current_settings())
    names = {"service": stopped.service, "workers": stopped.driver, "store": stopped.store}
    there = [name for name, was_there in names.items() if was_there]
    emit({"stopped": there}, json, f"stopped: {', '.join(there)}" if there else "nothing was running")
