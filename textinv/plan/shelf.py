"""From what a manifest calls its pictures to what lies there.

Owns the meaning of a folder, a file, a glob, an `s3://` prefix and a digest, which files of a folder are pictures, and
opening the buckets that prefixes name with the store's endpoint and credentials. Does not open pictures.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from textinv.errors import ImageError
from textinv.manifest.origin import Origin
from textinv.plan.sources import DIGEST, LocalFile, RemoteObject, Source, StoredPicture
from textinv.settings import Settings
from textinv.store.embedded import EmbeddedServer
from textinv.store.protocol import ObjectInfo, ObjectStore

REMOTE = "s3://"
PICTURE_SUFFIXES = frozenset(".png .jpg .jpeg .jpe .jfif .webp .bmp .tif .tiff .gif .heic .heif .avif .svg".split())
"""Files that somebody means as pictures; what cannot be decoded among them is refused by name, not skipped."""
CAPTION_SUFFIXES = (".txt", ".caption")
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
        self._allowed = None if allowed_prefixes is None else [f"{one.rstrip('/')}/" for one in allowed_prefixes]
        self._listings: dict[str, Listing] = {}
        self._folders: dict[str, frozenset[str]] = {}
        self._others: dict[str, list[str]] = {}
        """What of a folder is no file."""

    def pictures(self, text: str) -> tuple[list[Source], list[str]]:
        """The pictures that a text of the manifest means, in order, and the names of files that were passed over.

        Raises:
            ImageError: there are none.
        """
        if text.startswith(DIGEST):
            return [self._uploaded(text)], []
        if text.startswith(REMOTE):
            listing = self._listing(text)
            return _pictures_among(text, list(listing.objects.values()), listing.others)
        try:
            return self._local(text)
        except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, no such pattern
            raise ImageError(f"{text[:80]!r} is not a path that can be read: {error!s:.80}") from error

    def _local(self, text: str) -> tuple[list[Source], list[str]]:
        path = self._path(text)
        if path.is_dir():
            folder = str(path)
            names = sorted(self._names(folder), key=_natural)
            return _pictures_among(
                text, [LocalFile(os.path.join(folder, name)) for name in names], self._others[folder]
            )
        if path.is_file():
            return [LocalFile(str(path))], []
        if any(sign in text for sign in "*?["):
            return _pictures_among(text, [LocalFile(str(file)) for file in self._glob(text)])
        raise ImageError(
            f"{text!r} is neither a file nor a folder ({path}): correct the path, which is relative to the manifest"
        )

    def one(self, text: str) -> Source:
        """The one file that a text means.

        Raises:
            ImageError: it means none, or several.
        """
        found, _ = self.pictures(text)
        if len(found) != 1 or self._is_folder(text):
            raise ImageError(f"{text!r} matches {len(found)} files: name one")
        return found[0]

    def captions(self, source: Source) -> list[Source]:
        """The texts beside a picture that are called like it: `0.txt`, `0.caption` (kohya's), `0.png.txt`."""
        if isinstance(source, LocalFile):
            folder, name = os.path.split(source.name)
            there = self._names(folder or ".")
            return [LocalFile(os.path.join(folder, beside)) for beside in _caption_names(name) if beside in there]
        if isinstance(source, RemoteObject):
            folder, slash, name = source.info.key.rpartition("/")
            siblings = self._listing(f"{REMOTE}{source.bucket}/{folder}{slash}").objects
            keys = [f"{folder}{slash}{beside}" for beside in _caption_names(name)]
            return [siblings[key] for key in keys if key in siblings]
        return []

    def _path(self, text: str) -> Path:
        if self._folder is None:
            raise ImageError(
                f"{text!r} is a path, but paths cannot be read here: upload the picture and write sha256:<digest>, or "
                "name an s3:// prefix"
            )
        return self._folder / Path(text).expanduser()

    def _names(self, folder: str) -> frozenset[str]:
        """Names of the files in a folder; one listing per folder."""
        if folder not in self._folders:
            try:
                with os.scandir(folder) as scanned:
                    entries = sorted(scanned, key=lambda entry: entry.name)
            except OSError as error:
                raise ImageError(f"the folder {folder} cannot be read: {error.strerror}") from error
            files = frozenset(entry.name for entry in entries if entry.is_file())
            self._folders[folder] = files
            self._others[folder] = [_named(entry) for entry in entries if entry.name not in files]
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
            raise ImageError(f"{text!r} is not a digest: write sha256: and 64 hexadecimal digits")
        if self._uploads is None:
            raise ImageError(f"{text!r} is in the store, which cannot be reached here")
        return StoredPicture(self._uploads(), digest)

    def _listing(self, url: str) -> "Listing":
        """The objects that lie directly under a prefix, which ends at a slash, or the one with this very key."""
        if url not in self._listings:
            name, _, prefix = url.removeprefix(REMOTE).partition("/")
            if {".", ".."} & set(prefix.split("/")):  # some stores take keys for paths
                raise ImageError(f"{url} has . or .. in it: write the prefix as it is in the bucket")
            if self._allowed is not None and not any(f"{url.rstrip('/')}/".startswith(one) for one in self._allowed):
                raise ImageError(f"{url} may not be read here: allowed are {', '.join(self._allowed) or 'no prefixes'}")
            if self._bucket is None or not name:
                raise ImageError(f"{url} cannot be read here: write s3://bucket/prefix/, and configure the store")
            self._listings[url] = _list(url, self._bucket(name), name, prefix)
        return self._listings[url]


class Listing(NamedTuple):
    """What lies directly under a prefix."""

    objects: Mapping[str, RemoteObject]
    """By key."""
    others: Sequence[str]
    """Names of the sub-folders."""


def _list(url: str, store: ObjectStore, bucket: str, prefix: str) -> Listing:
    if PurePosixPath(prefix).suffix.lower() in PICTURE_SUFFIXES and not prefix.endswith("/"):
        first = next(store.list(prefix), None)
        if first is not None and first.key == prefix:
            return Listing({prefix: RemoteObject(store, first, bucket)}, ())
    folder = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
    objects: dict[str, RemoteObject] = {}
    others: dict[str, None] = {}
    for info in _bounded(url, store.list(folder)):
        name, slash, _ = info.key.removeprefix(folder).partition("/")
        if slash:
            others[f"{name}/"] = None
        elif name:  # an object called like the folder itself stands for it, in some browsers of buckets
            objects[info.key] = RemoteObject(store, info, bucket)
    return Listing(objects, list(others))


def _named(entry: os.DirEntry[str]) -> str:
    """What is not a file, in words."""
    if entry.is_dir():
        return f"{entry.name}/"
    return f"{entry.name} (a link to nothing)" if entry.is_symlink() else f"{entry.name} (not a file)"


def _caption_names(picture: str) -> Iterator[str]:
    """What a picture's caption may be called."""
    for name in (os.path.splitext(picture)[0], picture):
        for suffix in CAPTION_SUFFIXES:
            yield name + suffix
            yield name + suffix.upper()


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


def _pictures_among(text: str, sources: Sequence[Source], others: Sequence[str] = ()) -> tuple[list[Source], list[str]]:
    """The pictures among files, and the names of what was passed over, `others` (sub-folders ...) among them."""
    pictures: list[Source] = []
    passed = [name for name in others if not name.startswith(".")]
    for source in sources:
        name = source.name.rpartition("/")[2]
        suffix = os.path.splitext(name)[1].lower()
        if name.startswith("._"):  # what a Mac knows of a file, not the file
            continue
        if suffix in PICTURE_SUFFIXES and not name.startswith("."):
            pictures.append(source)
        elif suffix in PICTURE_SUFFIXES or not (suffix in SILENT_SUFFIXES or name.startswith(".")):
            passed.append(name)
    if not pictures:
        raise ImageError(_nothing_in(text, sources, [name for name in others if name.endswith("/")]))
    return pictures, passed


def _nothing_in(text: str, sources: Sequence[Source], folders: Sequence[str]) -> str:
    if folders and not sources:
        shown = ", ".join(folders[:3]) + (" and others" if len(folders) > 3 else "")
        return f"there is no picture in {text!r}, only sub-folders ({shown}), which are not looked into: name one"
    there = f"it holds {len(sources)} other files" if sources else "nothing is there"
    return f"there is no picture in {text!r} ({there}): put 3 to 5 pictures there"


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
