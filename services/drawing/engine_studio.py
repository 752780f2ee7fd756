"""The studio that draws: an engine, a cache of embeddings and their registry, in one process.

Owns the way from a request to a ticket, and from the engine's thread to the event loop. Knows neither HTTP nor Ray.
"""

import asyncio
import math
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress

import psutil
import torch

from services.config import MIB, ServiceConfig
from services.drawing.guesser import Guesser
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
    Waiting,
)
from textinv.errors import (
    DeadlineError,
    NotReadyError,
    OverloadedError,
    RequestError,
    ServiceError,
    SettingsError,
)
from textinv.generation.cache import EmbeddingCache, Flight
from textinv.generation.engine import Engine
from textinv.generation.picture import MAX_NATIVE_AREAS, MIN_NATIVE_SIDE, CheckedRequest, choose_size
from textinv.generation.prompts import Mount, StoredConcept
from textinv.generation.request import GenerateRequest, Preview, Size, Ticket
from textinv.generation.safety import load_safety_checker
from textinv.generation.waiting_line import EngineLimits
from textinv.models import load_base_model
from textinv.placeholders import ConceptRef, parse_mention
from textinv.registry import Registry
from textinv.spec import Kind
from textinv.store import ensure_store

PROGRESS_EVERY_S = 0.3
# Memory of the GPU, by the names of A1111's `memory`. Source: A1111 `modules/api/api.py`, `get_memory`.
_GPU_STATISTICS = {
    "active": "active_bytes.all",
    "allocated": "allocated_bytes.all",
    "reserved": "reserved_bytes.all",
    "inactive": "inactive_split_bytes.all",
}
# Threads that cut prompts into tokens; none of them waits for the store.
_NUM_SUBMITTERS = 8
# A device that has failed for good fails every request; a single failure may have been the request's.
_MAX_FAILURES = 3


