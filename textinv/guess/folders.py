"""Concepts to learn guessing from: a tree of folders, in which each folder that holds pictures is a concept.

Owns finding, decoding and cropping them (the middle square; transparency is not looked at), and which are held out. A
`.txt` beside a picture is its caption, with `{}` where the concept goes, as in a manifest. Does not know training.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from textinv.errors import ImageError, InputError
from textinv.guess.measuring import LEAST_HELD_OUT, HeldOut, is_held_out
from textinv.guess.training import Example, Pixels, encode_example
from textinv.images import as_trained, decode_picture
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import PictureEncoder
from textinv.plan.shelf import Shelf
from textinv.plan.templates import TEMPLATES
from textinv.spec import Kind

LEAST_PICTURES = 2
"""Of a concept: one to look at and another to explain."""
MOST_PICTURES = 8
_KEPT = 512
"""Concepts whose encoded pictures are kept in memory."""


@dataclass
class FolderTree:
    """The concepts under a folder.

    Raises:
        InputError: there are too few of them.
    """

    root: Path
    model: BaseModel
    encoder: PictureEncoder
    kind: Kind = "object"
    trained: Sequence[str] = field(init=False)
    """Names of those that are trained on: their folders, seen from the root."""
    held_out: Sequence[str] = field(init=False)
    too_few: Sequence[str] = field(init=False)
    """Those that were passed over because they hold a single picture."""

    def __post_init__(self) -> None:
        self._shelf = Shelf(self.root)
        counts = {folder.relative_to(self.root).as_posix(): _count(folder) for folder in sorted(_folders(self.root))}
        names = [name for name, count in counts.items() if count >= LEAST_PICTURES]
        self.too_few = [name for name, count in counts.items() if 0 < count < LEAST_PICTURES]
        self.held_out = [name for name in names if is_held_out(name)]
        self.trained = [name for name in names if not is_held_out(name)]
        if len(self.held_out) < LEAST_HELD_OUT or not self.trained:
            raise InputError(
                f"{self.root} has {len(names)} folders of {LEAST_PICTURES} or more pictures, of which "
                f"{len(self.held_out)} are held out: nothing can be said of a guess by fewer than {LEAST_HELD_OUT}, "
                "which takes about 30 folders; hundreds are better"
            )
        self._encoded = lru_cache(maxsize=_KEPT)(self._encode)

    @property
    def stamp(self) -> str:
        """A hash of which concepts are trained on, hex: by it a training is known that was left off."""
        return hashlib.sha256("\n".join([self.kind, *self.trained]).encode()).hexdigest()

    def draw(self, _step: int, rng: random.Random) -> Example:
        """One of those that are trained on."""
        return self._encoded(rng.choice(self.trained)).example

    def unseen(self) -> Sequence[HeldOut]:
        """All that are held out."""
        return [self._encode(name) for name in self.held_out]

    def _encode(self, name: str) -> HeldOut:
        sources, _ = self._shelf.pictures(name)
        pictures, captions = list[Pixels](), list[Sequence[str]]()
        for source in sources[:MOST_PICTURES]:
            picture = decode_picture(source.read(), source.name)
            square = as_trained(picture, self.model.native_px).convert("RGB")
            pictures.append(np.asarray(square, np.uint8))
            said = [text.read().decode(errors="replace").strip() for text in self._shelf.captions(source)]
            own = [text for text in said if "{}" in text]
            captions.append([*own, *own, *TEMPLATES[self.kind][: len(own) or None]])
        return HeldOut(name, encode_example(self.model, self.encoder, self.kind, pictures, captions), pictures)


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
