"""What a plan needs to know of a base model, without loading it."""

from dataclasses import dataclass
from pathlib import Path

from textinv.manifest.fields import Manifest
from textinv.settings import Settings


@dataclass(frozen=True)
class BaseFacts:
    """What a plan needs to know of a base model."""

    revision: str
    native_px: int
    """The size that it was trained at."""
    has_clip: bool = True
    """Whether it has a CLIP of its own, which scores what is learned on it; True where nobody looked."""
    row_widths: tuple[int, ...] = ()
    """Widths of its text encoders' rows, ascending; empty where nobody looked."""


def base_name(manifest: Manifest) -> str:
    """The base model as a worker can find it: a path is made absolute."""
    name, folder = manifest.base_model, manifest.origin.folder
    if folder is not None and name.startswith((".", "~")):
        return str((folder / Path(name).expanduser()).resolve())
    return name


def base_facts(manifest: Manifest, settings: Settings) -> BaseFacts:
    """Look a base model up.

    Raises:
        BaseModelError: it cannot be found or read.
    """
    from textinv.models import look_up  # torch: only when nobody looked it up before

    found = look_up(base_name(manifest), revision=manifest.revision, aliases=settings.base_models)
    return BaseFacts(**found._asdict())
