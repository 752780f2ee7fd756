"""From what a manifest calls its pictures to what lies there.

Owns the meaning of a folder, a file, a glob, an `s3://` prefix and a digest, which files of a folder are pictures, and
opening the buckets that prefixes name with the store's endpoint and credentials. Does not open pictures.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from textinv.errors import ImageError
from textinv.manifest.origin import Origin
from textinv.plan.sources import DIGEST, LocalFile, RemoteObject, Source, StoredPicture
from textinv.settings import Settings
from textinv.store.embedded import EmbeddedServer
from textinv.store.protocol import ObjectInfo, ObjectStore

REMOTE = "s3://"
PICTURE_SUFFIXES = frozenset(".png .jpg .jpeg .jpe .jfif .webp .bmp .tif .tiff .gif .heic .heif .avif .svg".split())
"""Files that somebody means as pictures; what cannot be decoded among them is refused by name, not skipped."""
SILENT_SUFFIXES = frozenset([".txt", ".caption", ".json", ".ini", ".db"])
"""Files that often lie beside pictures and are no mistake."""
MAX_PER_CONCEPT = 10_000


class Shelf:
    """Finds pictures. Paths are relative to `folder`; None: there are no files here."""

    def __init__(
        self,
        folder: Path | None,
        *,
        uploads: Callable[[], ObjectStore] | None = None,
        bucket: Callable[[str], ObjectStore] | None = None,
        allowed_prefixes: Sequence[str] | None = None,
    ) -> None:
        """`uploads` opens the store of uploaded pictures, `bucket` others by name; no `allowed_prefixes` means any."""
        self._folder = folder
        self._uploads = uploads
        self._bucket = bucket
        self._allowed = allowed_prefixes
        self._listings: dict[str, Mapping[str, RemoteObject]] = {}
        self._folders: dict[str, frozenset[str]] = {}

    def pictures(self, text: str) -> tuple[list[Source], list[str]]:
        """The pictures that a text of the manifest means, in order, and the names of files that were passed over.

        Raises:
            ImageError: there are none.
        """
        if text.startswith(DIGEST):
            return [self._uploaded(text)], []
        if text.startswith(REMOTE):
            return _pictures_among(text, list(self._listing(text).values()))
        try:
            return self._local(text)
        except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, no such pattern
            raise ImageError(f"{text[:80]!r} is no path that can be read: {error!s:.80}") from error

    def _local(self, text: str) -> tuple[list[Source], list[str]]:
        path = self._path(text)
        if path.is_dir():
            folder = str(path)
            names = sorted(self._names(folder), key=_natural)
            return _pictures_among(text, [LocalFile(os.path.join(folder, name)) for name in names])
        if path.is_file():
            return [LocalFile(str(path))], []
        if any(sign in text for sign in "*?["):
            return _pictures_among(text, [LocalFile(str(file)) for file in self._glob(text)])
        raise ImageError(f"{text!r} is no file and no folder ({path}): correct the path, which starts at the manifest")

    def one(self, text: str) -> Source:
        """The one file that a text means.

        Raises:
            ImageError: it means none, or several.
        """
        found, _ = self.pictures(text)
        if len(found) != 1 or self._is_folder(text):
            raise ImageError(f"{text!r} means {len(found)} files: name one")
        return found[0]

    def beside(self, source: Source, suffix: str) -> Source | None:
        """The file of the same name with another suffix."""
        if isinstance(source, LocalFile):
            folder, name = os.path.split(os.path.splitext(source.name)[0] + suffix)
            return LocalFile(os.path.join(folder, name)) if name in self._names(folder or ".") else None
        if isinstance(source, RemoteObject):
            key = PurePosixPath(source.info.key)
            siblings = self._listing(f"{REMOTE}{source.bucket}/{key.parent}/")
            return siblings.get(str(key.with_suffix(suffix)))
        return None

    def _path(self, text: str) -> Path:
        if self._folder is None:
            raise ImageError(
                f"{text!r} is a path, but there are no files here: upload the picture and write sha256:<digest>, or "
                "name an s3:// prefix"
            )
        return self._folder / Path(text).expanduser()

    def _names(self, folder: str) -> frozenset[str]:
        """Names of the files in a folder; one listing per folder."""
        if folder not in self._folders:
            try:
                with os.scandir(folder) as entries:
                    self._folders[folder] = frozenset(entry.name for entry in entries if entry.is_file())
            except OSError as error:
                raise ImageError(f"the folder {folder} cannot be read: {error.strerror}") from error
        return self._folders[folder]

    def _is_folder(self, text: str) -> bool:
        return not text.startswith((DIGEST, REMOTE)) and self._path(text).is_dir()

    def _glob(self, text: str) -> Iterator[Path]:
        pattern = Path(text).expanduser()
        if pattern.is_absolute():
            return iter(sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))), key=_natural))
        assert self._folder is not None
        return iter(sorted((path for path in self._folder.glob(text) if path.is_file()), key=_natural))

    def _uploaded(self, text: str) -> Source:
        digest = text.removeprefix(DIGEST)
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise ImageError(f"{text!r} is no digest: write sha256: and 64 hexadecimal digits")
        if self._uploads is None:
            raise ImageError(f"{text!r} lies in the store, which is not at hand")
        return StoredPicture(self._uploads(), digest)

    def _listing(self, url: str) -> Mapping[str, RemoteObject]:
        """Objects under a prefix by key; one listing per prefix."""
        if url not in self._listings:
            name, _, prefix = url.removeprefix(REMOTE).partition("/")
            if {".", ".."} & set(prefix.split("/")):  # some stores take keys for paths
                raise ImageError(f"{url} has . or .. in it: write the prefix as it is in the bucket")
            if self._allowed is not None and not any(url.startswith(allowed) for allowed in self._allowed):
                raise ImageError(f"{url} may not be read here: allowed are {', '.join(self._allowed) or 'no prefixes'}")
            if self._bucket is None or not name:
                raise ImageError(f"{url} cannot be read here: write s3://bucket/prefix/, and configure the store")
            store = self._bucket(name)
            infos = _bounded(url, store.list(prefix))
            self._listings[url] = {info.key: RemoteObject(store, info, name) for info in infos}
        return self._listings[url]


def shelf_for(origin: Origin, settings: Settings) -> Shelf:
    """Pictures as the command line finds them: files beside the manifest, uploads in the store, any bucket."""

    def uploads() -> ObjectStore:
        from textinv.store import ensure_store

        return ensure_store(settings)

    return Shelf(origin.folder, uploads=uploads, bucket=bucket_opener(settings))


def _bounded(url: str, infos: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
    for count, info in enumerate(infos):
        if count == MAX_PER_CONCEPT:
            raise ImageError(f"more than {MAX_PER_CONCEPT} objects lie under {url}: name a longer prefix")
        yield info


def _pictures_among(text: str, sources: Sequence[Source]) -> tuple[list[Source], list[str]]:
    pictures: list[Source] = []
    passed: list[str] = []
    for source in sources:
        name = source.name.rpartition("/")[2]
        suffix = os.path.splitext(name)[1].lower()
        if suffix in PICTURE_SUFFIXES:
            pictures.append(source)
        elif suffix not in SILENT_SUFFIXES and not name.startswith("."):
            passed.append(name)
    if not pictures:
        others = f"it holds {len(sources)} other files" if sources else "nothing is there"
        raise ImageError(f"there is no picture in {text!r} ({others}): put 3 to 5 pictures there")
    return pictures, passed


def _natural(name: str | Path) -> list[tuple[int, str]]:
    """Order 2.png before 10.png."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(name).lower())]


def bucket_opener(settings: Settings) -> Callable[[str], ObjectStore]:
    """A function that opens a bucket by name; nothing is contacted before it is called."""

    def open_bucket(name: str) -> ObjectStore:
        from textinv.store.s3 import S3Store

        chosen = settings.store
        if chosen.endpoint_url is None:
            chosen = EmbeddedServer(settings.home).up()
        return S3Store(chosen.model_copy(update={"bucket": name, "prefix": ""}))

    return open_bucket
