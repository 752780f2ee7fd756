"""The Serve deployment that draws: `StudioReplica`.

Owns its life cycle under Ray Serve. What it does lies in `EngineStudio`.
"""

import gc
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING

from services.config import ServiceConfig
from services.log_lines import write_log_lines
from textinv.errors import NotReadyError, TextinvError
from textinv.spec import Kind

if TYPE_CHECKING:  # torch and all: whoever deploys a replica has no use for it
    from services.drawing.studio import DrawEvent, PromptRoom, Refused, StudioFacts, StudioMemory
    from textinv.generation.request import GenerateRequest


def keep_for_good() -> None:
    """Take what start-up made out of garbage collection, which would hold up every request while it looks through it:
    a third of a second in a front."""
    gc.collect()
    gc.freeze()


class StudioReplica:
    """One frozen base model and its engine."""

    def __init__(self, config: ServiceConfig) -> None:
        # Imported here, as above.
        from services.drawing.engine_studio import open_studio
        from services.drawing.meters import Meters

        write_log_lines()
        self._studio = open_studio(config)
        self._meters = Meters(self._studio)
        self._meters.start()
        keep_for_good()

    async def draw(self, request: "GenerateRequest", progress: bool) -> AsyncGenerator["DrawEvent | Refused", None]:
        """Draw a request, or say why not; Serve cancels the generator when the caller leaves."""
        from services.drawing.studio import Refused

        events = self._studio.draw(request, progress=progress)
        try:
            async for event in events:
                yield event
        except TextinvError as error:
            yield Refused(error, self._studio.waiting)
        finally:
            await events.aclose()

    async def facts(self) -> "StudioFacts":
        """Say what is drawn with."""
        return await self._studio.facts()

    async def measure(self, prompt: str, num_vectors: Mapping[str, int]) -> "PromptRoom":
        """Say how much room a prompt takes."""
        return await self._studio.measure(prompt, num_vectors)

    async def guess(self, digest: str, pictures: Sequence[bytes], kind: Kind, num_vectors: int) -> bytes:
        """Predict a concept's rows from its pictures."""
        return await self._studio.guess(digest, pictures, kind, num_vectors)

    async def memory(self) -> "StudioMemory":
        """Say how much memory is used."""
        return await self._studio.memory()

    def check_health(self) -> None:
        """Let Serve replace a replica that only fails."""
        if not self._studio.healthy:
            raise NotReadyError("this replica fails one request after the other")

    def __del__(self) -> None:
        """End the threads when Serve lets the replica go; requests have been waited for by then."""
        if hasattr(self, "_meters"):
            self._meters.stop()
            self._studio.close()
