"""The engine: step-level batching of any requests on one frozen base model.

Read from the top, it is a request's way: `submit` checks it once, reserves room, prepares its prompts and puts its
pictures into the line; each `step` lets those join that fit, takes one inference step of all, decodes those that are
finished and hands them over. Owns that way, the pictures under way (one that cannot go on fails alone) and the
background thread. Does not know where embeddings are stored, HTTP or Ray: concepts come in as mounts, pictures go out
through tickets.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textinv.errors import NotReadyError, ServiceError, TextinvError
from textinv.generation.denoise import decode_pixels, in_halves, predict_guided, room_for_rows
from textinv.generation.measuring import measure_steps
from textinv.generation.picture import (
    ActiveImage,
    CheckedRequest,
    WaitingImage,
    as_service_error,
    check_request,
    deadline_passed,
    failing_alone,
    not_finite,
    start_image,
)
from textinv.generation.prompts import Mount, PromptEncoder, Script, check_mounts, used_concepts
from textinv.generation.request import GenerateRequest, Preview, Size, Ticket
from textinv.generation.safety import SafetyChecker
from textinv.generation.waiting_line import (
    EngineLimits,
    StepTimes,
    WaitingLine,
    check_deadline,
    check_possible,
    check_room,
)
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.threads import vital

log = logging.getLogger(__name__)

# Shares of the batch are fractions; their sum may miss 1 by this.
_ROUNDING = 1e-9

Pixels = NDArray[np.uint8]


@dataclass
class Tally:
    """Counts since the start: UNet forwards' steps, picture-steps in them, pictures done, steps spent on leavers."""

    steps: int = 0
    image_steps: int = 0
    images: int = 0
    cancelled_steps: int = 0
    step_s: float = 0.0


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
        limits: EngineLimits | None = None,
        safety: SafetyChecker | None = None,
    ) -> None:
        self.model = model
        self.limits = limits or EngineLimits()
        self.step_times = StepTimes(max_batch)
        self._safety = safety
        self._encoder, self._room = PromptEncoder(model), room_for_rows()
        self._line: WaitingLine[WaitingImage] = WaitingLine()
        self._active: list[ActiveImage] = []  # changed only in the thread that steps
        self._tally = Tally()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._num_reserved = 0  # pictures that have room in the line and are not in it yet
        self._joining: list[WaitingImage] = []  # taken out of the line, not in the batch yet
        self._open = True
        self._stopping = False

    # In: a request is checked, finds room, and its pictures wait.

    def submit(self, request: GenerateRequest, mounts: Mapping[ConceptRef, Mount] | None = None) -> Ticket:
        """Take a request; it joins the batch at the next step that has room.

        Raises:
            RequestError, OverloadedError, DeadlineError: as `check_room`.
            PromptError, UnknownConceptError, BaseModelMismatchError, NotReadyError: as `enter`.
        """
        asked = check_request(self.model, request, self.limits.max_image_px)
        self.reserve(asked)
        return self.enter(asked, mounts or {})

    def check_room(self, request: GenerateRequest) -> CheckedRequest:
        """Check that a request could be taken now, before anything is spent on it.

        Raises:
            RequestError: a field is out of range, or it could not be taken or done in time even if nobody else asked.
            OverloadedError: too many wait.
            DeadlineError: it cannot be done in time behind those that came before it.
        """
        asked = check_request(self.model, request, self.limits.max_image_px)
        self._take_room(asked, 0)
        return asked

    def reserve(self, asked: CheckedRequest) -> None:
        """Keep room in the line for a request, which must `enter` then, so that it is not sent away after all.

        Raises:
            RequestError, OverloadedError, DeadlineError: as `check_room`.
        """
        self._take_room(asked, asked.request.num_images)

    def enter(self, asked: CheckedRequest, mounts: Mapping[ConceptRef, Mount]) -> Ticket:
        """Put a request into the line, in the room that was reserved for it, which is given up if that fails.

        Raises:
            PromptError: a prompt cannot be encoded.
            UnknownConceptError: a concept is not among the mounts.
            BaseModelMismatchError: an embedding belongs to another base model.
            NotReadyError: the engine is closed.
        """
        images: list[WaitingImage] = []
        try:
            images = self._prepare(asked, mounts)
        finally:
            with self._changed:
                self._num_reserved -= asked.request.num_images
                if images and not self._open:
                    raise NotReadyError("this engine is closed; ask another replica")
                for image in images:
                    self._line.add(image)
                self._changed.notify_all()
        return images[0].ticket

    def _prepare(self, asked: CheckedRequest, mounts: Mapping[ConceptRef, Mount]) -> list[WaitingImage]:
        request = asked.request
        elsewhere = check_mounts(self.model, asked.refs, mounts, request.bases)
        options = request.attention_weights, request.clip_skip, asked.num_steps
        prompt = self._encoder.script(request.prompt, mounts, *options, request.instruction)
        negative = self._encoder.script(request.negative_prompt, mounts, *options)
        guided = negative if asked.guidance_scale > 1 and self.model.guides == "rows" else None
        used = used_concepts(asked.refs, mounts)
        notes = tuple(dict.fromkeys((*prompt.notes, *negative.notes)))
        ticket = Ticket(request, used, elsewhere, notes, steps_total=asked.num_steps * request.num_images)
        deadline_at = None if request.deadline_s is None else time.monotonic() + request.deadline_s
        return [WaitingImage(asked, ticket, index, prompt, guided, deadline_at) for index in range(request.num_images)]

    # Steps: pictures join, go on together, and leave.

    @torch.inference_mode()
    def step(self) -> bool:
        """Let waiting pictures join and take one inference step; False when there is nothing to do."""
        try:
            if not self.step_times.ready:
                self.warm_up()
            self._join(self._admit())
            self._drop_leavers()
            if self._active:
                self._take_step()
        except Exception as error:
            self._fail_all(as_service_error(error))
        with self._changed:
            self._joining = []
            self._changed.notify_all()
            return self._busy()

    def _admit(self) -> list[WaitingImage]:
        """Take those out of the line that fit into the batch, and those that have left or are late."""
        now = time.monotonic()
        admitted: list[WaitingImage] = []
        with self._changed:
            self._line.remove(lambda one: one.ticket.done())
            late = self._line.remove(lambda one: one.is_late(now))
            used = sum(self._share(image.waiting) for image in self._active)
            while one := self._line.take(self._fits(used)):
                used += self._share(one)
                admitted.append(one)
            self._joining = admitted
        for one in late:
            one.ticket.fail(deadline_passed(one))
        return admitted

    def _fits(self, used: float) -> Callable[[WaitingImage], bool]:
        """Tell who fits into a batch of which so much is used; into an empty one everybody does."""
        return lambda one: used == 0 or used + self._share(one) < 1 + _ROUNDING

    def _share(self, waiting: WaitingImage) -> float:
        return 1 / self.step_times.batch_limit(waiting.asked.size_px)

    def _join(self, newcomers: Sequence[WaitingImage]) -> None:
        """Encode the newcomers' prompts together and draw their first latents; one that cannot start fails alone."""
        try:
            self._encoder.say([prompt for one in newcomers for prompt in self._prompts_of(one)])
        except Exception as error:  # whose prompt it was is found out below, one by one
            log.warning("prompts could not be encoded together: %s", error)
        for one in newcomers:
            with failing_alone(one):
                conditional, *encoded = self._encoder.say(self._prompts_of(one))
                unconditional = encoded[0] if encoded else None
                if one.negative_prompt is not None and unconditional is None:
                    unconditional = conditional.changed(self.model.unsaid)
                self._active.append(start_image(self.model, one, conditional, unconditional))

    def _prompts_of(self, one: WaitingImage) -> list[Script]:
        """What is to be encoded for a picture: an empty negative prompt is not, where the base takes it for no text."""
        nothing = self.model.zeros_empty_negative and not one.asked.request.negative_prompt
        return [one.prompt] if one.negative_prompt is None or nothing else [one.prompt, one.negative_prompt]

    def _drop_leavers(self) -> None:
        now = time.monotonic()
        for image in self._active:
            if image.waiting.is_late(now):
                image.waiting.ticket.fail(deadline_passed(image.waiting))
            if image.waiting.ticket.cancelled():
                self._tally.cancelled_steps += image.position
        self._active = [image for image in self._active if not image.waiting.ticket.done()]

    def _take_step(self) -> None:
        started = time.perf_counter()
        inputs: dict[ActiveImage, Tensor] = {}
        for image in self._active:
            with failing_alone(image.waiting):
                inputs[image] = image.model_input()
        going_on: list[ActiveImage] = []
        sketches: dict[ActiveImage, Tensor] = {}
        for image, predicted_BCHW in zip(inputs, predict_guided(self.model, inputs, self._room), strict=True):
            with failing_alone(image.waiting):
                if isinstance(predicted_BCHW, Exception):
                    raise predicted_BCHW
                if image.preview_due:
                    sketches[image] = self.model.process.clean(inputs[image], predicted_BCHW, image.time)
                image.advance(predicted_BCHW)
                image.waiting.ticket.steps_done += 1
                going_on.append(image)
        self._show(sketches)
        self._deliver([image for image in going_on if image.finished])
        seconds = time.perf_counter() - started
        self._tally.steps += 1
        self._tally.image_steps += len(self._active)
        self._tally.step_s += seconds
        self.step_times.observe([image.waiting.asked.size_px for image in self._active], seconds)
        self._active = [image for image in going_on if not image.finished]

    # Out: pictures are decoded, screened and handed over.

    def _show(self, sketches: Mapping[ActiveImage, Tensor]) -> None:
        for image, pixels, _ in self._screened(self._decoded(sketches)):
            with failing_alone(image.waiting):
                num_steps = len(image.sampler.times)
                image.waiting.ticket.show(Preview(image.waiting.index, image.position, num_steps, pixels))

    def _deliver(self, finished: Sequence[ActiveImage]) -> None:
        for image, pixels, flagged in self._screened(self._decoded({image: image.latents_BCHW for image in finished})):
            seed, ticket = image.waiting.seed, image.waiting.ticket
            if not bool(torch.isfinite(image.latents_BCHW).all()):
                ticket.fail(not_finite(image.waiting))
                continue
            picture = ticket.picture(pixels, seed, self.model.id, flagged)
            ticket.deliver(image.waiting.index, picture)
            self._tally.images += 1

    def _decoded(self, latents: Mapping[ActiveImage, Tensor]) -> dict[ActiveImage, Pixels]:
        """Decode together; what a mask protects is put back."""
        decoded: dict[ActiveImage, Pixels] = {}
        for image, pixels in zip(latents, decode_pixels(self.model, list(latents.values()), self._room), strict=True):
            with failing_alone(image.waiting):
                if isinstance(pixels, Exception):
                    raise pixels
                decoded[image] = pixels if image.edit is None else image.edit.keep_pixels(pixels)
        return decoded

    def _screened(self, pictures: Mapping[ActiveImage, Pixels]) -> Iterator[tuple[ActiveImage, Pixels, bool]]:
        """Black out what the safety checker flags, where there is one; what it cannot judge is not shown."""
        shown = list(pictures.values())
        flags = in_halves(self._safety.flag, shown) if self._safety and shown else [False] * len(shown)
        for (image, pixels), flag in zip(pictures.items(), flags, strict=True):
            if isinstance(flag, Exception):
                image.waiting.ticket.fail(as_service_error(flag))
            else:
                yield image, np.zeros_like(pixels) if flag else pixels, flag

    # Running: in the caller's thread or in one of its own.

    def run_until_idle(self) -> None:
        """Step until everything submitted is done."""
        while self.step():
            pass

    def start(self) -> None:
        """Run the loop in a thread of its own, until `close`."""
        if self._thread is None:
            self._thread = vital(self._run, "textinv-engine")
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._busy())
                if self._stopping:
                    return
            self.step()

    def _busy(self) -> bool:
        return bool(self._active or len(self._line) or self._joining)

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
        self._fail_all(ServiceError("the engine was closed before the picture was done; ask again"))

    def _fail_all(self, error: TextinvError) -> None:
        """Fail whatever is in the batch or on its way into it, and all that waits where no step will be taken."""
        with self._changed:
            goes_on = self.step_times.ready and not self._stopping
            waiting = [] if goes_on else self._line.remove(lambda _: True)
        for one in (*self._joining, *(image.waiting for image in self._active), *waiting):
            one.ticket.fail(error)
        self._active = []

    # Looking ahead: how fast steps are, and who finds room.

    @torch.inference_mode()
    def warm_up(self, sizes: Sequence[Size] = ()) -> None:
        """Measure how many pictures of these sizes (height, width; default: the native one) share a batch and how fast.

        Call it before `start`; otherwise the first step does it for the native size.
        """
        (empty,) = self._encoder.encode([self._encoder.prepare("", {}, False)])
        for size in sizes or [(self.model.native_px, self.model.native_px)]:
            self.step_times.start_from(size, measure_steps(self.model, size, empty, self.step_times.max_measured))

    def _take_room(self, asked: CheckedRequest, num_reserved: int) -> None:
        request, one = asked.request, asked.work
        more = [one] * (request.num_images - 1)
        check_possible(self.limits, request, self.step_times.done_s(more, one, request.num_images))
        with self._changed:
            num_waiting, active = len(self._line) + self._num_reserved, [image.work for image in self._active]
            place_s = self.step_times.place_s(active + [one.work for one in self._line], asked.size_px)
            check_room(self.limits, num_waiting, request, place_s)
            if request.deadline_s is not None:
                before = [*active, *(one.work for one in self._line.ahead_of(request.caller)), *more]
                together = len(active) + num_waiting + request.num_images
                check_deadline(request, self.step_times.done_s(before, one, together))
            self._num_reserved += num_reserved

    def outlook(self) -> tuple[int, float]:
        """Pictures that wait, and the seconds after which one more of the native size would have a place."""
        with self._changed:
            num_waiting = len(self._line) + self._num_reserved
            work = [image.work for image in self._active] + [one.work for one in self._line]
        return num_waiting, self.step_times.place_s(work, (self.model.native_px, self.model.native_px))

    @property
    def screens(self) -> bool:
        """Whether pictures pass a safety checker."""
        return self._safety is not None

    @property
    def stats(self) -> EngineStats:
        """What the engine is doing."""
        with self._changed:
            waiting, active = len(self._line), len(self._active)
        return EngineStats(waiting, active, replace(self._tally), self._encoder.hits, self._encoder.misses)
