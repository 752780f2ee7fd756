"""The noise schedulers a request may name: diffusers' own, by stable names, with the A1111 sampler names as aliases.

Owns the names and the making of one instance per image. Does not know latents, models or requests.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Protocol, cast

import diffusers
import torch
from torch import Tensor

from textinv.errors import RequestError

DEFAULT_NOISE_SCHEDULER = "dpmpp-2m"


class NoiseScheduler(Protocol):
    """What the engine uses of a diffusers scheduler; some have no `set_begin_index`."""

    timesteps: Tensor
    init_noise_sigma: float
    order: int

    def set_timesteps(self, num_inference_steps: int) -> None: ...
    def set_begin_index(self, begin_index: int = 0) -> None: ...
    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor: ...
    def step(self, model_output: Tensor, timestep: Tensor, sample: Tensor, **extras: Any) -> tuple[Tensor, ...]: ...
    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class SchedulerKind:
    """One noise scheduler: its stable name, A1111's label and schedule type, the diffusers class and its options."""

    name: str
    label: str
    diffusers_class: str
    schedule_type: str | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    takes_generator: bool = True
    aliases: tuple[str, ...] = ()

    @property
    def a1111_name(self) -> str:
        """A1111's older spelling, in which the schedule type is part of the sampler's name."""
        return self.label if self.schedule_type is None else f"{self.label} {self.schedule_type}"


_KARRAS = {"use_karras_sigmas": True}
_SDE = {"algorithm_type": "sde-dpmsolver++"}

SCHEDULER_KINDS: tuple[SchedulerKind, ...] = (
    SchedulerKind("ddim", "DDIM", "DDIMScheduler"),
    SchedulerKind("ddpm", "DDPM", "DDPMScheduler"),
    SchedulerKind("euler", "Euler", "EulerDiscreteScheduler"),
    SchedulerKind("euler-karras", "Euler", "EulerDiscreteScheduler", "Karras", _KARRAS),
    SchedulerKind("euler-a", "Euler a", "EulerAncestralDiscreteScheduler", aliases=("k_euler_a", "euler-ancestral")),
    SchedulerKind("heun", "Heun", "HeunDiscreteScheduler", takes_generator=False),
    SchedulerKind("dpmpp-2m", "DPM++ 2M", "DPMSolverMultistepScheduler"),
    SchedulerKind("dpmpp-2m-karras", "DPM++ 2M", "DPMSolverMultistepScheduler", "Karras", _KARRAS),
    SchedulerKind("dpmpp-2m-sde", "DPM++ 2M SDE", "DPMSolverMultistepScheduler", None, _SDE),
    SchedulerKind("dpmpp-2m-sde-karras", "DPM++ 2M SDE", "DPMSolverMultistepScheduler", "Karras", {**_SDE, **_KARRAS}),
    SchedulerKind("unipc", "UniPC", "UniPCMultistepScheduler", takes_generator=False),
    SchedulerKind("plms", "PLMS", "PNDMScheduler", None, {"skip_prk_steps": True}, False, ("pndm",)),
    SchedulerKind("lcm", "LCM", "LCMScheduler"),
)


def _spellings() -> dict[str, SchedulerKind]:
    found: dict[str, SchedulerKind] = {}
    for kind in SCHEDULER_KINDS:
        for spelling in (kind.name, kind.a1111_name, f"k_{kind.name.replace('-', '_')}", *kind.aliases):
            found.setdefault(spelling.casefold(), kind)
    for kind in SCHEDULER_KINDS:
        found.setdefault(kind.diffusers_class.casefold(), kind)
    return found


_BY_SPELLING = _spellings()


def find_scheduler_kind(name: str | None, schedule_type: str | None = None) -> SchedulerKind:
    """Find a noise scheduler by its name, an A1111 sampler name (any case) or its diffusers class; None is the default.

    `schedule_type` is A1111's second field ("Karras"; "Automatic" and None change nothing).

    Raises:
        RequestError: there is none of that name; the message lists those that there are.
    """
    kind = _BY_SPELLING.get((name or DEFAULT_NOISE_SCHEDULER).strip().casefold())
    if kind is not None and schedule_type and schedule_type.casefold() not in {"automatic", "uniform"}:
        kind = _BY_SPELLING.get(f"{kind.label} {schedule_type}".casefold())
    if kind is None:
        wanted = f"{name!r}" if not schedule_type else f"{name!r} with schedule type {schedule_type!r}"
        names = ", ".join(known.name for known in SCHEDULER_KINDS)
        raise RequestError(f"there is no noise scheduler {wanted}; choose one of: {names}", param="noise_scheduler")
    return kind


def make_noise_scheduler(kind: SchedulerKind, config: Mapping[str, Any], num_inference_steps: int) -> NoiseScheduler:
    """Make a noise scheduler for one image, its timesteps set, from a base model's noise scheduler config.

    Raises:
        RequestError: as `see_noise_scheduler`.
    """
    return copy.deepcopy(see_noise_scheduler(kind, config, num_inference_steps))


def see_noise_scheduler(kind: SchedulerKind, config: Mapping[str, Any], num_inference_steps: int) -> NoiseScheduler:
    """Look at what `make_noise_scheduler` would make, which is not to be stepped.

    Raises:
        RequestError: it does not take so many steps, or this base model's config.
    """
    frozen = tuple(sorted((key, _hashable(value)) for key, value in config.items() if not key.startswith("_")))
    return _template(kind.name, frozen, num_inference_steps)


@lru_cache(maxsize=256)
def _template(name: str, config: tuple[tuple[str, Any], ...], num_inference_steps: int) -> NoiseScheduler:
    kind = _BY_SPELLING[name]
    try:
        made = getattr(diffusers, kind.diffusers_class).from_config(dict(config), **kind.options)
    except (ValueError, NotImplementedError) as error:
        raise RequestError(
            f"{name!r} does not go with this base model ({error}); choose another noise scheduler",
            param="noise_scheduler",
        ) from error
    try:
        made.set_timesteps(num_inference_steps)
    except ValueError as error:
        raise RequestError(
            f"{name!r} does not take {num_inference_steps} steps ({error}); take fewer, or another noise scheduler",
            param="num_inference_steps",
        ) from error
    return cast(NoiseScheduler, made)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def step_noise_scheduler(
    kind: SchedulerKind,
    scheduler: NoiseScheduler,
    predicted: Tensor,
    timestep: Tensor,
    latents: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Take one inference step of one image; noise of stochastic kinds comes from `generator`."""
    extras = {"generator": generator} if kind.takes_generator else {}
    return scheduler.step(predicted, timestep, latents, return_dict=False, **extras)[0]
