"""`textinv concept`: what has been learned, and moving, checking and exchanging it."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textinv.cli import compare, share
from textinv.cli.config import current_settings, nothing_in_store, store_in_use
from textinv.cli.output import AsJson, emit, rows_table
from textinv.errors import BaseModelMismatchError, InputError
from textinv.placeholders import ConceptRef, parse_ref

if TYPE_CHECKING:
    from textinv.embedding import Embedding
    from textinv.registry import PublishedVersion, Registry

Ref = Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A concept; without a version, its current one.")]
_FACTS = (
    "name",
    "version",
    "created",
    "base_model",
    "base_revision",
    "num_vectors",
    "digest",
    "fingerprint",
    "run_id",
)
"""What is told of a version as JSON, whatever is done with it."""
_UNSCORED = {"gate": {"mode": "on", "reasons": ["nobody has scored it"], "held": "nobody has scored it"}}
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Look at, move and exchange learned concepts.")
    group.command("ls")(list_concepts)
    group.command("rm")(remove)
    group.command("import")(import_)
    group.command("cp")(copy)
    for command in (show, export, promote, rollback, gc, verify):
        group.command()(command)
    compare.register(group)
    share.register(group)
    app.add_typer(group, name="concept")


def list_concepts(
    prefix: Annotated[str, typer.Argument(help="Only names that start with this.")] = "", json: AsJson = False
) -> None:
    """List concepts with their current versions."""
    found = list(_registry().list(prefix))
    columns = ("name", "version", "num_vectors", "base_model", "created")
    rows = [{column: getattr(one, column) for column in columns} for one in found]
    none = f"no name begins with {prefix!r} in {store_in_use()}" if prefix else nothing_in_store()
    emit(found, json, rows_table(rows, none=none))


def show(ref: Ref, json: AsJson = False) -> None:
    """Show a concept as a card: what it is, how good, why it stopped, what it cost, its versions and its picture."""
    from textinv.cli.card import Shown, card

    registry = _registry()
    found = registry.describe(parse_ref(ref))
    entry, all_versions, evaluations = found.entry, registry.versions(found.entry.name), registry.evaluations(found)
    if not json:
        picture = registry.picture(entry.name, entry.version)
        emit(None, json, card(Shown(found, all_versions, evaluations, picture), current_settings().home))
        return
    facts = {
        **{field: getattr(entry, field) for field in _FACTS},
        "versions": [one.version for one in all_versions],
        "record": found.record,
        "evaluations": evaluations,
    }
    emit(facts, json)


def export(
    ref: Ref,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder or file to write.")] = Path(),
    format: Annotated[str, typer.Option("--format", help="auto, diffusers, a1111-pt or onetrainer.")] = "auto",
    json: AsJson = False,
) -> None:
    """Write a concept for other programs; `auto` is one file that nearly all of them read."""
    from textinv.embedding.formats import export_embedding, readers_of_clips
    from textinv.models import file_keys_of, readers_of

    found = _registry().resolve(parse_ref(ref))
    metadata = {
        "base_model": found.base_model,
        "base_revision": found.base_revision,
        "version": str(found.version),
        "digest": found.digest,
    }
    paths = export_embedding(found.embedding, found.name, format, out, metadata, file_keys_of(found.embedding.rows))
    readers = readers_of(found.embedding.rows, format) or readers_of_clips(found.embedding, format)
    files = [str(path) for path in paths]
    emit({"files": files, "readers": readers}, json, "\n".join([*files, readers]))


def import_(
    path: Annotated[Path, typer.Argument(help="A .safetensors, .pt, .bin or .png, or a diffusers folder.")],
    name: Annotated[str, typer.Option(help="What to call the concept.")],
    base_model: Annotated[
        str | None, typer.Option("--base-model", help="The base model that it was trained on; default: unknown.")
    ] = None,
    class_word: Annotated[
        str | None, typer.Option(help="What it shows; text encoders that the file has no rows for read this word.")
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate/--no-gate", help="Keep the current version until you promote this one.")
    ] = True,
    json: AsJson = False,
) -> None:
    """Publish an embedding that another program trained; a pickle's code is never run.

    Without --base-model, any base model with rows of the same width may draw it. A file with rows for some but not all
    of the base model's text encoders needs --class-word: the others read that word in the concept's place. An import
    has no scores, so if the concept has a version already, that one stays current until `textinv concept promote`.
    """
    from textinv.embedding import import_embedding
    from textinv.models import file_keys_of, look_up
    from textinv.registry.migration import imported_fingerprint

    base = None if base_model is None else look_up(base_model, aliases=current_settings().base_models)
    own_keys = {} if base is None else base.file_keys
    embedding = import_embedding(path, own_keys or file_keys_of(), only=bool(own_keys))
    revision = ""
    if base is not None and base_model is not None:
        revision = base.revision
        embedding = _completed(embedding, base_model, base.row_widths, class_word)
        if base.row_widths and (problem := embedding.misfit(base.row_widths, base_model, base.whole)):
            raise BaseModelMismatchError(
                f"{path.name} cannot be used with {base_model}: {problem}; name the base model that it was trained on"
            )
    found = _registry().publish(
        name,
        embedding,
        {"imported_from": path.name, "digest_of_file": _file_digest(path)}
        | ({"class_word": class_word} if class_word else {})
        | (_UNSCORED if gate else {}),
        fingerprint=imported_fingerprint(name, embedding.digest, revision),
        base_model=base_model or "",
        base_revision=revision,
    )
    current = _registry().describe(ConceptRef(name)).entry.version
    told = f"{found.name}@{found.version}"
    if current != found.version:
        told += f"; {name}@{current} stays current until `textinv concept promote {told}`"
    emit({**_facts(found), "current": current}, json, told)


def _completed(
    embedding: "Embedding", base_model: str, wanted: Mapping[str, int], class_word: str | None
) -> "Embedding":
    """An embedding with the class word's rows for the text encoders of a base model that it has none of."""
    from textinv.embedding import Embedding
    from textinv.models import load_words
    from textinv.models.word_rows import spread

    missing = sorted(wanted.keys() - embedding.rows.keys())
    if not missing or embedding.rows.keys() <= set(missing):
        return embedding
    if class_word is None:
        raise BaseModelMismatchError(
            f"the file has no rows for {' and '.join(missing)} of {base_model}: give --class-word with what it "
            "shows, which these text encoders then read in its place"
        )
    words = load_words(base_model, missing, class_word, aliases=current_settings().base_models)
    if silent := [encoder for encoder, rows_nD in words.items() if not len(rows_nD)]:
        raise InputError(f"--class-word {class_word!r} is not a word that {silent[0]} knows: choose another")
    return Embedding({**embedding.rows, **{name: spread(each, embedding.num_vectors) for name, each in words.items()}})


