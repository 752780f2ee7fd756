"""The registry: concepts by name and version in an object store.

The surface that training, serving and people use; each operation's steps are in the module it calls. Steps 6 and 7 of
the way: artifact -> `name@version` -> `PublishedVersion`.
"""

import difflib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textinv.errors import InputError, ObjectNotFoundError, UnknownConceptError
from textinv.placeholders import NAME_RULE, ConceptRef, is_name
from textinv.registry import attachments, catalog, formats, movement, publication, sweep, verification
from textinv.registry.attachments import are_purged
from textinv.registry.entries import (
    Artifact,
    ConceptSummary,
    Described,
    PublishedVersion,
    VersionEntry,
    VersionSummary,
    parse_entry,
    parse_head,
    version_summary,
)
from textinv.registry.heads import (
    HeadAt,
    current_head,
    decode_embedding,
    is_removed,
    load_artifact,
    load_contents,
    published,
    published_head,
    read_head,
    read_heads,
)
from textinv.registry.layout import (
    DONE,
    EMBEDDING_FILE,
    HEADS,
    RECORD_FILE,
    concept_of,
    head_key,
    is_picture,
    name_of,
    version_key,
)
from textinv.registry.migration import renamed_fingerprint
from textinv.states import changes_nothing
from textinv.store.protocol import ObjectStore, side_by_side

if TYPE_CHECKING:
    from textinv.embedding import Embedding

# Names for "did you mean" are listed at most so often: a service may be asked for unknown concepts all day.
_NAMES_KEPT_S = 30.0


