"""Whether a request can be taken: sizes the base model can draw, room in the line, deadlines that can be met.

Owns these rules and their messages. Does not know the loop.
"""

import math
from dataclasses import dataclass

from textinv.errors import DeadlineError, OverloadedError, RequestError
from textinv.generation.active import WaitingImage
from textinv.generation.pace import Size
from textinv.generation.request import GenerateRequest
from textinv.models.base import BaseModel

# Beyond this multiple of the native area a base model repeats itself, and memory grows with the square.
MAX_NATIVE_AREAS = 4
# Below this share of the native side nothing can be recognised, and some UNets cannot go down far enough.
MIN_NATIVE_SIDE = 0.25


@dataclass(frozen=True)
class Limits:
    """What an engine takes: pictures waiting, estimated wait for a place, pixels per picture (None: by native size)."""

    max_waiting: int = 256
    max_wait_s: float | None = None
    max_image_px: int | None = None


def choose_size(model: BaseModel, request: GenerateRequest, limits: Limits) -> Size:
    """Choose a request's size (height, width): as asked, else the init picture's rounded down, else the native one.

    Raises:
        RequestError: the base model cannot draw it.
    """
    natural = (model.native_px, model.native_px)
    if request.init_image is not None:
        _check_picture(request)
        natural = tuple(max(side // _grain(model), 1) * _grain(model) for side in request.init_image.shape[:2])
    height_px, width_px = request.height_px or natural[0], request.width_px or natural[1]
    for param, side_px in (("height_px", height_px), ("width_px", width_px)):
        if side_px % _grain(model) or side_px < MIN_NATIVE_SIDE * model.native_px:
            raise RequestError(
                f"{param} is {side_px}; {model.id!r} draws multiples of {_grain(model)} from "
                f"{math.ceil(MIN_NATIVE_SIDE * model.native_px)} (natively {model.native_px})",
                param=param,
            )
    max_px = limits.max_image_px or MAX_NATIVE_AREAS * model.native_px**2
    if height_px * width_px > max_px:
        raise RequestError(
            f"{width_px}x{height_px} is more than the {max_px} pixels a picture may have; ask for a smaller one",
            param="size",
        )
    return height_px, width_px


def check_possible(limits: Limits, request: GenerateRequest, alone_s: float) -> None:
    """Check that a request could be taken if nobody else had asked for anything; `alone_s` is what it takes then.

    Raises:
        RequestError: it has more pictures than may wait, or takes longer than its deadline allows.
    """
    if request.num_images > limits.max_waiting:
        raise RequestError(
            f"{request.num_images} pictures are asked for at once, and {limits.max_waiting} may wait here; ask for "
            f"{limits.max_waiting} at most",
            param="num_images",
        )
    if request.deadline_s is not None and alone_s > request.deadline_s:
        raise RequestError(
            f"drawing alone takes about {alone_s:.1f} s, more than the deadline of {request.deadline_s:g} s; "
            "allow more time, or take fewer steps, fewer pictures or a smaller size",
            param="deadline_s",
        )


def check_room(limits: Limits, num_waiting: int, request: GenerateRequest, wait_s: float) -> None:
    """Check that the line has room for all pictures of a request, and is not too slow.

    Raises:
        OverloadedError: it has not; `retry_after_s` says when it is likely to.
    """
    if num_waiting + request.num_images > limits.max_waiting:
        raise OverloadedError(
            f"{num_waiting} pictures wait and {limits.max_waiting} may; come back later",
            retry_after_s=max(1, math.ceil(wait_s * request.num_images / max(num_waiting, 1))),
        )
    if limits.max_wait_s is not None and wait_s > limits.max_wait_s and num_waiting:
        raise OverloadedError(
            f"a picture would wait about {wait_s:.1f} s, more than {limits.max_wait_s:g} s; come back later",
            retry_after_s=max(1, math.ceil(wait_s - limits.max_wait_s)),
        )


def check_deadline(request: GenerateRequest, needed_s: float) -> None:
    """Check that a request can be done in time behind those that came before it.

    Raises:
        DeadlineError: by the pace so far it cannot; `retry_after_s` says when it is likely to.
    """
    if request.deadline_s is not None and needed_s > request.deadline_s:
        raise DeadlineError(
            f"with those that wait the pictures would take about {needed_s:.1f} s, more than the deadline of "
            f"{request.deadline_s:g} s; come back later, or allow more time",
            needed_s=needed_s,
            retry_after_s=max(1, math.ceil(needed_s - request.deadline_s)),
        )


def deadline_passed(waiting: WaitingImage) -> DeadlineError:
    """Say that a picture's deadline has passed before it was done."""
    return DeadlineError(
        f"the deadline of {waiting.request.deadline_s:g} s passed before the picture was done; allow more time",
        deadline_s=waiting.request.deadline_s,
    )


def _grain(model: BaseModel) -> int:
    return max(model.latent_scale, 8)


def _check_picture(request: GenerateRequest) -> None:
    picture, mask = request.init_image, request.mask
    if picture is None or picture.dtype != "uint8" or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise RequestError("init_image must be RGB pixels of 8 bits, (height, width, 3)", param="init_image")
    if mask is not None and (mask.dtype != "uint8" or mask.shape != picture.shape[:2]):
        raise RequestError(
            f"mask must be 8 bits of the picture's size {picture.shape[1]}x{picture.shape[0]}, 255 where it may change",
            param="mask",
        )
