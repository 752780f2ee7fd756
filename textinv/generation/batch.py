"""The running batch: pictures join, take one inference step together, leave when done and are decoded together.

Owns the pictures under way; one that cannot go on fails alone. Does not know who waits, threads or deadlines to come;
everything here runs in the one thread that owns the model.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textinv.errors import OutOfMemoryError, RequestError, ServiceError, TextinvError
from textinv.generation.active import ActiveImage, WaitingImage, start_image
from textinv.generation.admission import deadline_passed
from textinv.generation.denoise import decode_pixels, estimate_clean, in_halves, predict_guided
from textinv.generation.pace import Pace
from textinv.generation.prompts import PreparedPrompt, PromptEncoder
from textinv.generation.request import GeneratedImage, GenerateRequest
from textinv.generation.safety import SafetyChecker
from textinv.generation.ticket import Preview
from textinv.models.base import BaseModel

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]
Result = TypeVar("Result")


@dataclass
class Tally:
    """Counts since the start: UNet forwards' steps, picture-steps in them, pictures done, steps spent on leavers."""

    steps: int = 0
    image_steps: int = 0
    images: int = 0
    cancelled_steps: int = 0
    step_s: float = 0.0


class RunningBatch:
    """The pictures under way on one model."""

    def __init__(
        self, model: BaseModel, encoder: PromptEncoder, pace: Pace, safety: SafetyChecker | None = None
    ) -> None:
        self.images: list[ActiveImage] = []
        self.tally = Tally()
        self._model = model
        self._encoder = encoder
        self._pace = pace
        self._safety = safety

    @property
    def screens(self) -> bool:
        """Whether pictures pass a safety checker."""
        return self._safety is not None

    def join(self, newcomers: Sequence[WaitingImage]) -> None:
        """Encode the newcomers' prompts together and draw their first latents; one that cannot start fails alone."""
        try:
            self._encoder.encode([prompt for one in newcomers for prompt in self._prompts_of(one)])
        except Exception as error:  # whose prompt it was is found out below, one by one
            log.warning("prompts could not be encoded together: %s", error)
        for one in newcomers:
            with failing_alone(one):
                self.images.append(self._start(one))

    def step(self) -> None:
        """Take one inference step of every picture."""
        self._drop_leavers()
        if not self.images:
            return
        started = time.perf_counter()
        inputs: dict[ActiveImage, Tensor] = {}
        for image in self.images:
            with failing_alone(image.waiting):
                inputs[image] = image.model_input()
        going_on: list[ActiveImage] = []
        sketches: dict[ActiveImage, Tensor] = {}
        for image, predicted in zip(inputs, predict_guided(self._model, inputs), strict=True):
            with failing_alone(image.waiting):
                predicted_BCHW = result_of(predicted)
                if image.preview_due:
                    sketches[image] = estimate_clean(self._model, inputs[image], predicted_BCHW, image.timestep)
                image.advance(predicted_BCHW)
                image.waiting.ticket.steps_done += 1
                going_on.append(image)
        self._show(sketches)
        self._finish([image for image in going_on if image.finished])
        self._count(time.perf_counter() - started)
        self.images = [image for image in going_on if not image.finished]

    def fail_all(self, error: TextinvError) -> None:
        """Give up everything under way."""
        for image in self.images:
            image.waiting.ticket.fail(error)
        self.images.clear()

    def _start(self, one: WaitingImage) -> ActiveImage:
        conditional, *encoded = self._encoder.encode(self._prompts_of(one))
        unconditional = encoded[0] if encoded else None
        if one.negative_prompt is not None and unconditional is None:
            unconditional = conditional.zeros()
        return start_image(self._model, one, conditional, unconditional)

    def _prompts_of(self, one: WaitingImage) -> list[PreparedPrompt]:
        """What is to be encoded for a picture: an empty negative prompt is not, where the base takes it for no text."""
        nothing = self._model.zeros_empty_negative and not one.request.negative_prompt
        return [one.prompt] if one.negative_prompt is None or nothing else [one.prompt, one.negative_prompt]

    def _drop_leavers(self) -> None:
        now = time.monotonic()
        for image in self.images:
            late = image.waiting.deadline_at is not None and now > image.waiting.deadline_at
            if late:
                image.waiting.ticket.fail(deadline_passed(image.waiting))
            if image.waiting.ticket.cancelled():
                self.tally.cancelled_steps += image.position
        self.images = [image for image in self.images if not image.waiting.ticket.done()]

    def _show(self, sketches: Mapping[ActiveImage, Tensor]) -> None:
        for image, pixels, _ in self._screened(self._decoded(sketches)):
            with failing_alone(image.waiting):
                preview = Preview(image.waiting.index, image.position, len(image.timesteps_T), pixels)
                image.waiting.ticket.show(preview)

    def _finish(self, finished: Sequence[ActiveImage]) -> None:
        for image, pixels, flagged in self._screened(self._decoded({image: image.latents_BCHW for image in finished})):
            waiting = image.waiting
            if not bool(torch.isfinite(image.latents_BCHW).all()):
                waiting.ticket.fail(not_finite(waiting.request))
                continue
            picture = GeneratedImage(pixels, waiting.seed, waiting.request, waiting.concepts, self._model.id, flagged)
            waiting.ticket.deliver(waiting.index, picture)
            self.tally.images += 1

    def _decoded(self, latents: Mapping[ActiveImage, Tensor]) -> dict[ActiveImage, Pixels]:
        """Decode together; what a mask protects is put back."""
        decoded: dict[ActiveImage, Pixels] = {}
        for image, outcome in zip(latents, decode_pixels(self._model, list(latents.values())), strict=True):
            with failing_alone(image.waiting):
                pixels = result_of(outcome)
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

    def _count(self, seconds: float) -> None:
        self.tally.steps += 1
        self.tally.image_steps += len(self.images)
        self.tally.step_s += seconds
        self._pace.observe([image.waiting.size_px for image in self.images], seconds)


def not_finite(request: GenerateRequest) -> RequestError:
    """Say that the numbers of a picture ran away: the same request would come to the same end."""
    return RequestError(
        f"the picture came out as numbers that are not finite (guidance_scale {request.guidance_scale:g}); lower the "
        "guidance scale, or leave out the concept whose rows are too large",
        param="guidance_scale",
    )


def as_service_error(error: Exception) -> TextinvError:
    """Translate whatever went wrong with one picture."""
    if isinstance(error, TextinvError):
        return error
    log.error("a picture failed", exc_info=error)
    if isinstance(error, torch.OutOfMemoryError):
        return OutOfMemoryError(f"not even one picture of this size fits into memory: {error}; ask for a smaller one")
    return ServiceError(f"the picture could not be drawn: {type(error).__name__}: {error}; try again")


@contextmanager
def failing_alone(waiting: WaitingImage) -> Iterator[None]:
    """Let whatever goes wrong with a picture fail its own request, and nobody else's."""
    try:
        yield
    except Exception as error:
        waiting.ticket.fail(as_service_error(error))


def result_of(outcome: Result | Exception) -> Result:
    """Give a result, or raise the error that stands in its place."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
