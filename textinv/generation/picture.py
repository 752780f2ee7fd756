"""One picture: from a request that this base model can draw to its last inference step.

Owns which sizes can be drawn, and the picture's own state: latents, sampler, generator, place in its times,
and, where it is an edit, what the mask protects; and the words for what can go
wrong with it. Does not know its neighbours in the batch.

Shapes: B batch (1 here), C channels, H rows, W columns.
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from textinv.errors import DeadlineError, OutOfMemoryError, RequestError, ServiceError, TextinvError
from textinv.generation.prompts import Said, Script
from textinv.generation.request import GenerateRequest, Size, Ticket, Work
from textinv.generation.told_sizes import ToldSizes
from textinv.models.base import BaseModel, Conditioning
from textinv.models.process import Sampler, find_scheduler_kind
from textinv.models.room import is_out_of_memory
from textinv.placeholders import ConceptRef

log = logging.getLogger(__name__)

# Beyond this multiple of the native area a base model repeats itself, and memory grows with the square.
MAX_NATIVE_AREAS = 4
# Below this share of the native side nothing can be recognised, and some UNets cannot go down far enough.
MIN_NATIVE_SIDE = 0.25


@dataclass(frozen=True, eq=False)
class CheckedRequest:
    """A request that can be drawn: its pictures' size, the UNet forwards that each takes, and its concepts."""

    request: GenerateRequest
    size_px: Size
    num_steps: int
    refs: tuple[ConceptRef, ...]
    guidance_scale: float

    @property
    def work(self) -> Work:
        """What is to be done for each picture."""
        return self.size_px, self.num_steps


@dataclass(frozen=True, eq=False)
class WaitingImage:
    """Picture number `index` of a request, ready to join: its prompts are prepared."""

    asked: CheckedRequest
    ticket: Ticket
    index: int
    prompt: Script
    negative_prompt: Script | None
    deadline_at: float | None
    submitted_at: float = field(default_factory=time.monotonic)

    @property
    def work(self) -> Work:
        """What is to be done for it."""
        return self.asked.work

    @property
    def caller(self) -> str:
        """Whose turn it takes."""
        return self.asked.request.caller

    def is_late(self, now: float) -> bool:
        """Whether its deadline has passed."""
        return self.deadline_at is not None and now > self.deadline_at

    @property
    def seed(self) -> int:
        """The seed of its own random stream."""
        return self.asked.request.seed + self.index


