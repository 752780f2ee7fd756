"""A studio behind a Serve handle: the replicas that draw, seen from the front.

Owns the one retry when a replica dies, and the translation of Ray's errors. A retry has the same seed and the versions
that the first try used, so it gives the same picture. Who finds no room, by `KnownWaiting`, is sent away unasked.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, NoReturn

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from services.drawing.known_waiting import KnownWaiting
from services.drawing.studio import Begun, DrawEvent, Drawn, PromptRoom, Refused, Sketch, StudioFacts, StudioMemory
from textinv.errors import NotReadyError, OverloadedError, ServiceError, TextinvError
from textinv.generation.request import GenerateRequest
from textinv.placeholders import expand_aliases, parse_ref, with_versions
from textinv.spec import Kind

_NUM_TRIES = 2


class RemoteStudio:
    """Draws on whichever replica Serve chooses."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle
        self._streams = handle.options(stream=True)
        self._waiting = KnownWaiting()

    async def facts(self) -> StudioFacts:
        """Say what is drawn with."""
        try:
            facts: StudioFacts = await self._handle.facts.remote()
        except Exception as error:
            _raise_own(error)
        return facts

    async def measure(self, prompt: str, num_vectors: Mapping[str, int]) -> PromptRoom:
        """Say how much room a prompt takes."""
        try:
            room: PromptRoom = await self._handle.measure.remote(prompt, dict(num_vectors))
        except Exception as error:
            _raise_own(error)
        return room

    async def guess(self, digest: str, pictures: Sequence[bytes], kind: Kind, num_vectors: int) -> bytes:
        """Predict a concept's rows from its pictures."""
        try:
            rows: bytes = await self._handle.guess.remote(digest, list(pictures), kind, num_vectors)
        except Exception as error:
            _raise_own(error)
        return rows

    async def memory(self) -> StudioMemory:
        """Say how much memory is used."""
        try:
            memory: StudioMemory = await self._handle.memory.remote()
        except Exception as error:
            _raise_own(error)
        return memory

    async def draw(self, request: GenerateRequest, *, progress: bool = False) -> AsyncGenerator[DrawEvent, None]:
        """Draw a request, once more on another replica when the first one dies."""
        with self._waiting.sending(request) as answered:
            async with aclosing(self._draw(request, progress, answered)) as events:
                async for event in events:
                    yield event

    async def _draw(
        self, request: GenerateRequest, progress: bool, answered: Callable[[], None]
    ) -> AsyncGenerator[DrawEvent, None]:
        begun: Begun | None = None
        seen: set[tuple[int, int]] = set()
        for num_left in reversed(range(_NUM_TRIES)):
            asked = request if begun is None else pinned(request, begun.concepts)
            stream = self._streams.draw.remote(asked, progress)
            has_ended = False
            try:
                async for event in stream:
                    answered()
                    if isinstance(event, Begun | Drawn | Refused):
                        self._waiting.hear(event.waiting)
                    if isinstance(event, Refused):
                        has_ended = True
                        raise event.error
                    if isinstance(event, Begun):
                        if begun is None:
                            begun = event
                            yield event
                    elif not isinstance(event, Sketch) or (event.image, event.step) not in seen:
                        if isinstance(event, Sketch):
                            seen.add((event.image, event.step))
                        yield event
                has_ended = True
                return
            except RayActorError as error:
                if not num_left:
                    raise ServiceError("two replicas died one after the other while they drew; ask again") from error
            except Exception as error:
                _raise_own(error)
            finally:
                if not has_ended:
                    stream.cancel()


def pinned(request: GenerateRequest, concepts: Mapping[str, str]) -> GenerateRequest:
    """Name in a request's prompts the versions (`name@version` -> digest) that its first try used."""
    return replace(
        request,
        prompt=_pin(request.prompt, concepts),
        negative_prompt=_pin(request.negative_prompt, concepts),
    )


def _pin(text: str, concepts: Mapping[str, str]) -> str:
    refs = [parse_ref(versioned) for versioned in concepts]
    # What the name alone meant comes before the versions that were named beside it.
    used = {ref.name: ref.version for ref in reversed(refs) if ref.version}
    return with_versions(expand_aliases(text), used)


def _raise_own(error: Exception) -> NoReturn:
    """Raise what a replica or Serve raised as one of our errors."""
    cause: Any = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, TextinvError):
        raise cause from None
    if isinstance(error, BackPressureError):
        raise OverloadedError("too many requests wait for a replica; come back later", retry_after_s=2) from error
    if isinstance(error, RayActorError | DeploymentUnavailableError):
        raise NotReadyError("no replica is running; come back later", retry_after_s=5) from error
    raise ServiceError(f"the replica failed: {type(cause).__name__}; its log says why") from error
