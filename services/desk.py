"""Everything that routes work with, in one object: `Desk`.

Owns the bundle and the few questions that several routes ask. Knows no HTTP.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import ParamSpec, TypeVar

from services.access.front_usage import AskUsage, FrontUsage
from services.access.in_flight import InFlight
from services.access.keys import ApiKey, KeyRing
from services.answers.idempotency import Replies
from services.concept_list import ConceptList
from services.config import ServiceConfig
from services.drawing.held_guesses import HeldGuesses, Holder
from services.drawing.studio import Begun, DrawEvent, Studio, StudioFacts
from services.log_lines import note
from services.shared import SharedGuesses
from services.teaching.learning import Learning
from textinv.errors import NotReadyError, UnknownConceptError
from textinv.generation.request import GenerateRequest
from textinv.jobs.fleet_driver import Fleet
from textinv.placeholders import GUESS, ConceptRef
from textinv.registry import Registry
from textinv.store.protocol import ObjectStore

P = ParamSpec("P")
T = TypeVar("T")

# asyncio's own would have six threads on two cores; these mostly wait, and one that hangs should not be missed.
_waiters = ThreadPoolExecutor(64, thread_name_prefix="textinv-desk")
# What only computes (encoding pictures) does not stand in line behind whoever waits for the store.
_computers = ThreadPoolExecutor(8, thread_name_prefix="textinv-compute")
# Any key does: whether it exists is not the question.
_PROBE_KEY = "format.json"
# Whoever asks for readiness asks again soon and should not wait for a base model to load.
_READY_S = 5.0


class Desk:
    """Config, studio, store, registry, keys and what learns of one front."""

    def __init__(
        self,
        config: ServiceConfig,
        studio: Studio,
        store: ObjectStore,
        fleet: Fleet | None = None,
        shared: AskUsage | None = None,
    ) -> None:
        """`fleet` None: the one that the settings mean. `shared` is what several fronts share, if there are."""
        self.config = config
        self.studio = studio
        self.store = store
        self.registry = Registry(store)
        self.concepts = ConceptList(self.registry)
        self.key_ring = KeyRing(store)
        self.in_flight = InFlight()
        self.usage = FrontUsage(self.in_flight, shared)
        self.guesses: Holder = HeldGuesses() if shared is None else SharedGuesses(shared)
        self.replies = Replies(store)
        self.learning = Learning(config, store, fleet)
        self.known_facts: StudioFacts | None = None
        self._asking: asyncio.Future[StudioFacts] | None = None

    async def draw(
        self, request: GenerateRequest, key: ApiKey | None = None, *, progress: bool = False
    ) -> AsyncGenerator[DrawEvent, None]:
        """Draw as `Studio.draw`, holding one of the key's places meanwhile.

        Raises:
            OverloadedError: the key's other requests hold all of them.
            UnknownConceptError: it names a guess that its caller does not hold.
        """
        if self.config.log_prompts:
            note(prompt=request.prompt, negative_prompt=request.negative_prompt)
        request = await self._with_guesses(request)
        async with self.usage.place(key), aclosing(self.studio.draw(request, progress=progress)) as events:
            async for event in events:
                if isinstance(event, Begun):
                    note(concepts=list(event.concepts))
                yield event

    async def _with_guesses(self, request: GenerateRequest) -> GenerateRequest:
        """The request with the rows of the guesses that it names."""
        refs = [ref for ref in request.refs if ref.version == GUESS]
        if not refs:
            return request
        caller, _, _ = request.caller.partition("/")
        held = await self.guesses.held(caller, [ref.name for ref in refs])
        for ref in refs:
            if ref.name not in held:
                raise UnknownConceptError(missing_guess(ref), concept=str(ref))
        return replace(request, given={ref: held[ref.name] for ref in refs})

    async def facts(self) -> StudioFacts:
        """What the studio draws with; asked for once.

        Raises:
            NotReadyError: the studio is not there yet.
        """
        return self.known_facts or self._know(await self.studio.facts())

    def _know(self, facts: StudioFacts) -> StudioFacts:
        """Names mean what was learned for the base model that draws, where there is that."""
        self.known_facts, self.registry.base_revision = facts, facts.base_revision
        return facts

    async def check_ready(self, within_s: float = _READY_S) -> None:
        """Check that a request could be drawn now.

        The studio is asked afresh, unless it may be away for want of requests: asking would bring it back.

        Raises:
            NotReadyError: the base model is not there.
            StoreError: the store does not answer.
        """
        try:
            async with asyncio.timeout(within_s):
                if self.config.min_replicas:
                    self._know(await self._fresh_facts())
                else:
                    await self.facts()
                await in_thread(self.store.exists, _PROBE_KEY)
        except TimeoutError as error:
            raise NotReadyError(f"the studio or the store did not answer within {within_s:g} s") from error

    async def _fresh_facts(self) -> StudioFacts:
        """Ask the studio; while it has not answered, whoever asks again waits for the same answer."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self.studio.facts())
            self._asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._asking)


def missing_guess(ref: ConceptRef) -> str:
    """What is said of a guess that a caller does not hold."""
    return (
        f"you hold no guess {ref.placeholder}: one is held for an hour, for who asked for it alone, and not over a "
        "restart; POST /v1/concepts/guess makes it again"
    )


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Make a call that waits for the store, without holding up the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_waiters, partial(call, *args, **kwargs))


async def computing(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Make a call that takes a while and asks nobody, without holding up the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_computers, partial(call, *args, **kwargs))
