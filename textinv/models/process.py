"""The noise process of a base model: how latents are noised, what the network then predicts, and how noise is undone.

Owns `NoiseProcess`, all that training and drawing ask of it, and `Diffusion`, the process of betas (Ho et al. 2020,
arXiv 2006.11239) with its three predictions: noise, velocity (Salimans and Ho 2022, arXiv 2202.00512, appendix D) and
the sample itself, zero terminal SNR included (Lin et al. 2023, arXiv 2305.08891). Steps are those of diffusers' noise
schedulers; owns the names by which a request chooses one, with A1111's sampler names as aliases. Does not know
networks, texts, nor who draws. On the way: between `BaseModel` and pack, and between `BaseModel` and engine.

Time runs from the picture to noise. `Diffusion` counts it in T whole timesteps, `Flow`
(`flow`) in thousandths of sigma.

Shapes: B samples, C channels, H rows, W columns; T timesteps, or the inference steps of one picture.
"""

import copy
import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textinv.errors import BaseModelError, RequestError
from textinv.models.drawing import DrawingDefaults

DEFAULT_NOISE_SCHEDULER = "dpmpp-2m"
Band = tuple[int, int]
"""Where in time samples are taken, half-open, in thousandths: the timesteps themselves where there are 1000."""
BAND_PARTS = 1000
PREDICTIONS = ("epsilon", "v_prediction", "sample")
_OF_BETAS = frozenset(
    f"{name}Scheduler"
    for name in (
        "DDIM DDPM DDIMParallel DDPMParallel PNDM LCM TCD LMSDiscrete EulerDiscrete EulerAncestralDiscrete "
        "HeunDiscrete KDPM2Discrete KDPM2AncestralDiscrete DPMSolverMultistep DPMSolverSinglestep DPMSolverSDE "
        "DEISMultistep UniPCMultistep"
    ).split()
)
"""The classes of diffusers whose config says betas, whatever else they do with them."""
_NOT_FROM_SAMPLES = frozenset({"EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "PNDMScheduler"})


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


class Sampler(Protocol):
    """How one picture comes out of noise; it remembers its steps, so every picture has its own."""

    @property
    def times(self) -> Tensor:
        """When the network is asked (T,), from noise to picture: what `BaseModel.predict` takes."""
        ...

    def skip(self, num_steps: int) -> None:
        """Leave out the first steps, for a picture that begins from another."""
        ...

    def first(self, noise_BCHW: Tensor) -> Tensor:
        """Make the first latents from noise of deviation 1."""
        ...

    def renoised(self, latents_BCHW: Tensor, noise_BCHW: Tensor, time: Tensor) -> Tensor:
        """Noise clean latents as much as those of `time` are."""
        ...

    def scaled(self, latents_BCHW: Tensor, time: Tensor) -> Tensor:
        """Scale the latents to what the network takes at `time`."""
        ...

    def step(self, predicted_BCHW: Tensor, time: Tensor, latents_BCHW: Tensor, generator: torch.Generator) -> Tensor:
        """Take one step from a prediction; fresh noise, where there is any, comes from `generator`."""
        ...


class NoiseProcess(Protocol):
    """What training and drawing ask of a base model's noise. Times (B,) are the process's own."""

    @property
    def predicts(self) -> str:
        """What the network predicts, for messages and records."""
        ...

    def times(self, band: Band, uniform_B: NDArray[np.float64]) -> NDArray[Any]:
        """Turn numbers in [0, 1) into times of a band."""
        ...

    def noised(self, latents_BCHW: Tensor, noise_BCHW: Tensor, times_B: Tensor) -> Tensor:
        """Noise latents, to what the network takes."""
        ...

    def target(self, latents_BCHW: Tensor, noise_BCHW: Tensor, times_B: Tensor) -> Tensor:
        """What the network should predict."""
        ...

    def clean(self, noisy_BCHW: Tensor, predicted_BCHW: Tensor, time: Tensor) -> Tensor:
        """Estimate the finished latents from a prediction at one time."""
        ...

    def sampler(self, kind: SchedulerKind, num_steps: int, num_positions: int = 0) -> Sampler:
        """Make the sampler of one picture, whose latents have so many positions: some step otherwise for large ones.

        Raises:
            RequestError: there is no such sampler of this process, or it does not take so many steps.
        """
        ...


def find_scheduler_kind(name: str | None, schedule_type: str | None = None) -> SchedulerKind:
    """Find a noise scheduler by its name, an A1111 sampler name (any case) or its diffusers class; None is the default.

    `schedule_type` is A1111's second field ("Karras"; "Automatic" and None change nothing).

    Raises:
        RequestError: there is none of that name; the message lists those that there are.
    """
    kind = _by_spelling().get((name or DEFAULT_NOISE_SCHEDULER).strip().casefold())
    if kind is not None and schedule_type and schedule_type.casefold() not in {"automatic", "uniform"}:
        kind = _by_spelling().get(f"{kind.label} {schedule_type}".casefold())
    if kind is None:
        wanted = f"{name!r}" if not schedule_type else f"{name!r} with schedule type {schedule_type!r}"
        names = ", ".join(known.name for known in SCHEDULER_KINDS)
        raise RequestError(f"there is no noise scheduler {wanted}; choose one of: {names}", param="noise_scheduler")
    return kind


def with_shipped(drawing: DrawingDefaults, shipped: str) -> DrawingDefaults:
    """Name the noise scheduler that a folder ships, by its class, where no other is named.

    Raises:
        BaseModelError: the one that is named does not exist.
    """
    if drawing.noise_scheduler is None:
        kind = _by_spelling().get(shipped.casefold())
        return dataclasses.replace(drawing, noise_scheduler=DEFAULT_NOISE_SCHEDULER if kind is None else kind.name)
    try:
        return dataclasses.replace(drawing, noise_scheduler=find_scheduler_kind(drawing.noise_scheduler).name)
    except RequestError as error:
        raise BaseModelError(
            f"the noise scheduler that the base model is to be drawn with cannot be used: {error.message}"
        ) from error


@cache
def _by_spelling() -> dict[str, SchedulerKind]:
    found: dict[str, SchedulerKind] = {}
    for kind in SCHEDULER_KINDS:
        for spelling in (kind.name, kind.a1111_name, f"k_{kind.name.replace('-', '_')}", *kind.aliases):
            found.setdefault(spelling.casefold(), kind)
    for kind in SCHEDULER_KINDS:
        found.setdefault(kind.diffusers_class.casefold(), kind)
        found.setdefault(f"flowmatch{kind.diffusers_class}".casefold(), kind)
    return found


class Diffusion:
    """Latents fade by betas over T timesteps while noise grows: sqrt(a) z + sqrt(1 - a) eps."""

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        """Take the config of one of diffusers' noise schedulers.

        Raises:
            BaseModelError: it says another process than this one, or no prediction that is known.
        """
        _check_class(config)
        self.config = {key: value for key, value in config.items() if not key.startswith("_")}
        self.predicts = str(config.get("prediction_type", "epsilon"))
        self.has_zero_snr = bool(config.get("rescale_betas_zero_snr", False))
        if self.predicts not in PREDICTIONS:
            raise BaseModelError(
                f"the noise scheduler predicts {self.predicts!r}; epsilon, v_prediction and sample are known: correct "
                "scheduler/scheduler_config.json"
            )
        if self.has_zero_snr and self.predicts == "epsilon":
            raise BaseModelError(
                "the noise scheduler has zero terminal SNR (rescale_betas_zero_snr) and predicts epsilon, from "
                "which no picture can be computed there; v_prediction or sample would work: correct its config"
            )
        self.alphas_cumprod_T = _alphas_cumprod(self.config).to(device, torch.float32)

    def times(self, band: Band, uniform_B: NDArray[np.float64]) -> NDArray[np.int64]:
        low, high = (bound * len(self.alphas_cumprod_T) // BAND_PARTS for bound in band)
        return (low + uniform_B * (high - low)).astype(np.int64).clip(low, max(low, high - 1))

    def noised(self, latents_BCHW: Tensor, noise_BCHW: Tensor, times_B: Tensor) -> Tensor:
        signal_B111, noise_B111 = self._scales(times_B)
        return signal_B111 * latents_BCHW + noise_B111 * noise_BCHW

    def target(self, latents_BCHW: Tensor, noise_BCHW: Tensor, times_B: Tensor) -> Tensor:
        if self.predicts == "epsilon":
            return noise_BCHW
        if self.predicts == "sample":
            return latents_BCHW
        signal_B111, noise_B111 = self._scales(times_B)
        return signal_B111 * noise_BCHW - noise_B111 * latents_BCHW

    def clean(self, noisy_BCHW: Tensor, predicted_BCHW: Tensor, time: Tensor) -> Tensor:
        # Some samplers stop between two timesteps.
        at = int(time.round().clamp(0, len(self.alphas_cumprod_T) - 1))
        alpha = self.alphas_cumprod_T[at].to(noisy_BCHW)
        if self.predicts == "v_prediction":
            return alpha.sqrt() * noisy_BCHW - (1 - alpha).sqrt() * predicted_BCHW
        if self.predicts == "sample":
            return predicted_BCHW
        return (noisy_BCHW - (1 - alpha).sqrt() * predicted_BCHW) / alpha.sqrt()

    def sampler(self, kind: SchedulerKind, num_steps: int, num_positions: int = 0) -> "DiffusionSampler":
        if self.has_zero_snr and not _takes_zero_snr(kind.diffusers_class):
            raise RequestError(
                f"{kind.name!r} cannot begin from the pure noise of this base model (zero terminal SNR); choose "
                "another noise scheduler, such as ddim, euler or dpmpp-2m",
                param="noise_scheduler",
            )
        if self.predicts == "sample" and kind.diffusers_class in _NOT_FROM_SAMPLES:
            raise RequestError(
                f"{kind.name!r} cannot step from the sample itself, which this base model predicts; choose another "
                "noise scheduler, such as ddim, euler or dpmpp-2m",
                param="noise_scheduler",
            )
        frozen = tuple(sorted((key, _hashable(value)) for key, value in (self.config | dict(kind.options)).items()))
        return DiffusionSampler(_template(kind.name, kind.diffusers_class, frozen, num_steps), kind.takes_generator)

    def _scales(self, times_B: Tensor) -> tuple[Tensor, Tensor]:
        alphas_B111 = self.alphas_cumprod_T.to(times_B.device)[times_B][:, None, None, None]
        return alphas_B111.sqrt(), (1 - alphas_B111).sqrt()


class DiffusionSampler:
    """One of diffusers' noise schedulers, its timesteps set, for one picture; it is copied when its steps begin."""

    def __init__(self, template: Any, takes_generator: bool) -> None:
        self._template = template
        self._takes_generator = takes_generator
        self._begin: int | None = None

    @property
    def times(self) -> Tensor:
        timesteps_T: Tensor = self._template.timesteps
        return timesteps_T[self._begin or 0 :]

    def skip(self, num_steps: int) -> None:
        # Counted in whole steps of the noise scheduler's order, as diffusers' img2img does.
        self._begin = num_steps * self._template.order

    @cached_property
    def _scheduler(self) -> Any:
        scheduler = copy.deepcopy(self._template)
        # Those that find their place by the timestep alone have no index to set.
        if self._begin is not None and hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(self._begin)
        return scheduler

    def first(self, noise_BCHW: Tensor) -> Tensor:
        latents_BCHW: Tensor = noise_BCHW * self._scheduler.init_noise_sigma
        return latents_BCHW

    def renoised(self, latents_BCHW: Tensor, noise_BCHW: Tensor, time: Tensor) -> Tensor:
        noised_BCHW: Tensor = self._scheduler.add_noise(latents_BCHW, noise_BCHW, time.reshape(1))
        return noised_BCHW

    def scaled(self, latents_BCHW: Tensor, time: Tensor) -> Tensor:
        scaled_BCHW: Tensor = self._scheduler.scale_model_input(latents_BCHW, time)
        return scaled_BCHW

    def step(self, predicted_BCHW: Tensor, time: Tensor, latents_BCHW: Tensor, generator: torch.Generator) -> Tensor:
        extras = {"generator": generator} if self._takes_generator else {}
        stepped_BCHW: Tensor = self._scheduler.step(predicted_BCHW, time, latents_BCHW, return_dict=False, **extras)[0]
        return stepped_BCHW


def _check_class(config: Mapping[str, Any]) -> None:
    found = str(config.get("_class_name", "DDIMScheduler"))
    if found in _OF_BETAS and config.get("timestep_type", "discrete") == "discrete":
        return
    if found.startswith("FlowMatch"):
        said = "a flow-matching process, which this family's network was not trained with"
    elif found.startswith("EDM") or config.get("timestep_type") == "continuous":
        said = "the process of EDM (Karras et al. 2022), as Playground v2.5 and CosXL have it"
    else:
        said = "an unknown process"
    raise BaseModelError(
        f"the noise scheduler is a {found}: {said}; base models whose noise scheduler has betas work, such as Stable "
        "Diffusion 1, 2 and XL (DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler ...)"
    )


def _alphas_cumprod(config: Mapping[str, Any]) -> Tensor:
    import diffusers  # slow to import, and what lists the names of noise schedulers needs it not

    try:
        alphas_cumprod_T: Tensor = diffusers.DDPMScheduler.from_config(dict(config)).alphas_cumprod
    except (ValueError, TypeError, NotImplementedError) as error:
        raise BaseModelError(
            f"the noise scheduler's betas cannot be computed: {error}; correct scheduler/scheduler_config.json"
        ) from error
    return alphas_cumprod_T


@lru_cache(maxsize=32)
def _takes_zero_snr(diffusers_class: str) -> bool:
    import diffusers

    return "rescale_betas_zero_snr" in inspect.signature(getattr(diffusers, diffusers_class).__init__).parameters


@lru_cache(maxsize=256)
def _template(name: str, diffusers_class: str, config: tuple[tuple[str, Any], ...], num_steps: int) -> Any:
    import diffusers

    try:
        made = getattr(diffusers, diffusers_class).from_config(dict(config))
    except (ValueError, NotImplementedError) as error:
        raise RequestError(
            f"{name!r} does not work with this base model ({error}); choose another noise scheduler",
            param="noise_scheduler",
        ) from error
    try:
        made.set_timesteps(num_steps)
    except ValueError as error:
        raise RequestError(
            f"{name!r} cannot do {num_steps} steps ({error}); take fewer, or another noise scheduler",
            param="num_inference_steps",
        ) from error
    return made


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