class EngineStudio:
    """Draws with an engine of its own; the engine's thread runs from `start` to `close`."""

    def __init__(self, engine: Engine, cache: EmbeddingCache, guesser: Guesser | None = None) -> None:
        self.engine = engine
        self.cache = cache
        self._guesser = guesser
        self._id = uuid.uuid4().hex
        self._submitters = ThreadPoolExecutor(_NUM_SUBMITTERS, thread_name_prefix="textinv-submit")
        self._closed = False
        self._num_failures = 0

    @property
    def healthy(self) -> bool:
        """Whether it is worth sending requests here: open, and the last few did not all fail."""
        return not self._closed and self._num_failures < _MAX_FAILURES

    @property
    def waiting(self) -> Waiting:
        """What waits here."""
        num_waiting, wait_s = self.engine.outlook()
        return Waiting(self._id, self.engine.limits, self.engine.model.native_px, num_waiting, wait_s)

    def start(self) -> None:
        """Let the engine run."""
        self.engine.start()

    def close(self) -> None:
        """Stop drawing; what is under way fails."""
        self._closed = True
        self.engine.close()
        self.cache.close()
        if self._guesser is not None:
            self._guesser.close()
        self._submitters.shutdown(wait=False, cancel_futures=True)

    async def facts(self) -> StudioFacts:
        """Say what is drawn with."""
        if self._closed:
            raise NotReadyError("this studio is closed; ask another replica")
        model = self.engine.model
        return StudioFacts(
            base_model=model.id,
            base_revision=model.revision,
            family=model.family,
            native_px=model.native_px,
            grain_px=model.grain_px,
            min_side_px=math.ceil(MIN_NATIVE_SIDE * model.native_px),
            max_image_px=self.engine.limits.max_image_px or MAX_NATIVE_AREAS * model.native_px**2,
            encoder_widths=dict(model.encoder_widths),
            screened=self.engine.screens,
            has_clip=model.clip is not None,
            takes_sizes=model.takes_sizes,
            learns_shapes=model.learns_shapes,
            recipe=dict(model.recipe),
            num_inference_steps=model.drawing.num_inference_steps,
            guidance_scale=model.drawing.guidance_scale,
            noise_scheduler=model.drawing.noise_scheduler,
            skips_elsewhere=model.skips_elsewhere,
            clip_skip=model.clip_skip,
        )

    async def measure(self, prompt: str, num_vectors: Mapping[str, int]) -> PromptRoom:
        """Say how much room a prompt takes."""
        model = self.engine.model
        counts = {parse_mention(name): count for name, count in num_vectors.items()}
        tokenized = model.tokenize_prompt(prompt, counts)
        return PromptRoom(model.count_tokens(prompt, counts), model.room, tokenized.num_chunks)

    async def guess(self, digest: str, pictures: Sequence[bytes], kind: Kind, num_vectors: int) -> bytes:
        """Predict a concept's rows from its pictures."""
        if self._guesser is None or self._closed:
            raise NotReadyError("this studio does not guess; ask another replica")
        return await self._guesser.guess(digest, pictures, kind, num_vectors)

    async def memory(self) -> StudioMemory:
        """Say how much memory is used."""
        return read_memory(self.engine.model.device)

    async def draw(self, request: GenerateRequest, *, progress: bool = False) -> AsyncGenerator[DrawEvent, None]:
        """Draw a request."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Preview | None] = asyncio.Queue()
        # Before any thread or fetch is waited for: who is sent away is sent away at once.
        asked = self.engine.check_room(request)
        found = self.cache.look_up(ref for ref in asked.refs if ref not in request.given)
        stored = {ref: await _landed(one) if isinstance(one, Flight) else one for ref, one in found.items()}
        mounts = {**stored, **request.given}
        ticket = await self._enter(asked, mounts)
        ticket.on_preview(lambda preview: _call_in(loop, lambda: events.put_nowait(preview)))
        ticket.add_done_callback(lambda _: _call_in(loop, lambda: events.put_nowait(None)))
        try:
            yield Begun(ticket.concepts, self.waiting, ticket.learned_on, ticket.notes)
            while True:
                try:
                    preview = await asyncio.wait_for(events.get(), PROGRESS_EVERY_S if progress else None)
                except TimeoutError:
                    yield Progress(ticket.progress)
                    continue
                if preview is None:
                    break
                yield Sketch(preview.image, preview.step, preview.pixels)
            yield self._drawn(ticket)
        finally:
            ticket.cancel()

    async def _enter(self, asked: CheckedRequest, mounts: Mapping[ConceptRef, Mount]) -> Ticket:
        """Enter in a thread, as prompts are cut into tokens there; what is left meanwhile is not drawn."""
        self.engine.reserve(asked)
        entering = asyncio.get_running_loop().run_in_executor(self._submitters, self.engine.enter, asked, mounts)
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError:
            entering.add_done_callback(_give_up)
            raise

    def _drawn(self, ticket: Ticket) -> Drawn:
        try:
            images = ticket.result(timeout=0)
        except ServiceError as error:
            self._num_failures += not isinstance(error, OverloadedError | DeadlineError)
            raise
        except CancelledError as error:
            raise ServiceError("the request was cancelled in the engine") from error
        self._num_failures = 0
        drawings = (Drawing(image.pixels, image.seed, image.infotext, image.flagged) for image in images)
        return Drawn(tuple(drawings), self.waiting)


def open_studio(config: ServiceConfig) -> EngineStudio:
    """Load the base model, connect to the store and start an engine.

    Raises:
        BaseModelError: the base model cannot be loaded.
        SettingsError: the base model cannot draw one of `warm_sizes`.
        StoreError: the store cannot be reached.
    """
    settings = config.settings()
    model = load_base_model(config.base_model, device=config.device, dtype=config.dtype, aliases=settings.base_models)
    safety = None
    if config.safety_checker:
        safety = load_safety_checker(
            config.base_model, device=model.device, revision=model.revision, aliases=settings.base_models
        )
    limits = EngineLimits(max_waiting=config.max_waiting, max_wait_s=config.max_wait_s)
    engine = Engine(model, max_batch=config.max_batch, limits=limits, safety=safety)
    store = ensure_store(settings, reads_only=True, answers_soon=True)
    cache = EmbeddingCache(Registry(store, model.revision), config.cache_mib * MIB)
    engine.warm_up(_sizes_to_measure(engine, config.warm_sizes))
    studio = EngineStudio(engine, cache, Guesser(model, store, settings.encoders))
    studio.start()
    return studio


def _sizes_to_measure(engine: Engine, warm_sizes: Sequence[str]) -> list[Size]:
    sizes = [choose_size(engine.model, GenerateRequest(""), engine.limits.max_image_px)]
    for text in warm_sizes:
        width_px, height_px = map(int, text.split("x"))
        wanted = GenerateRequest("", width_px=width_px, height_px=height_px)
        try:
            sizes.append(choose_size(engine.model, wanted, engine.limits.max_image_px))
        except RequestError as error:
            raise SettingsError(f"warm_sizes: {text}: {error.message}") from error
    return list(dict.fromkeys(sizes))


async def _landed(flight: Flight) -> StoredConcept:
    """Wait as `Flight.wait` does, without a thread; one who leaves lets the flight go on for the others."""
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(flight.future)), flight.patience_s)
    except TimeoutError:
        if flight.old is None:
            raise
        return flight.old


def _give_up(entering: asyncio.Future[Ticket]) -> None:
    if not entering.cancelled() and entering.exception() is None:
        entering.result().cancel()


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call from the engine's thread; a loop that has ended has nobody left to tell."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


def read_memory(device: torch.device) -> StudioMemory:
    """Read what this process uses, and what anybody could still have."""
    machine, used = psutil.virtual_memory(), psutil.Process().memory_info().rss
    return StudioMemory(
        {"free": machine.available, "used": used, "total": machine.total},
        _of_gpu(device) if device.type == "cuda" else None,
    )


def _of_gpu(device: torch.device) -> dict[str, dict[str, int]]:
    free, total = torch.cuda.mem_get_info(device)
    known = torch.cuda.memory_stats(device)
    found = {"system": {"free": free, "used": total - free, "total": total}}
    for name, key in _GPU_STATISTICS.items():
        found[name] = {"current": known.get(f"{key}.current", 0), "peak": known.get(f"{key}.peak", 0)}
    return found | {"events": {"retries": known.get("num_alloc_retries", 0), "oom": known.get("num_ooms", 0)}}
