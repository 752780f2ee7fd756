"""What is known of a picture without opening it again.

Owns the cache: digest, size and look of each picture by its stamp (path, size and time of change; or the store's tag),
kept in a file, so that ten thousand concepts are planned again in seconds. Losing it costs time only.
"""

import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from textinv.images import Picture, decode_picture
from textinv.images.duplicates import Look, look_of
from textinv.plan.sources import Source

FORMAT = 3
FILE = "cache/pictures.json"


@dataclass(frozen=True)
class PictureFacts:
    """What a plan needs to know of a picture."""

    digest: str
    width_px: int
    height_px: int
    look: Look
    """For comparing pictures: see `textinv.images.duplicates`."""
    peak: int
    """The brightest value in it, of 255."""
    note: str = ""
    """What was done to it that is not seen in its file, in words that follow its name."""


class FactsCache:
    """Facts by stamp; safe between threads. `home` None: nothing is kept on disk."""

    def __init__(self, home: Path | None) -> None:
        self._file = home / FILE if home else None
        self._known = dict(_read(self._file)) if self._file else {}
        self._changed = False
        self._writing = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def facts(self, source: Source) -> PictureFacts:
        """Facts of a picture, from the cache or by decoding it.

        Raises:
            ImageError: it is no picture.
        """
        stamp = source.stamp()
        if stamp not in self._known:
            self.learn(stamp, decode_picture(source.read(), source.name))
        return self._known[stamp]

    def learn(self, stamp: str, picture: Picture) -> PictureFacts:
        """Take in the facts of a picture that was decoded elsewhere."""
        facts = PictureFacts(
            picture.digest,
            picture.width_px,
            picture.height_px,
            look_of(picture),
            int(picture.pixels.max()),
            "; ".join(picture.notes),
        )
        self._known[stamp] = facts
        self._changed = True
        return facts

    def save(self) -> None:
        """Write what is new; a folder that cannot be written to is no failure."""
        if not self._changed or self._file is None:
            return
        rows = {
            stamp: [f.digest, f.width_px, f.height_px, f.look.hex(), f.peak, f.note]
            for stamp, f in list(self._known.items())
        }
        with self._writing, suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile("w", dir=self._file.parent, delete=False) as file:
                json.dump({"format": FORMAT, "pictures": rows}, file)
            os.replace(file.name, self._file)
            self._changed = False


def _read(file: Path) -> Mapping[str, PictureFacts]:
    try:
        stored = json.loads(file.read_bytes())
        if stored["format"] != FORMAT:
            return {}
        return {
            stamp: PictureFacts(digest, width, height, bytes.fromhex(look), peak, note)
            for stamp, (digest, width, height, look, peak, note) in stored["pictures"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
