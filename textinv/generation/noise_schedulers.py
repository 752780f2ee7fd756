"""The noise schedulers a request may name: diffusers' own, by stable names, with the A1111 sampler names as aliases.

Owns the names. Does not know how they step (that is the base model's process), nor requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from textinv.errors import RequestError

DEFAULT_NOISE_SCHEDULER = "dpmpp-2m"


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
