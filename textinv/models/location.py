"""Where a base model lies: a folder, a single file, or a repository of the model hub.

Owns resolving what a person wrote, and reading small files of it without loading weights. Does not know families.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textinv.errors import BaseModelError
from textinv.models.hub import fetch_snapshot
from textinv.models.single_file import CHECKPOINT_SUFFIXES, find_config
from textinv.settings import OWN_BASE_MODELS

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


@dataclass(frozen=True)
class Location:
    """A base model on this machine's disk: its folder in diffusers' layout, and the checkpoint when it is one file."""

    folder: Path
    checkpoint: Path | None = None
    commit: str | None = None
    """Of the hub, when the folder is a snapshot of a repository."""

    def read_json(self, path: str) -> dict[str, Any]:
        """Read a JSON file of the folder; empty when there is none.

        Raises:
            BaseModelError: it is not JSON.
        """
        file = self.folder / path
        if not file.is_file():
            return {}
        try:
            found: dict[str, Any] = json.loads(file.read_text())
        except ValueError as error:
            raise BaseModelError(f"{file} is not JSON: {error}; get the file again") from error
        return found


def locate(name: str, revision: str | None, aliases: Mapping[str, str] | None, *, weights: bool) -> Location:
    """Find a base model; of a hub repository only the small files are fetched unless `weights` are asked for.

    `aliases` are those of the settings; None: what these are where nothing was said.

    Raises:
        BaseModelError: there is nothing of that name.
    """
    target = (OWN_BASE_MODELS if aliases is None else aliases).get(name, name)
    path = Path(target).expanduser()
    if path.is_dir():
        return Location(_checked_folder(path))
    if path.is_file():
        if path.suffix not in CHECKPOINT_SUFFIXES:
            raise BaseModelError(f"{path} is no checkpoint; those end in {' or '.join(CHECKPOINT_SUFFIXES)}")
        return Location(find_config(path), checkpoint=path)
    if path.suffix in CHECKPOINT_SUFFIXES or not _HUB_ID.fullmatch(target):
        raise BaseModelError(
            f"the base model {name!r} is neither a file nor a folder: {path.absolute()} does not exist"
        )
    folder = fetch_snapshot(target, revision, weights=weights)
    return Location(_checked_folder(folder), commit=folder.name)


def _checked_folder(folder: Path) -> Path:
    if not (folder / "model_index.json").is_file():
        raise BaseModelError(
            f"{folder} has no model_index.json: it is no diffusers folder; give one that save_pretrained wrote"
        )
    return folder
