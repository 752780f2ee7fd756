"""A studio without a base model: each picture is one colour, drawn from its seed, prompt and concepts.

A whole implementation of `Studio` for tests of the HTTP side: concepts come from a registry through the real cache,
inference steps take real time, and closing a draw is noticed.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from services.drawing.studio import (
    Begun,
    DrawEvent,
    Drawing,
    Drawn,
    Progress,
    PromptRoom,
    Sketch,
    StudioFacts,
    StudioMemory,
)
from textinv.embedding import Embedding
from textinv.errors import NotReadyError, OverloadedError, ServiceError
from textinv.generation.cache import EmbeddingCache
from textinv.generation.prompts import used_concepts
from textinv.generation.request import GeneratedImage, GenerateRequest
from textinv.registry import Registry
from textinv.spec import Kind
from textinv.store.protocol import ObjectStore

FACTS = StudioFacts(
    "colours",
    "c0ffee",
    "sd1",
    64,
    8,
    16,
    64 * 64 * 4,
    {"text_encoder": 8},
    num_inference_steps=25,
    guidance_scale=4.0,
    noise_scheduler="dpmpp-2m",
)


class ColourStudio:
    """Draws colours; at most `max_requests` at once."""

    def __init__(self, store: ObjectStore, step_s: float = 0.0, max_requests: int = 8) -> None:
        self.cache = EmbeddingCache(Registry(store), revalidate_s=0.0)
        self.step_s = step_s
        self.max_requests = max_requests
        self.is_away = False
        self.may_tell = asyncio.Event()
        self.may_tell.set()
        self.num_asked = 0
        self.fails_at_step: int | None = None
        self.flagged_seeds: set[int] = set()
        self.num_running = 0
        self.num_finished = 0
        self.num_left = 0
        self.num_sketches = 0
        self.requests: list[GenerateRequest] = []
        self.guessed: list[tuple[str, tuple[bytes, ...], Kind, int]] = []

    async def facts(self) -> StudioFacts:
        self.num_asked += 1
        await self.may_tell.wait()
        if self.is_away:
            raise NotReadyError("no replica is running", retry_after_s=5)
        return FACTS

    async def measure(self, prompt: str, num_vectors: Mapping[str, int]) -> PromptRoom:
        words = sum(num_vectors.get(word.strip("<>"), 1) for word in prompt.split())
        return PromptRoom(words, 30, 1 + words // 31)

    async def guess(self, digest: str, pictures: Sequence[bytes], kind: Kind, num_vectors: int) -> bytes:
        """Rows of the numbers in which the pictures' bytes begin to differ: of their hash."""
        self.guessed.append((digest, tuple(pictures), kind, num_vectors))
        said = hashlib.sha256(b"".join(pictures)).digest()[:8]
        return Embedding({"text_encoder": torch.tensor([list(said)] * num_vectors, dtype=torch.float32)}).to_bytes()

    async def memory(self) -> StudioMemory:
        return StudioMemory({"free": 9, "used": 1, "total": 10})

    async def draw(self, request: GenerateRequest, *, progress: bool = False) -> AsyncGenerator[DrawEvent, None]:
        request.check()
        self.requests.append(request)
        stored = [ref for ref in request.refs if ref not in request.given]
        mounts = {**await asyncio.to_thread(self.cache.resolve, stored), **request.given}
        concepts = used_concepts(request.refs, mounts)
        if self.num_running >= self.max_requests:
            raise OverloadedError(f"{self.num_running} requests run already", retry_after_s=7)
        self.num_running += 1
        try:
            yield Begun(concepts)
            for step in range(1, request.num_inference_steps + 1):
                await asyncio.sleep(self.step_s)
                if step == self.fails_at_step:
                    raise ServiceError("the colours ran out")
                if progress:
                    yield Progress(step / request.num_inference_steps)
                if request.preview_every and step % request.preview_every == 0:
                    for index in range(request.num_images):
                        self.num_sketches += 1
                        yield Sketch(index, step, _colour(request, request.seed + index, concepts))
        except (GeneratorExit, asyncio.CancelledError):
            self.num_left += 1
            raise
        finally:
            self.num_running -= 1
        self.num_finished += 1
        yield Drawn(tuple(self._drawing(request, index, concepts) for index in range(request.num_images)))

    def _drawing(self, request: GenerateRequest, index: int, concepts: dict[str, str]) -> Drawing:
        seed = request.seed + index
        flagged = seed in self.flagged_seeds
        pixels = _colour(request, seed, concepts) * (not flagged)
        return Drawing(pixels, seed, GeneratedImage(pixels, seed, request, concepts, "colours").infotext, flagged)


def _colour(request: GenerateRequest, seed: int, concepts: dict[str, str]) -> NDArray[np.uint8]:
    said = f"{request.prompt}|{request.negative_prompt}|{seed}|{sorted(concepts.items())}"
    colour = np.frombuffer(hashlib.sha256(said.encode()).digest()[:3], np.uint8)
    if request.init_image is not None:
        painted = np.broadcast_to(colour, request.init_image.shape)
        change = request.mask[..., None] > 127 if request.mask is not None else True
        return np.where(change, painted, request.init_image).astype(np.uint8)
    return np.broadcast_to(colour, (request.height_px or 64, request.width_px or 64, 3)).copy()
