"""Where a picture's bytes are: a file, an object under an `s3://` prefix, or one that was uploaded before.

Owns reading them, a stamp that changes when the bytes do, and reading a spec's pictures back from wherever they were
put, digests verified and masks laid over them. Does not know what is in them.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from textinv.errors import CorruptObjectError, ImageError, ObjectNotFoundError
from textinv.images import Picture, decode_picture, with_mask
from textinv.spec import TrainSpec, image_key
from textinv.store.protocol import ObjectInfo, ObjectStore

DIGEST = "sha256:"
MAX_FILE_BYTES = 200_000_000


class Source(Protocol):
    """A picture, mask or caption that can be read."""

    @property
    def name(self) -> str:
        """Its file name, with folders as far as they help a person."""
        ...

    @property
    def stored(self) -> bool:
        """Whether it already lies in the store under its digest."""
        ...

    def stamp(self) -> str:
        """A text that changes when the bytes do; asking for it is cheap.

        Raises:
            ImageError: there is no such thing.
        """
        ...

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            ImageError: they cannot be read.
        """
        ...


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine."""

    name: str
    """Its path: text, because a hundred thousand `Path`s take seconds to make."""
    stored: bool = False

    @property
    def path(self) -> Path:
        return Path(self.name)

    def stamp(self) -> str:
        try:
            status = os.stat(self.name)
        except OSError as error:
            raise ImageError(f"{self.name} cannot be read: {error.strerror}") from error
        if status.st_size > MAX_FILE_BYTES:
            raise ImageError(f"{self.name} is larger than {MAX_FILE_BYTES // 1_000_000} MB: scale it down")
        return f"{os.path.abspath(self.name)}|{status.st_size}|{status.st_mtime_ns}"

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise ImageError(f"{self.name} cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class RemoteObject:
    """An object that an `s3://` prefix names."""

    store: ObjectStore
    info: ObjectInfo
    bucket: str
    stored: bool = False

    @property
    def name(self) -> str:
        return f"s3://{self.bucket}/{self.info.key}"

    def stamp(self) -> str:
        if self.info.size_bytes > MAX_FILE_BYTES:
            raise ImageError(f"{self.name} is larger than {MAX_FILE_BYTES // 1_000_000} MB: scale it down")
        return f"{self.name}|{self.info.etag}|{self.info.size_bytes}"

    def read(self) -> bytes:
        try:
            return self.store.get(self.info.key).body
        except ObjectNotFoundError:
            raise ImageError(f"{self.name} is gone: somebody deleted it after it was listed") from None


@dataclass(frozen=True)
class StoredPicture:
    """A picture that was uploaded before, by its digest."""

    store: ObjectStore
    digest: str
    stored: bool = True

    @property
    def name(self) -> str:
        return f"{DIGEST}{self.digest[:12]}"

    def stamp(self) -> str:
        if not self.store.exists(image_key(self.digest)):
            raise ImageError(f"no picture {DIGEST}{self.digest} was uploaded: upload it first")
        return f"{DIGEST}{self.digest}"

    def read(self) -> bytes:
        try:
            return self.store.get(image_key(self.digest)).body
        except ObjectNotFoundError:
            raise ImageError(f"no picture {DIGEST}{self.digest} was uploaded: upload it first") from None


def fetch_pictures(spec: TrainSpec, read: Callable[[str], bytes]) -> list[Picture]:
    """Read, verify and decode a spec's pictures, in the spec's order; `read` gives bytes by digest.

    Raises:
        CorruptObjectError: bytes are not those that the spec was made from.
        ImageError: a mask does not fit its picture.
    """
    pictures = []
    for ref in spec.pictures:
        picture = _decoded(ref.digest, ref.name, read)
        if ref.mask_digest is not None:
            picture = with_mask(picture, _decoded(ref.mask_digest, f"mask of {ref.name}", read))
        pictures.append(picture)
    return pictures


def _decoded(digest: str, name: str, read: Callable[[str], bytes]) -> Picture:
    data = read(digest)
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise CorruptObjectError(
            f"{name} has SHA-256 {found[:12]}..., but the spec was made from {digest[:12]}...: upload it again"
        )
    return decode_picture(data, name)
