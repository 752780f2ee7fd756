"""The services' commands: `textinv up | down`, `textinv serve up | down | status`, `textinv keys ...`.

Owns flags and what is printed. Imports what is heavy when a command needs it.
"""

from typing import Annotated
from urllib.parse import urlsplit

import typer

from services.access import commands as key_commands
from services.local import up_commands
from services.local.up_commands import ConfigFile, Resize
from textinv.cli.config import current_settings
from textinv.cli.output import AsJson, emit
from textinv.cli.waiting import waiting_for


def register(app: typer.Typer) -> None:
    """Add the commands."""
    up_commands.register(app)
    serve = typer.Typer(no_args_is_help=True, help="Start, stop and check the HTTP service.")
    serve.command("up")(up)
    serve.command("down")(down)
    serve.command("status")(status)
    app.add_typer(serve, name="serve")
    keys = typer.Typer(no_args_is_help=True, help="API keys of the HTTP service.")
    keys.command("create")(key_commands.create)
    keys.command("ls")(key_commands.list_keys)
    keys.command("share")(key_commands.share)
    keys.command("revoke")(key_commands.revoke)
    app.add_typer(keys, name="keys")


def up(
    base_model: Annotated[str | None, typer.Option(help="Base model that draws; default: emoji.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: that of `service_url`.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: that of `service_url`.")] = None,
    keys: Annotated[bool | None, typer.Option(help="Require an API key; default: if other machines can call.")] = None,
    replicas: Annotated[int | None, typer.Option(help="Replicas that draw; default: 1.", min=1)] = None,
    gpus: Annotated[float | None, typer.Option(help="GPUs per replica; default: 0.", min=0)] = None,
    resize: Resize = None,
    config_file: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Start the service and wait until it is ready."""
    from services.local.config_file import choose_config
    from services.local.lifecycle import start_service
    from textinv.settings import is_loopback

    settings = current_settings()
    stated = urlsplit(settings.service_url)
    host = host or stated.hostname or "127.0.0.1"
    flags = {
        "base_model": base_model,
        "min_replicas": replicas,
        "max_replicas": replicas,
        "num_gpus": gpus,
        "keys": keys,
        "resize": resize,
    }
    config = choose_config(config_file, flags, {"keys": not is_loopback(host)})
    with waiting_for("starting the service"):
        state = start_service(settings, config, host, port or stated.port or 8000)
    emit(state, json, f"{state.base_model} draws at {state.url}")


def down(json: AsJson = False) -> None:
    """Stop the service that `up` started."""
    from services.local.lifecycle import stop_service

    with waiting_for("stopping the service"):
        stopped = stop_service(current_settings())
    emit({"stopped": stopped}, json, "stopped" if stopped else "no service was running")


def status(json: AsJson = False) -> None:
    """Show whether the service runs; exit status 1 when it is not ready."""
    from services.local.lifecycle import is_ready
    from services.local.state import ServiceFolder

    settings = current_settings()
    folder = ServiceFolder(settings.home)
    state = folder.load()
    url = state.url if state else settings.service_url
    ready = is_ready(url)
    shown = {
        "ready": ready,
        "url": url,
        "base_model": state.base_model if state else None,
        "pid": state.pid if state and folder.is_kept() else None,
        "started": state.started if state else None,
        "log": str(folder.log) if folder.log.exists() else None,
    }
    emit(shown, json)
    if not ready:
        raise typer.Exit(1)
