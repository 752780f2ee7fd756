"""YAML text to `Manifest`, with everything that is wrong reported at once.

Owns the checks that need no file but the manifest's own: fields, types, ranges, names, captions. Does not look at
pictures: `textinv.plan` does.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from textinv.errors import ManifestError
from textinv.manifest.explain import explain
from textinv.manifest.fields import ConceptFields, Manifest
from textinv.manifest.origin import Origin, Problem, raise_problems
from textinv.manifest.rules import broken_rules
from textinv.manifest.yaml_text import parse_yaml

MAX_BYTES = 100_000_000


@dataclass(frozen=True)
class Draft:
    """What could be read of a manifest: all of it, or its problems and those concepts that are well-formed."""

    manifest: Manifest | None
    origin: Origin
    problems: Sequence[Problem]
    concepts: Sequence[tuple[int, ConceptFields]]
    """Well-formed concepts with their places in the list."""


def load_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ManifestError: it says something that it may not say; `problems` lists everything that is wrong.
    """
    return settled(draft_manifest(path))


def parse_manifest(text: str, file: str = "manifest") -> Manifest:
    """Read a manifest that is no file here, so that its pictures can only be `sha256:` digests or `s3://` prefixes.

    Raises:
        ManifestError: it says something that it may not say.
    """
    return settled(draft_text(text, Origin(file)))


def draft_manifest(path: Path) -> Draft:
    """Read as much of a manifest as can be read.

    Raises:
        ManifestError: there is no such file, or it is no text.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ManifestError(f"{path} is larger than {MAX_BYTES // 1_000_000} MB: split it into several manifests")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    return draft_text(text, Origin(str(path), path.parent))


def draft_text(text: str, origin: Origin) -> Draft:
    """Read as much of a manifest's text as can be read."""
    data, origin, problems = parse_yaml(text, origin)
    if data is None:
        return Draft(None, origin, problems, ())
    try:
        manifest = Manifest.model_validate_json(data).with_origin(origin)
    except ValidationError as error:
        concepts = list(_well_formed(json.loads(data)))
        problems += [*explain(error, origin), *broken_rules(concepts, origin)]
        return Draft(None, origin, problems, concepts)
    concepts = list(enumerate(manifest.concepts))
    problems += broken_rules(concepts, origin, manifest.defaults)
    return Draft(manifest, origin, problems, concepts)


def settled(draft: Draft) -> Manifest:
    """The manifest of a draft without problems.

    Raises:
        ManifestError: it has some.
    """
    raise_problems(draft.problems)
    if draft.manifest is None:
        raise ManifestError(f"{draft.origin.file} cannot be read")
    return draft.manifest


def _well_formed(data: Any) -> Iterator[tuple[int, ConceptFields]]:
    """Concepts that can be checked further, without those of their fields that are wrong."""
    entries = data.get("concepts") if isinstance(data, dict) else None
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict):
            concept = _concept(entry) or _concept(_without_wrong_fields(entry))
            if concept is not None:
                yield index, concept


def _without_wrong_fields(entry: dict[str, Any]) -> dict[str, Any]:
    try:
        ConceptFields.model_validate_json(json.dumps(entry))
    except ValidationError as error:
        wrong = {detail["loc"][0] for detail in error.errors(include_url=False)}
        return {field: value for field, value in entry.items() if field not in wrong}
    return entry


def _concept(entry: dict[str, Any]) -> ConceptFields | None:
    try:
        return ConceptFields.model_validate_json(json.dumps(entry))
    except ValidationError:
        return None
