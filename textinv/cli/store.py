"""`textinv store`: the object store, and the server that comes along when none is configured."""

from dataclasses import asdict
from json import dumps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textinv.cli.config import current_settings
from textinv.cli.output import AsJson, emit
from textinv.cli.store_policy import Role, s3_policy, seaweedfs_actions
from textinv.errors import BaseModelError, SettingsError, StoreError

if TYPE_CHECKING:
    from textinv.settings import Settings

HEX_SHA256 = 64


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="The object store that holds everything.")
    group.command()(up)
    group.command()(down)
    group.command()(status)
    group.command()(migrate)
    group.command()(policy)
    app.add_typer(group, name="store")


def up(
    keys: Annotated[bool, typer.Option("--keys", help="Show the secret key too.")] = False, json: AsJson = False
) -> None:
    """Start the embedded store, unless it runs already, and say how to reach it."""
    from textinv.store import EmbeddedServer

    settings = _embedded(current_settings())
    reached = EmbeddedServer(settings.home).up()
    secret = reached.secret_key.get_secret_value() if keys and reached.secret_key else "********** (--keys shows it)"
    emit(
        {
            "endpoint_url": reached.endpoint_url,
            "bucket": reached.bucket,
            "access_key": reached.access_key,
            "secret_key": secret,
        },
        json,
    )


def down(json: AsJson = False) -> None:
    """Stop the embedded store; its data stay."""
    from textinv.store import EmbeddedServer

    stopped = EmbeddedServer(_embedded(current_settings()).home).down()
    emit({"stopped": stopped}, json, "stopped" if stopped else "it was not running")


def status(json: AsJson = False) -> None:
    """Show which store is used and whether it can be reached; fails if it cannot."""
    settings = current_settings()
    facts = _embedded_facts(settings) if settings.store.endpoint_url is None else _remote_facts(settings)
    emit(facts, json)
    if not facts["usable"]:
        raise typer.Exit(1)


def migrate(
    bases: Annotated[
        list[str] | None, typer.Option("--base", help="Another base model that versions may have been learned on.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    json: AsJson = False,
) -> None:
    """Convert a store from an older version to the current format; safe to interrupt and repeat.

    Nothing else may use the store meanwhile. Versions learned on a base model that is not available here stay as they
    are: run this again with --base and that base model.
    """
    from textinv.jobs.migration import bases_of
    from textinv.jobs.migration import migrate as migrate_store
    from textinv.store import ensure_store

    store = ensure_store(current_settings())
    revisions, missing = _revisions({**bases_of(store), **{base: set() for base in bases or ()}})
    report = migrate_store(store, revisions, dry_run=dry_run)
    verb = "would be" if dry_run else "were"
    lines = [f"{report.versions} versions, {report.heads} heads and {report.jobs} jobs {verb} rewritten"]
    lines += [f"the base model {name} is not available here: {why}" for name, why in missing.items()]
    if report.kept:
        lines.append(
            f"{len(report.kept)} versions keep their base's old revision, so no service draws them until you run this "
            f"again with --base: {', '.join(report.kept[:10])}{', ...' if len(report.kept) > 10 else ''}"
        )
    if report.damaged:
        lines.append(f"left as they are, because they cannot be read: {', '.join(report.damaged)}")
    emit({**asdict(report), "missing_bases": missing, "dry_run": dry_run}, json, "\n".join(lines))


def _revisions(bases: dict[str, set[str]]) -> tuple[dict[str, str], dict[str, str]]:
    """New revisions by old ones, of the base models that are at hand; and why the others are not."""
    from textinv.models import revisions_of

    found: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name, known in bases.items():
        if known and all(len(revision) != HEX_SHA256 for revision in known):
            continue  # commits of the hub, which stay what they are
        try:
            old, new = revisions_of(name, aliases=current_settings().base_models)
        except BaseModelError as error:
            missing[name] = error.message
        else:
            if old != new:
                found[old] = new
    return found, missing


def policy(
    role: Annotated[Role, typer.Argument(help="Who: replica, service, worker, driver, submitter or operator.")],
    seaweedfs: Annotated[bool, typer.Option("--seaweedfs", help="As `actions` of SeaweedFS's s3.config.")] = False,
) -> None:
    """Print the S3 policy (JSON) that one part of a deployment needs for the bucket."""
    store = current_settings().store
    policy_of = seaweedfs_actions if seaweedfs else s3_policy
    print(dumps(policy_of(role, store.bucket, store.prefix), indent=2))


def _embedded_facts(settings: "Settings") -> dict[str, Any]:
    from textinv.store import EmbeddedServer

    found = EmbeddedServer(settings.home).status()
    return {"kind": "embedded", **asdict(found), "usable": found.healthy}


def _remote_facts(settings: "Settings") -> dict[str, Any]:
    from textinv.store import connect_store

    chosen = settings.store
    facts = {"kind": "S3", "endpoint_url": chosen.endpoint_url, "bucket": chosen.bucket, "prefix": chosen.prefix}
    try:
        connect_store(chosen)
    except StoreError as error:
        return {**facts, "usable": False, "problem": error.message}
    return {**facts, "usable": True, "problem": None}


def _embedded(settings: "Settings") -> "Settings":
    if settings.store.endpoint_url is not None:
        raise SettingsError(
            f"the store at {settings.store.endpoint_url} is configured, so the embedded one is not used: "
            "unset store.endpoint_url to use it"
        )
    return settings
