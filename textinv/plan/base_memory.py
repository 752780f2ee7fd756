"""What was found out about a base model in a folder, remembered while neither the folder nor the program changes.

Owns the cache: looking a base model up takes the libraries that load models, which take seconds to import. Losing it
costs these seconds. Base models of the hub and single files are looked up each time.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from textinv.settings import Settings

FILE = "cache/base-models.json"
_CODE = Path(__file__).resolve().parents[1] / "models"
"""What reads base models: another program may read them otherwise."""


def recall(name: str, revision: str | None, settings: Settings) -> dict[str, Any] | None:
    """What was found out about a base model, by field; None where it is to be looked up."""
    folder = _folder(name, settings)
    if folder is None:
        return None
    kept = _read(settings.home / FILE).get(_key(folder, revision))
    if not isinstance(kept, dict) or kept.get("stamp") != _stamp(folder) or not isinstance(kept.get("facts"), dict):
        return None
    return dict(kept["facts"])


def keep(name: str, revision: str | None, settings: Settings, facts: Mapping[str, Any]) -> None:
    """Remember what was found out; a folder that cannot be written to is no failure."""
    folder, file = _folder(name, settings), settings.home / FILE
    if folder is None:
        return
    kept = {**_read(file), _key(folder, revision): {"stamp": _stamp(folder), "facts": dict(facts)}}
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=file.parent, delete=False) as draft:
            json.dump(kept, draft)
        os.replace(draft.name, file)


def _folder(name: str, settings: Settings) -> Path | None:
    path = Path(settings.base_models.get(name, name)).expanduser()
    return path.resolve() if path.is_dir() else None


def _key(folder: Path, revision: str | None) -> str:
    return f"{folder} {revision or ''}"


def _stamp(folder: Path) -> str:
    """A hash of the sizes and times of all files, of the base model and of the program that reads it."""
    lines = []
    for root in (folder, _CODE):
        for file in sorted(root.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                found = file.stat()
                lines.append(f"{file.relative_to(root)} {found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
