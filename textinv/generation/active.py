"""One picture from submission to its last inference step.

Owns the picture's own state: latents, noise scheduler, generator, place in its timesteps. Does not know its neighbours.

Shapes: B batch (1 here), C channels, H rows, W columns.
"""

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from textinv.generation.edits import Edit, start_edit
from textinv.generation.noise_schedulers import (
    NoiseScheduler,
    find_scheduler_kind,
    make_noise_scheduler,
    step_noise_scheduler,
)
from textinv.generation.prompts import PreparedPrompt
from textinv.generation.request import GenerateRequest
from textinv.generation.ticket import Ticket
from textinv.models.base import BaseModel, Conditioning


@dataclass(frozen=True, eq=False)
class WaitingImage:
    """Picture number `index` of a request, checked and ready to join: its size, prompts and number of steps."""

    ticket: Ticket
    index: int
    size_px: tuple[int, int]
    num_steps: int
    prompt: PreparedPrompt
    negative_prompt: PreparedPrompt | None
    concepts: dict[str, str]
    deadline_at: float | None
    submitted_at: float = field(default_factory=time.monotonic)

    @property
    def request(self) -> GenerateRequest:
        """The request it belongs to."""
        return self.ticket.request

    @property
    def caller(self) -> str:
        """Whose turn it takes."""
        return self.request.caller

    @property
    def seed(self) -> int:
        """The seed of its own random stream."""
        return self.request.seed + self.index


@dataclass(eq=False)
class ActiveImage:
    """A picture in the batch. `timesteps_T` are those it goes through; `position` is how many are behind it."""

    waiting: WaitingImage
    scheduler: NoiseScheduler
    timesteps_T: Tensor
    generator: torch.Generator
    latents_BCHW: Tensor
    conditional: Conditioning
    unconditional: Conditioning | None
    edit: Edit | None = None
    position: int = 0

    @property
    def timestep(self) -> Tensor:
        """The timestep of its next inference step."""
        return self.timesteps_T[self.position]

    @property
    def finished(self) -> bool:
        """Whether no inference step is left."""
        return self.position >= len(self.timesteps_T)

    @property
    def preview_due(self) -> bool:
        """Whether a preview is wanted after the next inference step; the last one shows the picture itself."""
        every, done = self.waiting.request.preview_every, self.position + 1
        return every > 0 and done % every == 0 and done < len(self.timesteps_T)

    def model_input(self) -> Tensor:
        """Scale the latents as the UNet expects them at the next timestep."""
        return self.scheduler.scale_model_input(self.latents_BCHW, self.timestep)

    def advance(self, predicted_BCHW: Tensor) -> None:
        """Take one inference step with the UNet's guided prediction."""
        kind = find_scheduler_kind(self.waiting.request.noise_scheduler)
        self.latents_BCHW = step_noise_scheduler(
            kind, self.scheduler, predicted_BCHW, self.timestep, self.latents_BCHW, self.generator
        )
        self.position += 1
        if self.edit is not None:
            next_timestep = None if self.finished else self.timestep
            self.latents_BCHW = self.edit.keep_latents(self.latents_BCHW, self.scheduler, next_timestep)


def count_steps(model: BaseModel, request: GenerateRequest) -> int:
    """Count the UNet forwards that each picture of a request takes.

    Raises:
        RequestError: its noise scheduler does not take so many steps.
    """
    return len(_scheduler_of(model, request)[1])


def start_image(
    model: BaseModel, waiting: WaitingImage, conditional: Conditioning, unconditional: Conditioning | None
) -> ActiveImage:
    """Draw a picture's first latents from its own seed, on the CPU so that every device starts from the same."""
    request = waiting.request
    scheduler, timesteps_T = _scheduler_of(model, request)
    generator = torch.Generator("cpu").manual_seed(waiting.seed)
    edit = None
    if request.init_image is not None:
        edit = start_edit(model, request.init_image, request.mask, waiting.size_px, generator)
        latents_BCHW = scheduler.add_noise(edit.latents_BCHW, edit.noise_BCHW, timesteps_T[:1])
    else:
        height, width = (side_px // model.latent_scale for side_px in waiting.size_px)
        noise_BCHW = torch.randn((1, model.latent_channels, height, width), generator=generator)
        latents_BCHW = noise_BCHW.to(model.device) * scheduler.init_noise_sigma
    return ActiveImage(waiting, scheduler, timesteps_T, generator, latents_BCHW, conditional, unconditional, edit)


def _scheduler_of(model: BaseModel, request: GenerateRequest) -> tuple[NoiseScheduler, Tensor]:
    kind = find_scheduler_kind(request.noise_scheduler)
    scheduler = make_noise_scheduler(kind, model.noise_scheduler_config, request.num_inference_steps)
    if request.init_image is None:
        return scheduler, scheduler.timesteps
    # As diffusers' img2img: the first steps are skipped, counted in whole steps of the noise scheduler's order.
    num_kept = max(min(int(request.num_inference_steps * request.strength), request.num_inference_steps), 1)
    begin = (request.num_inference_steps - num_kept) * scheduler.order
    if hasattr(scheduler, "set_begin_index"):  # those that find their place by the timestep alone have none
        scheduler.set_begin_index(begin)
    return scheduler, scheduler.timesteps[begin:]
