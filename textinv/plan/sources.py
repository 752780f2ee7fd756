"""Where a picture's bytes are: a file, an object under an `s3://` prefix, or one that was uploaded before.

Owns reading them and a stamp that changes when the bytes do. Does not know what is in them.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from textinv.errors import ImageError, ObjectNotFoundError
from textinv.store.protocol import ObjectInfo, ObjectStore

DIGEST = "sha256:"
MAX_FILE_BYTES = 200_000_000


def image_key(digest: str) -> str:
    """Where uploaded pictures lie in the store."""
    return f"images/{digest}"


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