def promote(
    ref: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A version; default: the newest.")],
    json: AsJson = False,
) -> None:
    """Make a version that was held back the current one."""
    registry, wanted = _registry(), parse_ref(ref)
    version = wanted.version or max(one.version for one in registry.versions(wanted.name))
    found, note = registry.roll_back(wanted.name, version)
    facts = {"name": found.name, "version": found.version, "changed": note is None, "note": note}
    emit(facts, json, note or f"{found.name} is now {found.name}@{found.version}")


def rollback(
    name: Annotated[str, typer.Argument(help="A concept.")],
    version: Annotated[int | None, typer.Option("--to", help="Version; default: the one before the current.")] = None,
    json: AsJson = False,
) -> None:
    """Make another version current, at once and for all who use it; newer versions stay."""
    registry = _registry()
    target = _version_before(registry, name) if version is None else version
    found, note = registry.roll_back(name, target)
    facts = {**_facts(found), "changed": note is None, "note": note}
    emit(facts, json, note or f"{name} is now {found.name}@{found.version}")


def remove(
    refs: Annotated[list[str], typer.Argument(metavar="NAME[@VERSION]...", help="Concepts, or single versions.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Remove concepts with all their versions, or single versions that are not current. This cannot be undone."""
    registry, wanted = _registry(), [parse_ref(ref) for ref in refs]
    if not yes:
        typer.confirm(f"Remove {', '.join(map(str, wanted))} for good?", abort=True, err=True)
    for ref in wanted:
        registry.remove(ref.name, ref.version)
    emit({"removed": [str(ref) for ref in wanted]}, json, f"removed {', '.join(map(str, wanted))}")


def gc(
    dry_run: DryRun = False,
    grace_hours: Annotated[float, typer.Option(min=0, help="Keep what is younger than this.")] = 24.0,
    json: AsJson = False,
) -> None:
    """Finish interrupted publications and remove files that nothing refers to."""
    from textinv.jobs.sweep import sweep_jobs

    registry, grace_s = _registry(), grace_hours * 3600
    report = registry.gc(dry_run=dry_run, grace_s=grace_s)
    left = sweep_jobs(registry, grace_s=grace_s, dry_run=dry_run)
    report.removed_keys += [info.key for info in left]
    report.removed_bytes += sum(info.size_bytes for info in left)
    verb = "would be" if dry_run else "were"
    text = (
        f"{len(report.completed)} publications {verb} finished, {len(report.removed_keys)} objects "
        f"({report.removed_bytes} bytes) {verb} removed"
    )
    if report.damaged:
        text += (
            f"; runs were left alone, as {len(report.damaged)} versions cannot be read: see `textinv concept verify`"
        )
    emit(report, json, text)


def verify(
    name: Annotated[str | None, typer.Argument(help="A concept; default: all.")] = None, json: AsJson = False
) -> None:
    """Check every stored file against its hash; fails if one is damaged or missing."""
    problems = list(_registry().verify(name))
    emit(problems, json, rows_table([vars(problem) for problem in problems]) if problems else "every file is intact")
    if problems:
        raise typer.Exit(1)


def copy(
    refs: Annotated[list[str], typer.Argument(metavar="NAME[@VERSION]...", help="Concepts of the store in use.")],
    to_endpoint_url: Annotated[str | None, typer.Option(help="Server of the other store; default: the same.")] = None,
    to_bucket: Annotated[str | None, typer.Option(help="Bucket of the other store.")] = None,
    to_prefix: Annotated[str | None, typer.Option(help="Prefix in the other store.")] = None,
    to_access_key: Annotated[
        str | None,
        typer.Option(envvar="TEXTINV_TO_ACCESS_KEY", help="Access key of the other store; default: the same."),
    ] = None,
    to_secret_key: Annotated[str | None, typer.Option(envvar="TEXTINV_TO_SECRET_KEY", help="Its secret key.")] = None,
    json: AsJson = False,
) -> None:
    """Copy concepts to another store; versions that are there already are skipped."""
    from textinv.registry import copy_concept

    changes = {
        "endpoint_url": to_endpoint_url,
        "bucket": to_bucket,
        "prefix": to_prefix,
        "access_key": to_access_key,
        "secret_key": to_secret_key,
    }
    source, target = _registry(), _other_registry({key: value for key, value in changes.items() if value is not None})
    copied = [copy_concept(source, target, parse_ref(ref)) for ref in refs]
    emit([_facts(one) for one in copied], json, "\n".join(f"{one.name}@{one.version}" for one in copied))


def _registry() -> "Registry":
    from textinv.registry import Registry
    from textinv.store import ensure_store

    return Registry(ensure_store(current_settings()))


def _other_registry(changes: dict[str, str]) -> "Registry":
    from textinv.registry import Registry
    from textinv.settings import StoreSettings
    from textinv.store import EmbeddedServer, connect_store

    if not changes:
        raise InputError("name the other store: --to-endpoint-url, --to-bucket or --to-prefix")
    settings = current_settings()
    here = settings.store if settings.store.endpoint_url else EmbeddedServer(settings.home).up()
    here = here.model_copy(update={"public_endpoint_url": None})  # links are made for callers of a service
    secret = here.secret_key.get_secret_value() if here.secret_key else None
    target = StoreSettings.model_validate({**here.model_dump(), "secret_key": secret, **changes})
    if target == here:
        raise InputError("the other store is the same as this one: give another endpoint, bucket or prefix")
    return Registry(connect_store(target))


def _facts(found: "PublishedVersion") -> dict[str, object]:
    return {field: found.embedding.num_vectors if field == "num_vectors" else getattr(found, field) for field in _FACTS}


def _version_before(registry: "Registry", name: str) -> int:
    current = registry.resolve(ConceptRef(name)).version
    versions = [one.version for one in registry.versions(name)]
    older = [version for version in versions if version < current]
    if not older:
        newest = f"{name}@{versions[-1]}"
        newer = f"; `textinv concept promote {newest}` makes a newer one current" if versions[-1] > current else ""
        raise InputError(f"{name}@{current} is the oldest version: there is nothing to go back to{newer}")
    return older[-1]


def _file_digest(path: Path) -> str:
    files: Sequence[Path] = sorted(path.iterdir()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()
