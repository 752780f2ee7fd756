"""The `textinv` application: its flags, its commands, and the way out when one fails.

Does not know what any command does.
"""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from textinv.cli.config import remember_flags
from textinv.cli.output import report_error
from textinv.errors import TextinvError

OWN_COMMANDS = ("new", "manifest", "generate", "evaluate", "concept", "guess", "store", "config")
"""Modules of `textinv.cli` with a `register(app)` of their own commands."""
COMMANDS_BY_EXTRA = {"cluster": "cluster.commands", "demo": "textinv.demo.commands", "services": "services.commands"}
"""Modules of other rooms that have one, too, by the extra of the package that they need."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    # What a command imports and reads is no garbage: to look through it again and again takes a tenth of its time, and
    # once more at the end a sixth of `generate`.
    gc.set_threshold(1_000_000)
    atexit.register(gc.freeze)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    os.environ.setdefault(
        "TRANSFORMERS_VERBOSITY", "error"
    )  # its advice about optional packages is not for people here
    try:
        build_app()(arguments)
    except TextinvError as error:
        sys.exit(report_error(error, json="--json" in arguments))
    except KeyboardInterrupt:
        sys.exit(130)


def build_app() -> typer.Typer:
    """Assemble all commands that can be had here."""
    app = typer.Typer(name="textinv", no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(_flags)
    for name in OWN_COMMANDS:
        import_module(f"textinv.cli.{name}").register(app)
    for extra, module in COMMANDS_BY_EXTRA.items():
        mount(app, extra, module)
    return app


def mount(app: typer.Typer, extra: str, module: str) -> None:
    """Let a room add its commands; where it is not installed, say in the help how to get it."""
    try:
        room = import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "textinv":
            raise
        _mount_hint(app, extra, error)
    else:
        room.register(app)


def _mount_hint(app: typer.Typer, extra: str, error: ModuleNotFoundError) -> None:
    def explain() -> None:
        typer.echo(
            f"the commands of `{extra}` need {error.name}, which is not installed here: they run from a checkout "
            f"of the project, with pip install -e '.[{extra}]'",
            err=True,
        )
        raise typer.Exit(1)

    app.command(extra, help=f"Not installed here: pip install -e '.[{extra}]' in a checkout.")(explain)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version as installed_version  # takes longer than all commands

        typer.echo(f"textinv {installed_version('textinv')}")
        raise typer.Exit


def _flags(
    config: Annotated[Path | None, typer.Option(help="Settings file (TOML).", exists=True, dir_okay=False)] = None,
    home: Annotated[Path | None, typer.Option(help="Folder for local state.")] = None,
    store_endpoint_url: Annotated[str | None, typer.Option(help="URL of an S3-compatible server.")] = None,
    store_bucket: Annotated[str | None, typer.Option(help="Bucket in the store.")] = None,
    store_prefix: Annotated[str | None, typer.Option(help="Prefix of all keys in the bucket.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Address of the Ray cluster.")] = None,
    encoder: Annotated[
        list[Path] | None, typer.Option(help="A CLIP or DINO folder that scores what is learned; can be given again.")
    ] = None,
    service_url: Annotated[str | None, typer.Option(help="URL of the HTTP service.")] = None,
    device: Annotated[str | None, typer.Option(help="Device for local computation.")] = None,
    version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_show_version)] = False,
) -> None:
    """Learn thousands of Textual-Inversion concepts, and draw with every one of them at once."""
    if config is not None:
        os.environ["TEXTINV_CONFIG"] = str(config)
    remember_flags(
        {
            "home": home,
            "store.endpoint_url": store_endpoint_url,
            "store.bucket": store_bucket,
            "store.prefix": store_prefix,
            "encoders": encoder or None,
            "ray_address": ray_address,
            "service_url": service_url,
            "device": device,
        }
    )
