"""Rows from pictures in one pass, on the base model that a studio draws with.

Owns the one thread that predicts, so that a guess never takes more than one core from drawing, and how many may wait
for it. Reads guesses from the store and writes nothing. Does not know who asks, nor how long rows are held.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

from textinv.errors import OverloadedError
from textinv.guess.guess import open_guess
from textinv.images import decode_picture
from textinv.models.base import BaseModel
from textinv.registry.guesses import load_guess
from textinv.spec import Kind
from textinv.store.protocol import ObjectStore

_MAX_WAITING = 16
"""Each holds its pictures' files."""


class Guesser:
    """Predicts on one base model, with any guess of a store; `encoders` are the folders that these may see through."""

    def __init__(self, model: BaseModel, store: ObjectStore, encoders: Sequence[Path] = ()) -> None:
        self._model, self._encoders = model, encoders
        self._load = lru_cache(maxsize=2)(partial(load_guess, store))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="textinv-guess")
        self._num_waiting = 0

    async def guess(self, digest: str, pictures: Sequence[bytes], kind: Kind, num_vectors: int) -> bytes:
        """Predict a concept's rows from its pictures' files with the guess of this digest: an embedding's bytes.

        Raises:
            OverloadedError: too many wait.
            ImageError: a picture cannot be used.
            InputError: there is no such guess in the store.
            BaseModelMismatchError, SettingsError: as `open_guess`.
        """
        if self._num_waiting >= _MAX_WAITING:
            raise OverloadedError(f"{self._num_waiting} others wait for a guess; come back later", retry_after_s=2)
        self._num_waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._predict, digest, pictures, kind, num_vectors)
        finally:
            self._num_waiting -= 1

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _predict(self, digest: str, pictures: Sequence[bytes], kind: Kind, num_vectors: int) -> bytes:
        guess = open_guess(self._load(digest), self._model, self._encoders)
        pixels = [decode_picture(file, f"picture {place}", to_learn=True).pixels for place, file in enumerate(pictures)]
        return guess.rows(pixels, kind, num_vectors).to_bytes()
