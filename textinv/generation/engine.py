"""The engine: step-level batching of any requests on one frozen base model.

Owns the loop, admission into the batch and the background thread. Does not know the registry, HTTP or Ray: concepts
come in as mounts, pictures go out through tickets. Station 8 on the way: `GenerateRequest` -> `GeneratedImage`.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from textinv.errors import NotReadyError, ServiceError
from textinv.generation.active import WaitingImage, count_steps
from textinv.generation.admission import (
    Limits,
    check_deadline,
    check_possible,
    check_room,
    choose_size,
    deadline_passed,
)
from textinv.generation.batch import RunningBatch, Tally, as_service_error
from textinv.generation.limits import BatchLimits
from textinv.generation.mounts import Mount, check_mounts, used_concepts
from textinv.generation.pace import Pace, Size
from textinv.generation.prompts import PromptEncoder
from textinv.generation.request import GenerateRequest
from textinv.generation.safety import SafetyChecker
from textinv.generation.ticket import Ticket
from textinv.generation.waiting import WaitingLine
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef

# Shares of the batch are fractions; their sum may miss 1 by this.
_ROUNDING = 1e-9

Work = tuple[Size, int]
"""What is left of a picture: its size and inference steps."""


@dataclass(frozen=True)
class EngineStats:
    """What an engine is doing: pictures waiting and in the batch, and counts since the start."""

    waiting: int
    active: int
    tally: Tally
    prompt_hits: int
    prompt_misses: int


class Engine:
    """Draws many requests at once. `submit` from any thread; either `start` a thread, or `step` in yours."""

    def __init__(
        self,
        model: BaseModel,
        *,
        max_batch: int | Literal["auto"] = "auto",
        limits: Limits | None = None,
        safety: SafetyChecker | None = None,
    ) -> None:
        self.model = model
        self.limits = limits or Limits()
        self.batch_limits = BatchLimits(model, max_batch)
        self._encoder = PromptEncoder(model)
        self._pace = Pace(self.batch_limits.limit)
        self._batch = RunningBatch(model, self._encoder, self._pace, safety)
        self._line: WaitingLine[WaitingImage] = WaitingLine()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._num_reserved = 0  # pictures that have room in the line and are not in it yet
        self._num_joining = 0  # taken out of the line, not in the batch yet
        self._open = True
        self._stopping = False

    def submit(self, request: GenerateRequest, mounts: Mapping[ConceptRef, Mount] | None = None) -> Ticket:
        """Take a request; it joins the batch at the next step that has room.

        Raises:
            RequestError, OverloadedError, DeadlineError: as `reserve`.
            PromptError, UnknownConceptError, BaseModelMismatchError, NotReadyError: as `enter`.
        """
        self.reserve(request)
        return self.enter(request, mounts or {})

    def check_room(self, request: GenerateRequest) -> None:
        """Check that a request could be taken now, before anything is spent on it.

        Raises:
            RequestError: a field is out of range, or it could not be taken or done in time even if nobody else asked.
            OverloadedError: too many wait.
            DeadlineError: it cannot be done in time behind those that came before it.
        """
        self._take_room(request, 0)

    def reserve(self, request: GenerateRequest) -> None:
        """Keep room in the line for a request, which must `enter` then, so that it is not sent away after all.

        Raises:
            RequestError, OverloadedError, DeadlineError: as `check_room`.
        """
        self._take_room(request, request.num_images)

    def enter(self, request: GenerateRequest, mounts: Mapping[ConceptRef, Mount]) -> Ticket:
        """Put a request into the line, in the room that was reserved for it, which is given up if that fails.

        Raises:
            PromptError: a prompt cannot be encoded.
            UnknownConceptError: a concept is not among the mounts.
            BaseModelMismatchError: an embedding belongs to another base model.
            NotReadyError: the engine is closed.
        """
        try:
            images = self._prepare(request, mounts)
        except BaseException:
            with self._changed:
                self._num_reserved -= request.num_images
            raise
        with self._changed:
            self._num_reserved -= request.num_images
            if not self._open:
                raise NotReadyError("this engine is closed; ask another replica")
            for image in images:
                self._line.add(image)
            self._changed.notify_all()
        return images[0].ticket

    def outlook(self) -> tuple[int, float]:
        """Pictures that wait, and the seconds after which one more of the native size would have a place."""
        native_px = (self.model.native_px, self.model.native_px)
        with self._changed:
            num_waiting, work = len(self._line) + self._num_reserved, [*self._under_way(), *map(_work, self._line)]
        return num_waiting, self._wait_s(work, native_px)

    @torch.inference_mode()
    def warm_up(self, sizes: Sequence[Size] = ()) -> None:
        """Measure how many pictures of these sizes (height, width; default: the native one) share a batch and how fast.

        Call it before `start`; otherwise the first step does it for the native size.
        """
        (empty,) = self._encoder.encode([self._encoder.prepare("", {}, False)])
        for size in sizes or [(self.model.native_px, self.model.native_px)]:
            self.batch_limits.measure(size, empty)
            self._pace.start_from(size, self.batch_limits.measured_s[size])

    @torch.inference_mode()
    def step(self) -> bool:
        """Let waiting pictures join and take one inference step; False when there is nothing to do."""
        try:
            if not self.batch_limits.ready:
                self.warm_up()
            self._batch.join(self._admit())
            self._batch.step()
        except Exception as error:
            self._batch.fail_all(as_service_error(error))
        with self._changed:
            self._num_joining = 0
            self._changed.notify_all()
            return self._busy()

    def run_until_idle(self) -> None:
        """Step until everything submitted is done."""
        while self.step():
            pass

    def start(self) -> None:
        """Run the loop in a thread of its own, until `close`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="textinv-engine", daemon=True)
            self._thread.start()

    def drain(self, timeout_s: float) -> bool:
        """Take nothing new and wait until everything accepted is done; False when time runs out first."""
        with self._changed:
            self._open = False
            return self._changed.wait_for(lambda: not self._busy(), timeout_s)

    def close(self) -> None:
        """Take nothing new, give up what is not done, and end the thread."""
        with self._changed:
            self._open, self._stopping = False, True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        error = ServiceError("the engine was closed before the picture was done; ask again")
        with self._changed:
            waiting = self._line.remove(lambda _: True)
        for one in waiting:
            one.ticket.fail(error)
        self._batch.fail_all(error)

    @property
    def screens(self) -> bool:
        """Whether pictures pass a safety checker."""
        return self._batch.screens

    @property
    def stats(self) -> EngineStats:
        """What the engine is doing."""
        with self._changed:
            waiting, active = len(self._line), len(self._batch.images)
        return EngineStats(waiting, active, replace(self._batch.tally), self._encoder.hits, self._encoder.misses)

    def _prepare(self, request: GenerateRequest, mounts: Mapping[ConceptRef, Mount]) -> list[WaitingImage]:
        size_px = choose_size(self.model, request, self.limits)
        check_mounts(self.model, request.refs, mounts)
        prompt = self._encoder.prepare(request.prompt, mounts, request.attention_weights)
        negative = self._encoder.prepare(request.negative_prompt, mounts, request.attention_weights)
        num_steps = count_steps(self.model, request)
        ticket = Ticket(request, steps_total=num_steps * request.num_images)
        guided = request.guidance_scale > 1
        deadline_at = None if request.deadline_s is None else time.monotonic() + request.deadline_s
        concepts = used_concepts(request.refs, mounts)
        return [
            WaitingImage(ticket, index, size_px, num_steps, prompt, negative if guided else None, concepts, deadline_at)
            for index in range(request.num_images)
        ]

    def _under_way(self) -> list[Work]:
        return [(image.waiting.size_px, len(image.timesteps_T) - image.position) for image in list(self._batch.images)]

    def _take_room(self, request: GenerateRequest, num_reserved: int) -> None:
        request.check()
        one = self._work_of(request)
        more = [one] * (request.num_images - 1)
        check_possible(self.limits, request, self._needed_s(more, one, request.num_images))
        with self._changed:
            num_waiting, active = len(self._line) + self._num_reserved, self._under_way()
            check_room(self.limits, num_waiting, request, self._wait_s([*active, *map(_work, self._line)], one[0]))
            before = [*active, *map(_work, self._line.ahead_of(request.caller)), *more]
            check_deadline(request, self._needed_s(before, one, len(active) + num_waiting + request.num_images))
            self._num_reserved += num_reserved

    def _work_of(self, request: GenerateRequest) -> Work:
        """A picture's size, and its steps where a deadline asks for them: counting them takes a noise scheduler."""
        size_px = choose_size(self.model, request, self.limits)
        return size_px, 0 if request.deadline_s is None else count_steps(self.model, request)

    def _needed_s(self, before: Sequence[Work], one: Work, together: int) -> float:
        """Estimate when a picture is done that comes behind others, while so many could share its batch."""
        size_px, num_steps = one
        own_s = self._pace.own_s(size_px, num_steps, min(together, self.batch_limits.limit(size_px)))
        return self._wait_s(before, size_px) + own_s

    def _wait_s(self, before: Sequence[Work], size_px: Size) -> float:
        """Estimate when a place of a size is free: when all before it are done but those that it can share with."""
        work: Counter[Size] = Counter()
        for size, num_steps in before:
            work[size] += num_steps
        num_in_the_way = max(len(before) + 1 - self.batch_limits.limit(size_px), 0)
        return self._pace.wait_s(work) * num_in_the_way / max(len(before), 1)

    def _admit(self) -> list[WaitingImage]:
        now = time.monotonic()
        admitted: list[WaitingImage] = []
        with self._changed:
            self._line.remove(lambda one: one.ticket.done())
            late = self._line.remove(lambda one: one.deadline_at is not None and now > one.deadline_at)
            used = sum(self._share(image.waiting) for image in self._batch.images)
            while one := self._line.take(self._fits(used)):
                used += self._share(one)
                admitted.append(one)
            self._num_joining = len(admitted)
        for one in late:
            one.ticket.fail(deadline_passed(one))
        return admitted

    def _share(self, waiting: WaitingImage) -> float:
        return 1 / self.batch_limits.limit(waiting.size_px)

    def _fits(self, used: float) -> Callable[[WaitingImage], bool]:
        return lambda one: used == 0 or used + self._share(one) < 1 + _ROUNDING

    def _busy(self) -> bool:
        return bool(self._batch.images or len(self._line) or self._num_joining)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._busy())
                if self._stopping:
                    return
            self.step()


def _work(waiting: WaitingImage) -> Work:
    return waiting.size_px, waiting.num_steps