@dataclass(frozen=True, eq=False)
class Edit:
    """A picture to edit: its latents, the noise that hides them, and how much each place may change (None: all)."""

    latents_BCHW: Tensor
    noise_BCHW: Tensor
    change_BCHW: Tensor | None
    pixels_HWC: NDArray[np.uint8]
    mask_HW: NDArray[np.uint8] | None

    def keep_latents(self, latents_BCHW: Tensor, sampler: Sampler, next_time: Tensor | None) -> Tensor:
        """Put back what the mask protects, as noisy as the next inference step expects (None: after the last)."""
        if self.change_BCHW is None:
            return latents_BCHW
        kept_BCHW = self.latents_BCHW
        if next_time is not None:
            kept_BCHW = sampler.renoised(self.latents_BCHW, self.noise_BCHW, next_time)
        return self.change_BCHW * latents_BCHW + (1 - self.change_BCHW) * kept_BCHW

    def keep_pixels(self, pixels_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Put back the protected pixels themselves: the way through latents would blur them."""
        if self.mask_HW is None:
            return pixels_HWC
        change_HWC = self.mask_HW[..., None].astype(np.float32) / 255
        mixed = change_HWC * pixels_HWC + (1 - change_HWC) * self.pixels_HWC
        return np.rint(mixed).astype(np.uint8)


@dataclass(eq=False)
class ActiveImage:
    """A picture in the batch; `position` is how many of its sampler's times are behind it."""

    waiting: WaitingImage
    sampler: Sampler
    generator: torch.Generator
    latents_BCHW: Tensor
    prompt: Said
    negative_prompt: Said | None
    edit: Edit | None = None
    sizes_16: Tensor | None = None
    """What a base model that takes sizes is told."""
    position: int = 0

    @property
    def time(self) -> Tensor:
        """When its next inference step begins."""
        return self.sampler.times[self.position]

    @property
    def conditional(self) -> Conditioning:
        """What its prompt says in the next inference step."""
        return self.prompt.now(self.position)

    @property
    def unconditional(self) -> Conditioning | None:
        """What its negative prompt says then."""
        return None if self.negative_prompt is None else self.negative_prompt.now(self.position)

    @property
    def finished(self) -> bool:
        """Whether no inference step is left."""
        return self.position >= len(self.sampler.times)

    @property
    def work(self) -> Work:
        """What is left to be done for it."""
        return self.waiting.asked.size_px, len(self.sampler.times) - self.position

    @property
    def preview_due(self) -> bool:
        """Whether a preview is wanted after the next inference step; the last one shows the picture itself."""
        every, done = self.waiting.asked.request.preview_every, self.position + 1
        return every > 0 and done % every == 0 and done < len(self.sampler.times)

    def model_input(self) -> Tensor:
        """Scale the latents as the UNet expects them at the next step's time."""
        return self.sampler.scaled(self.latents_BCHW, self.time)

    def advance(self, predicted_BCHW: Tensor) -> None:
        """Take one inference step with the UNet's guided prediction."""
        self.latents_BCHW = self.sampler.step(predicted_BCHW, self.time, self.latents_BCHW, self.generator)
        self.position += 1
        if self.edit is not None:
            next_time = None if self.finished else self.time
            self.latents_BCHW = self.edit.keep_latents(self.latents_BCHW, self.sampler, next_time)


def check_request(model: BaseModel, request: GenerateRequest, max_image_px: int | None = None) -> CheckedRequest:
    """Check all of a request that can be told without its concepts and its neighbours.

    Raises:
        RequestError: a field is out of range, or the base model cannot draw the size, or not in so many steps.
    """
    request.check()
    request = _settled(model, request)
    size_px = choose_size(model, request, max_image_px)
    num_steps, refs = len(_sampler_of(model, request, size_px).times), tuple(request.refs)
    guidance = model.drawing.guidance_scale if request.guidance_scale is None else request.guidance_scale
    return CheckedRequest(request, size_px, num_steps, refs, guidance)


def _settled(model: BaseModel, request: GenerateRequest) -> GenerateRequest:
    """Fill in how the base model draws and the layer that it reads, and check that it can do what is said.

    Raises:
        RequestError: it has no such layer, takes no sizes, or no negative prompt, or has no instruction.
    """
    if request.negative_prompt and model.guides != "rows":
        raise RequestError(
            f"{model.id!r} draws every picture in one pass with its guidance built in, and takes no negative prompt: "
            "leave it out",
            param="negative_prompt",
        )
    if request.sizes is not None and not model.takes_sizes:
        raise RequestError(
            f"{model.id!r} takes no sizes beside the text, as SDXL does: leave out original_size, crop_top_left and "
            "target_size",
            param="original_size",
        )
    if request.instruction and not model.has_instruction:
        raise RequestError(
            f"{model.id!r} has no instruction of its own to put before a prompt: leave instruction out",
            param="instruction",
        )
    drawing = model.drawing
    request = replace(
        request,
        num_inference_steps=request.num_inference_steps or drawing.num_inference_steps,
        guidance_scale=drawing.guidance_scale if request.guidance_scale is None else request.guidance_scale,
        noise_scheduler=request.noise_scheduler or drawing.noise_scheduler,
    )
    if request.clip_skip is None and model.clip_skip > 1:
        return replace(request, clip_skip=model.clip_skip)
    if (request.clip_skip or 1) > model.max_clip_skip:
        raise RequestError(
            f"clip_skip is {request.clip_skip}; the text encoder of {model.id!r} takes 1 to {model.max_clip_skip}",
            param="clip_skip",
        )
    return request


def choose_size(model: BaseModel, request: GenerateRequest, max_image_px: int | None = None) -> Size:
    """Choose a request's size (height, width): as asked, else the init picture's rounded down, else the native one.

    Raises:
        RequestError: the base model cannot draw it.
    """
    natural = (model.native_px, model.native_px)
    if request.init_image is not None:
        _check_picture(request)
        natural = tuple(max(side // model.grain_px, 1) * model.grain_px for side in request.init_image.shape[:2])
    height_px, width_px = request.height_px or natural[0], request.width_px or natural[1]
    for param, side_px in (("height_px", height_px), ("width_px", width_px)):
        if side_px % model.grain_px or side_px < MIN_NATIVE_SIDE * model.native_px:
            raise RequestError(
                f"{param} is {side_px}; {model.id!r} draws multiples of {model.grain_px} from "
                f"{math.ceil(MIN_NATIVE_SIDE * model.native_px)} (natively {model.native_px})",
                param=param,
            )
    max_px = max_image_px or MAX_NATIVE_AREAS * model.native_px**2
    if height_px * width_px > max_px:
        raise RequestError(
            f"{width_px}x{height_px} is more than the {max_px} pixels a picture may have; ask for a smaller one",
            param="size",
        )
    return height_px, width_px


def start_image(model: BaseModel, waiting: WaitingImage, prompt: Said, negative_prompt: Said | None) -> ActiveImage:
    """Draw a picture's first latents from its own seed, on the CPU so that every device starts from the same."""
    request = waiting.asked.request
    sampler = _sampler_of(model, request, waiting.asked.size_px)
    generator = torch.Generator("cpu").manual_seed(waiting.seed)
    edit = None
    if request.init_image is not None:
        edit = _start_edit(model, request.init_image, request.mask, waiting.asked.size_px, generator)
        latents_BCHW = sampler.renoised(edit.latents_BCHW, edit.noise_BCHW, sampler.times[0])
    else:
        height, width = (side_px // model.latent_scale for side_px in waiting.asked.size_px)
        noise_BCHW = torch.randn((1, model.latent_channels, height, width), generator=generator)
        latents_BCHW = sampler.first(noise_BCHW.to(model.device))
    return ActiveImage(
        waiting, sampler, generator, latents_BCHW, prompt, negative_prompt, edit, _sizes_of(model, waiting.asked)
    )


def _sizes_of(model: BaseModel, asked: CheckedRequest) -> Tensor | None:
    if not model.takes_sizes:
        return None
    sizes = asked.request.sizes or ToldSizes()
    return torch.tensor([sizes.told(asked.size_px)], dtype=torch.float32, device=model.device)


def _sampler_of(model: BaseModel, request: GenerateRequest, size_px: Size) -> Sampler:
    num_steps = request.num_inference_steps or model.drawing.num_inference_steps
    num_positions = math.prod(side_px // model.latent_scale for side_px in size_px)
    sampler = model.process.sampler(find_scheduler_kind(request.noise_scheduler), num_steps, num_positions)
    if request.init_image is not None:  # as diffusers' img2img
        sampler.skip(num_steps - max(min(int(num_steps * request.strength), num_steps), 1))
    return sampler


def _start_edit(
    model: BaseModel,
    init_image: NDArray[np.uint8],
    mask: NDArray[np.uint8] | None,
    size_px: Size,
    generator: torch.Generator,
) -> Edit:
    """Encode the picture to edit, resized to `size_px` (height, width).

    Draws twice from `generator`, in diffusers' order: the posterior's sample, then the noise.
    """
    pixels_HWC = _resize(init_image, size_px)
    pixels_BCHW = torch.from_numpy(pixels_HWC).permute(2, 0, 1)[None].to(torch.float32) / 127.5 - 1
    mean_BCHW, std_BCHW = model.encode_pixels(pixels_BCHW)
    mean_BCHW, std_BCHW = mean_BCHW.float(), std_BCHW.float()
    latents_BCHW = mean_BCHW + std_BCHW * torch.randn(mean_BCHW.shape, generator=generator).to(mean_BCHW.device)
    noise_BCHW = torch.randn(mean_BCHW.shape, generator=generator).to(mean_BCHW.device)
    mask_HW = None if mask is None else _resize(mask, size_px)
    change_BCHW = None
    if mask_HW is not None:
        mask_BCHW = torch.from_numpy(mask_HW)[None, None].to(latents_BCHW) / 255
        change_BCHW = interpolate(mask_BCHW, size=latents_BCHW.shape[-2:], mode="area")
    return Edit(latents_BCHW, noise_BCHW, change_BCHW, pixels_HWC, mask_HW)


def _resize(pixels: NDArray[np.uint8], size_px: Size) -> NDArray[np.uint8]:
    if pixels.shape[:2] == size_px:
        return np.array(pixels)
    height_px, width_px = size_px
    return np.array(Image.fromarray(pixels).resize((width_px, height_px), Image.Resampling.LANCZOS))


def _check_picture(request: GenerateRequest) -> None:
    picture, mask = request.init_image, request.mask
    if picture is None or picture.dtype != "uint8" or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise RequestError("init_image must be RGB pixels of 8 bits, (height, width, 3)", param="init_image")
    if mask is not None and (mask.dtype != "uint8" or mask.shape != picture.shape[:2]):
        raise RequestError(
            f"mask must be 8 bits of the picture's size {picture.shape[1]}x{picture.shape[0]}, 255 where it may change",
            param="mask",
        )


@contextmanager
def failing_alone(waiting: WaitingImage) -> Iterator[None]:
    """Let whatever goes wrong with a picture fail its own request, and nobody else's."""
    try:
        yield
    except Exception as error:
        waiting.ticket.fail(as_service_error(error))


def as_service_error(error: Exception) -> TextinvError:
    """Translate whatever went wrong with one picture."""
    if isinstance(error, TextinvError):
        return error
    log.error("a picture failed", exc_info=error)
    if is_out_of_memory(error):
        return OutOfMemoryError(f"not even one picture of this size fits into memory: {error}; ask for a smaller one")
    return ServiceError(f"the picture could not be drawn: {type(error).__name__}: {error}; try again")


def not_finite(waiting: WaitingImage) -> RequestError:
    """Say that the numbers of a picture ran away: the same request would come to the same end."""
    scale = waiting.asked.guidance_scale
    return RequestError(
        f"the picture came out with values that are not finite (guidance_scale {scale:g}); lower the guidance "
        "scale, or "
        "leave out the concept whose rows are too large",
        param="guidance_scale",
    )


def deadline_passed(waiting: WaitingImage) -> DeadlineError:
    """Say that a picture's deadline has passed before it was done."""
    deadline_s = waiting.asked.request.deadline_s
    return DeadlineError(
        f"the deadline of {deadline_s:g} s passed before the picture was done; allow more time", deadline_s=deadline_s
    )