class Registry:
    """Concepts in `store`; safe between threads, holds no state but what it may forget.

    A name means what was learned for `base_revision`, where there is that, else the newest current version for any base
    model; None: the latter.
    """

    def __init__(self, store: ObjectStore, base_revision: str | None = None) -> None:
        self.store = store
        self.base_revision = base_revision
        self._format_known = False
        self._names: tuple[float, Sequence[str]] | None = None
        self._catalog = catalog.Catalog(store)

    def publish(
        self,
        name: str,
        embedding: "Embedding",
        record: Mapping[str, Any],
        *,
        fingerprint: str,
        base_model: str,
        base_revision: str,
        run_id: str | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> PublishedVersion:
        """Publish what was learned for the spec with this fingerprint, once.

        Whoever comes second, or again after a lost reply or a crash, publishes nothing and gets the version that is
        already there. `files` are stored beside the embedding (previews, for example).

        Raises:
            InputError: `name` may not name a concept, or the fingerprint belongs to another one.
            StoreError: the store failed; trying again is safe.
        """
        if not is_name(name):
            raise InputError(f"{name!r} cannot name a concept: a name is {NAME_RULE}")
        self.check_format(write=True)
        movement.finish_removal(self.store, name)
        finished = publication.new_finished(
            name, embedding, record, fingerprint, (base_model, base_revision), run_id, files or {}
        )
        entry = publication.publish(self.store, finished)
        if entry.name != name:
            raise InputError(f"this result was already published as {entry.name}@{entry.version}, not as {name}")
        if entry.run_id == finished.run_id:
            return published(entry, publication.contents_of(finished), None)
        return self._load(entry)

    def finished(self, fingerprint: str) -> Mapping[str, Any] | None:
        """Say which version came of a spec: `name`, `version`, `run_id` and more; None when it has none yet.

        A publication that was cut short is completed on the way.
        """
        self.check_format()
        claim = publication.read_claim(self.store, fingerprint)
        if claim is None:
            return None
        at = read_head(self.store, claim.entry.name, claim.entry.base_revision)
        if at is not None and at.head.latest >= claim.entry.version:
            return None if at.head.removed else claim.entry.model_dump()
        return publication.complete(self.store, claim).model_dump()

    def finished_fingerprints(self) -> set[str]:
        """Fingerprints of all specs that were ever finished, by one listing; for plans of many concepts."""
        return {name_of(info.key) for info in self.store.list(DONE)}

    def resolve(self, ref: ConceptRef) -> PublishedVersion:
        """Fetch a version, or the current one.

        Raises:
            UnknownConceptError: there is no such concept or version.
            CorruptObjectError: stored bytes are not those that were written.
        """
        self.check_format()
        if ref.version is None:
            return published_head(self._head(ref.name))
        return self._load(self.entry(ref.name, ref.version))

    def describe(self, ref: ConceptRef) -> Described:
        """Read a version, or the current one, without its rows; errors are those of `resolve`."""
        self.check_format()
        if ref.version is None:
            head = self._head(ref.name).head
            return Described(head.entry, head.record)
        entry = self.entry(ref.name, ref.version)
        return Described(entry, json.loads(load_artifact(self.store, entry, RECORD_FILE)))

    def refresh(self, known: PublishedVersion) -> PublishedVersion:
        """Ask whether the head has moved since; the same object when it has not, or was asked for by number.

        Raises:
            UnknownConceptError: the concept was removed.
            CorruptObjectError: stored bytes are not those that were written.
        """
        if known.etag is None:
            return known
        if self.base_revision not in (None, known.base_revision):
            at = self._head(known.name)  # meanwhile it may have been learned for the base model that is asked for
            return known if at.etag == known.etag else published_head(at)
        key = head_key(known.name, known.base_revision)
        try:
            stored = self.store.get_if_changed(key, known.etag)
        except ObjectNotFoundError:
            raise self._unknown(known.name) from None
        if stored is None:
            return known
        return published_head(self._present(known.name, HeadAt(parse_head(key, stored.body), stored.etag)))

    def check_present(self, name: str, version: int) -> None:
        """Check that a version, which never changes, has not been removed.

        Raises:
            UnknownConceptError: it has, or never was.
        """
        if not self.store.exists(version_key(name, version)):
            raise self._unknown(name, version)

    def entry(self, name: str, version: int) -> VersionEntry:
        """Read a version without its artifacts.

        Raises:
            UnknownConceptError: there is none.
        """
        key = version_key(name, version)
        try:
            entry = parse_entry(key, self.store.get(key).body)
        except ObjectNotFoundError:
            raise self._unknown(name, version) from None
        if is_removed(self.store, entry):
            raise self._unknown(name)
        return entry

    def current_entry(self, name: str) -> VersionEntry:
        """Read the current version without its artifacts.

        Raises:
            UnknownConceptError: there is no such concept.
        """
        return self._head(name).head.entry

    def versions(self, name: str) -> Sequence[VersionSummary]:
        """List a concept's versions, oldest first.

        Raises:
            UnknownConceptError: there is no such concept.
        """
        self._head(name)
        current = {at.head.entry.version for at in read_heads(self.store, name) if not at.head.removed}
        return [version_summary(entry, current) for entry in movement.stored_versions(self.store, name)]

    def pictures(self, name: str, version: int) -> Sequence[tuple[str, Artifact]]:
        """The pictures beside a version, those that were deleted on purpose left out, in order of their files' names.

        Raises:
            UnknownConceptError: there is no such concept or version.
        """
        return attachments.pictures_of(self.store, self.entry(name, version))

    def picture(self, name: str, version: int | None = None) -> tuple[bytes, str] | None:
        """Read the first picture beside a version (None: the current one) and its media type; None: it has none.

        Raises:
            UnknownConceptError: there is no such concept or version.
            CorruptObjectError: it is lost, or not what was written.
        """
        return attachments.load_picture(
            self.store, self.current_entry(name) if version is None else self.entry(name, version)
        )

    def purge_pictures(self, fingerprints: Iterable[str]) -> None:
        """Delete the pictures beside the versions of these specs; embeddings and records stay."""
        for _ in side_by_side(lambda one: attachments.purge_pictures(self.store, one), fingerprints):
            pass

    def add_evaluation(self, version: PublishedVersion, evaluation: Mapping[str, Any]) -> str:
        """Store scores of a version beside it, as the version itself never changes; the key that they lie at."""
        return attachments.add_evaluation(self.store, version.run_id, evaluation)

    def evaluations(self, version: PublishedVersion | Described) -> Sequence[Mapping[str, Any]]:
        """All scores of a version, oldest first: those in its record, then those that were added."""
        own = version.record.get("evaluation")
        return [*([own] if own else []), *attachments.added_evaluations(self.store, version.run_id)]

    def move_head(self, name: str, version: int) -> PublishedVersion:
        """Make another version current for its base model, until a new one is published or the head is moved again.

        Raises:
            UnknownConceptError: there is no such concept or version.
        """
        self._head(name)
        self.reconcile(name)
        entry = self.entry(name, version)
        movement.move_head(self.store, entry)
        at = read_head(self.store, name, entry.base_revision)
        return published_head(self._present(name, at))

    def roll_back(self, name: str, version: int) -> tuple[PublishedVersion, str | None]:
        """Make another version current, as a person asks for it; with it: why that changes nothing, if so.

        Raises:
            UnknownConceptError: there is no such concept or version.
        """
        self.reconcile(name)
        current = self._present(name, read_head(self.store, name, self.entry(name, version).base_revision))
        state = "current" if current.head.entry.version == version else "older"
        note = changes_nothing("version", f"{name}@{version}", state, "roll back to")
        return (self.move_head(name, version) if note is None else published_head(current)), note

    def remove(self, name: str, version: int | None = None) -> None:
        """Remove a concept with all its versions, or one version that is not current. Numbers are not given again.

        Raises:
            UnknownConceptError: there is no such concept or version.
            InputError: the version is the current one.
        """
        if version is None:
            if not movement.remove_concept(self.store, name):
                raise self._unknown(name)
        elif any(one.current for one in self.versions(name) if one.version == version):
            raise InputError(
                f"{name}@{version} is the current version: move to another one first (`textinv concept rollback`), "
                f"or remove {name} as a whole"
            )
        else:
            movement.remove_versions(self.store, [self.entry(name, version)])

    def reconcile(self, name: str) -> None:
        """Bring the head up to the newest version, when a publisher died between the two; a rollback stays."""
        movement.reconcile(self.store, name)

    def gc(self, *, dry_run: bool = False, grace_s: float = sweep.GRACE_S) -> sweep.SweepReport:
        """Finish interrupted publications and remove what nothing names and is older than `grace_s`."""
        self.check_format()
        return sweep.sweep(self.store, dry_run=dry_run, grace_s=grace_s)

    def verify(self, name: str | None = None) -> Iterator[verification.Problem]:
        """Hash everything again (of one concept, or of all) and report what is damaged or missing."""
        self.check_format()
        return verification.verify(self.store, name)

    def list(self, prefix: str = "", on_corrupt: catalog.OnCorrupt | None = None) -> Iterator[ConceptSummary]:
        """List concepts in order of their names, each with the version that its name means.

        With `on_corrupt` damaged ones are told there and left out.

        Raises:
            CorruptObjectError: a concept is damaged, and there is no `on_corrupt`.
        """
        return catalog.one_each(self.list_heads(prefix, on_corrupt), self.base_revision)

    def list_heads(self, prefix: str = "", on_corrupt: catalog.OnCorrupt | None = None) -> Iterator[ConceptSummary]:
        """List the current versions of concepts for each base model, as `list`."""
        self.check_format()
        return self._catalog.list(prefix, on_corrupt)

    def _load(self, entry: VersionEntry) -> PublishedVersion:
        return published(entry, load_contents(self.store, entry), None)

    def _head(self, name: str) -> HeadAt:
        if not is_name(name):
            raise self._unknown(name)
        at = current_head(self.store, name, self.base_revision)
        # The publisher of a first version may have died before it wrote the head.
        if at is None and movement.reconcile(self.store, name):
            at = current_head(self.store, name, self.base_revision)
        return self._present(name, at)

    def _present(self, name: str, at: HeadAt | None) -> HeadAt:
        if at is None or at.head.removed:
            raise self._unknown(name)
        return at

    def _unknown(self, name: str, version: int | None = None) -> UnknownConceptError:
        ref = ConceptRef(name, version)
        if version is not None and name in self._known_names():
            numbers = [entry.version for entry in movement.stored_versions(self.store, name)]
            named = f"version{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
            known = f"; it has {named}" if numbers else ""
            return UnknownConceptError(f"there is no version {version} of concept {name!r}{known}", concept=str(ref))
        close = [other for other in difflib.get_close_matches(name, self._known_names(), 4) if other != name]
        hint = f": did you mean {', '.join(close)}?" if close else ": `textinv concept ls` lists all concepts"
        return UnknownConceptError(f"there is no concept {name!r} in the store{hint}", concept=str(ref), close=close)

    def _known_names(self) -> Sequence[str]:
        now = time.monotonic()
        if self._names is None or now - self._names[0] > _NAMES_KEPT_S:
            self._names = now, sorted({concept_of(info.key) for info in self.store.list(HEADS)})
        return self._names[1]

    def check_format(self, write: bool = False) -> None:
        """Refuse a layout of another program version; with `write` state ours where none is stated.

        Raises:
            OldFormatError: the store is to be migrated.
            StoreError: it is of a newer program.
        """
        if not self._format_known:
            self._format_known = formats.check(self.store, write=write)

    def begin_migration(self, *, dry_run: bool) -> None:
        """Say that the store is being brought to this format, so that nobody uses it until then.

        Raises:
            StoreError: it is of a newer program.
        """
        formats.begin_migration(self.store, dry_run=dry_run)

    def end_migration(self) -> None:
        """Say that the store is of this format."""
        formats.end_migration(self.store)


def copy_concept(source: Registry, target: Registry, ref: ConceptRef, new_name: str | None = None) -> PublishedVersion:
    """Publish a version of `source` in `target`, under another name if one is given; again changes nothing.

    The embedding, the record, the other artifacts (but for pictures that were deleted on purpose) and the fingerprint
    are carried over, so that the target knows the spec as done. The version number is the target's own.

    Raises:
        UnknownConceptError: the source has no such concept or version.
        CorruptObjectError: its bytes are not those that were written.
    """
    entry = source.current_entry(ref.name) if ref.version is None else source.entry(ref.name, ref.version)
    purged = are_purged(source.store, entry.run_id)
    kept = [file for file in entry.artifacts if not (purged and is_picture(file))]
    bodies = {file: load_artifact(source.store, entry, file) for file in kept}
    embedding = decode_embedding(entry.artifacts[EMBEDDING_FILE].key, bodies.pop(EMBEDDING_FILE))
    record = json.loads(bodies.pop(RECORD_FILE))
    name = new_name or entry.name
    return target.publish(
        name,
        embedding,
        record,
        fingerprint=entry.fingerprint if name == entry.name else renamed_fingerprint(entry.fingerprint, name),
        base_model=entry.base_model,
        base_revision=entry.base_revision,
        files=bodies,
    )
