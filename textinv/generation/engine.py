"""The engine: step-level batching of any requests on one frozen base model.

Owns the loop, the waiting line, admission and the background thread. Does not know the registry, HTTP or Ray: concepts
come in as mounts, pictures go out through tickets. Station 8 on the way: `GenerateRequest` -> `GeneratedImage`.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch

from textinv.errors import NotReadyError, ServiceError
from textinv.generation.active import WaitingImage, count_steps
from textinv.generation.admission import Limits, check_deadline, check_room, choose_size, deadline_passed
from textinv.generation.batch import RunningBatch, as_service_error
from textinv.generation.limits import BatchLimits
from textinv.generation.mounts import Mount, check_mounts, used_concepts
from textinv.generation.pace import Pace, Size
from textinv.generation.prompts import PromptEncoder
from textinv.generation.request import GenerateRequest
from textinv.generation.ticket import Ticket
from textinv.generation.waiting import WaitingLine
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef

# Shares of the batch are fractions; their sum may miss 1 by this.
_ROUNDING = 1e-9


class Engine:
    """Draws many requests at once. `submit` from any thread; either `start` a thread, or `step` in yours."""

    def __init__(
        self, model: BaseModel, *, max_batch: int | Literal["auto"] = "auto", limits: Limits | None = None
    ) -> None:
        self.model = model
        self.limits = limits or Limits()
        self.batch_limits = BatchLimits(model, max_batch)
        self._encoder = PromptEncoder(model)
        self._pace = Pace()
        self._batch = RunningBatch(model, self._encoder, self._pace)
        self._line: WaitingLine[WaitingImage] = WaitingLine()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, request: GenerateRequest, mounts: Mapping[ConceptRef, Mount] | None = None) -> Ticket:
        """Take a request; it joins the batch at the next step that has room.

        Raises:
            RequestError: a field is out of range.
            PromptError: a prompt cannot be encoded.
            UnknownConceptError: a concept is not among the mounts.
            BaseModelMismatchError: an embedding belongs to another base model.
            OverloadedError: too many wait.
            DeadlineError: it cannot be done in time.
            NotReadyError: the engine is closed.
        """
        waiting = self._prepare(request, mounts or {})
        with self._changed:
            if self._closed:
                raise NotReadyError("this engine is closed; ask another replica")
            ahead = self._line.ahead_of(request.caller)
            check_room(self.limits, len(self._line), request, self._wait_s(self._line))
            one = waiting[0]
            needed_s = self._wait_s([*ahead, *waiting[1:]]) + self._pace.own_s(one.size_px, one.num_steps)
            check_deadline(request, needed_s)
            for image in waiting:
                self._line.add(image)
            self._changed.notify_all()
        return one.ticket

    @torch.inference_mode()
    def step(self) -> bool:
        """Let waiting pictures join and take one inference step; False when there is nothing to do."""
        try:
            self._batch.join(self._admit())
            self._batch.step()
        except Exception as error:
            self._batch.fail_all(as_service_error(error))
        with self._changed:
            return bool(self._batch.images or len(self._line))

    def run_until_idle(self) -> None:
        """Step until everything submitted is done."""
        while self.step():
            pass

    def start(self) -> None:
        """Run the loop in a thread of its own, until `close`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="textinv-engine", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop taking requests, give up those under way, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._give_up(ServiceError("the engine was closed before the picture was done; ask again"))

    @property
    def num_active(self) -> int:
        """Pictures in the batch."""
        return len(self._batch.images)

    @property
    def num_waiting(self) -> int:
        """Pictures that wait for a place in it."""
        with self._changed:
            return len(self._line)

    def _prepare(self, request: GenerateRequest, mounts: Mapping[ConceptRef, Mount]) -> list[WaitingImage]:
        request.check()
        size_px = choose_size(self.model, request, self.limits)
        check_mounts(self.model, request.refs, mounts)
        weighted = request.attention_weights
        prompt = self._encoder.prepare(request.prompt, mounts, weighted)
        guided = request.guidance_scale > 1
        negative = self._encoder.prepare(request.negative_prompt, mounts, weighted) if guided else None
        num_steps = count_steps(self.model, request)
        ticket = Ticket(request, steps_total=num_steps * request.num_images)
        deadline_at = None if request.deadline_s is None else time.monotonic() + request.deadline_s
        concepts = used_concepts(request.refs, mounts)
        return [
            WaitingImage(ticket, index, size_px, num_steps, prompt, negative, concepts, deadline_at)
            for index in range(request.num_images)
        ]

    def _wait_s(self, waiting: "Sequence[WaitingImage] | WaitingLine[WaitingImage]") -> float:
        work: Counter[Size] = Counter()
        for image in list(self._batch.images):
            work[image.waiting.size_px] += len(image.timesteps_T) - image.position
        for one in waiting:
            work[one.size_px] += one.num_steps
        return self._pace.wait_s(work)

    def _admit(self) -> list[WaitingImage]:
        self._measure_new_sizes()
        now = time.monotonic()
        with self._changed:
            self._line.remove(lambda one: one.ticket.done())
            late = self._line.remove(lambda one: one.deadline_at is not None and now > one.deadline_at)
            used = sum(1 / self._limit(image.waiting.size_px) for image in self._batch.images)
            admitted: list[WaitingImage] = []
            while one := self._line.take(self._fits(used)):
                used += 1 / self._limit(one.size_px)
                admitted.append(one)
        for one in late:
            one.ticket.fail(deadline_passed(one))
        return admitted

    def _fits(self, used: float) -> Callable[[WaitingImage], bool]:
        return lambda one: used == 0 or used + 1 / self._limit(one.size_px) < 1 + _ROUNDING

    def _measure_new_sizes(self) -> None:
        with self._changed:
            sizes = {one.size_px for one in self._line}
        for size in sizes:
            if self.batch_limits.known(size) is None:
                self.batch_limits.limit(size, self._encoder.encode([self._encoder.prepare("", {}, False)])[0])

    def _limit(self, size: Size) -> int:
        return self.batch_limits.known(size) or 1

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(len(self._line)) or bool(self._batch.images))
                if self._closed:
                    return
            self.step()

    def _give_up(self, error: ServiceError) -> None:
        with self._changed:
            waiting = self._line.remove(lambda _: True)
        for one in waiting:
            one.ticket.fail(error)
        self._batch.fail_all(error)
