"""Concepts to learn guessing from: a tree of folders, in which each folder that holds pictures is a concept.

Owns finding them. A `.txt` beside a picture is its caption, with `{}` where the concept goes, as in a manifest. Does
not know training.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from textinv.errors import ImageError, InputError
from textinv.guess.concepts import LEAST_PICTURES, MOST_PICTURES, Concepts, Found, Shown, are_enough
from textinv.guess.measuring import LEAST_HELD_OUT
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import PictureEncoder
from textinv.plan.shelf import Shelf
from textinv.spec import Kind


class FolderTree(Concepts):
    """The concepts under a folder, told apart by their folders, seen from the root."""

    def __init__(self, root: Path, model: BaseModel, encoder: PictureEncoder, kind: Kind = "object") -> None:
        """Find them.

        Raises:
            InputError: there are too few of them.
        """
        self._shelf = Shelf(root)
        counts = {folder.relative_to(root).as_posix(): _count(folder) for folder in sorted(_folders(root))}
        names = [name for name, count in counts.items() if count >= LEAST_PICTURES]
        self.too_few: Sequence[str] = [name for name, count in counts.items() if 0 < count < LEAST_PICTURES]
        """Those that were passed over because they hold a single picture."""
        enough, held_out = are_enough(names)
        if not enough:
            raise InputError(
                f"{root} has {len(names)} folders of {LEAST_PICTURES} or more pictures, of which "
                f"{held_out} are held out: nothing can be said of a guess by fewer than {LEAST_HELD_OUT}, "
                "which takes about 30 folders; hundreds are better"
            )
        super().__init__({name: Found(name, kind, partial(self._read, name)) for name in names}, model, encoder)

    def _read(self, name: str) -> Sequence[Shown]:
        sources, _ = self._shelf.pictures(name)
        return [
            Shown(
                source.read(),
                source.name,
                [text.read().decode(errors="replace").strip() for text in self._shelf.captions(source)],
            )
            for source in sources[:MOST_PICTURES]
        ]


def _folders(root: Path) -> Sequence[Path]:
    """All folders under a root.

    Raises:
        InputError: it is none.
    """
    if not root.is_dir():
        raise InputError(f"{root} is no folder: name one whose sub-folders hold pictures, one sub-folder per concept")
    return [path for path in root.rglob("*") if path.is_dir() and not path.name.startswith(".")]


def _count(folder: Path) -> int:
    try:
        return len(Shelf(folder.parent).pictures(folder.name)[0])
    except ImageError:
        return 0
