"""The process of flow matching: latents and noise on a straight line, and the network says how to walk along it.

Liu et al. 2022 (rectified flow), arXiv 2209.03003, eq. 1, and Lipman et al. 2023, arXiv 2210.02747: x_s = (1 - s) x + s
eps, and the velocity eps - x is predicted. Where in time samples are taken, and the shift towards noise that larger
pictures need, are Esser et al. 2024, arXiv 2403.03206, sections 3.1 and 5.3.2. Owns `Flow`, which is told by a
family how its network was trained, and its samplers, which are diffusers'. Does not know families.

Time is 1000 s, as diffusers' noise schedulers and most networks count it.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textinv.errors import BaseModelError, RequestError
from textinv.models.process import BAND_PARTS, Band, DiffusionSampler, SchedulerKind

PARTS = 1000
_SOLVERS = {"dpmpp-2m", "dpmpp-2m-sde", "unipc"}
"""Those that diffusers made for betas and that can step along a flow as well."""
_OF_FLOW = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")

Density = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Turns evenly spread numbers in (0, 1) into sigmas, before any shift."""


def uniform(even_B: NDArray[np.float64]) -> NDArray[np.float64]:
    """All of time alike."""
    return even_B


def logit_normal(even_B: NDArray[np.float64]) -> NDArray[np.float64]:
    """More of its middle: the sigmoid of a normal number (Esser et al. 2024, eq. 19, m = 0 and s = 1)."""
    spread_B: NDArray[np.float64] = torch.special.ndtri(torch.from_numpy(even_B)).sigmoid().numpy()
    return spread_B


class Flow:
    """Latents turn into noise along straight lines, and their velocity is predicted."""

    predicts = "flow_prediction"

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        density: Density = uniform,
        shift: float | None = None,
        patch: int = 1,
        even_steps: bool = False,
    ) -> None:
        """Take the config of one of diffusers' noise schedulers.

        `density` and `shift` say where training takes samples (None: shifted as drawing is); `patch` latents along a
        side are one token of the network; with `even_steps` drawing begins at sigma 1 and takes N equal steps before
        the shift.

        Raises:
            BaseModelError: the noise scheduler is of another process.
        """
        name = str(config.get("_class_name"))
        is_solver = config.get("prediction_type") == "flow_prediction" and bool(config.get("use_flow_sigmas"))
        if name not in _OF_FLOW and not is_solver:
            raise BaseModelError(
                f"the noise scheduler is a {name}, but this family's network was trained by flow matching: correct "
                "scheduler/scheduler_config.json, for example to FlowMatchEulerDiscreteScheduler"
            )
        self.config = {key: value for key, value in config.items() if not key.startswith("_")}
        self._is_solver, self._density, self._patch, self._even_steps = is_solver, density, patch, even_steps
        self._drawing_shift = float(config.get("flow_shift" if is_solver else "shift") or 1.0)
        self._training_shift = self._drawing_shift if shift is None else shift

    def times(self, band: Band, uniform_B: NDArray[np.float64]) -> NDArray[np.float32]:
        low, high = (bound / BAND_PARTS for bound in band)
        sigma_B = self._density((low + uniform_B * (high - low)).clip(1e-6, 1 - 1e-6))
        shift = self._training_shift
        return (PARTS * (shift * sigma_B / (1 + (shift - 1) * sigma_B))).astype(np.float32)

    def noised(self, latents_BCHW: Tensor, noise_BCHW: Tensor, times_B: Tensor) -> Tensor:
        sigma_B111 = (times_B / PARTS)[:, None, None, None]
        return (1 - sigma_B111) * latents_BCHW + sigma_B111 * noise_BCHW

    def target(self, latents_BCHW: Tensor, noise_BCHW: Tensor, times_B: Tensor) -> Tensor:
        return noise_BCHW - latents_BCHW

    def clean(self, noisy_BCHW: Tensor, predicted_BCHW: Tensor, time: Tensor) -> Tensor:
        return noisy_BCHW - float(time) / PARTS * predicted_BCHW

    def sampler(self, kind: SchedulerKind, num_steps: int, num_positions: int = 0) -> "FlowSampler":
        if kind.name not in {"euler", "heun", *_SOLVERS}:
            raise RequestError(
                f"{kind.name!r} does not work with a flow-matching base model such as this one; choose another "
                "noise scheduler: "
                f"euler, heun, {', '.join(sorted(_SOLVERS))}",
                param="noise_scheduler",
            )
        shift = self._shift_for(num_positions)
        if kind.name in _SOLVERS:
            own = self.config if self._is_solver and kind.name == "dpmpp-2m" else {}
            config = {**own, **kind.options, "flow_shift": shift}
            made = _solver(kind.diffusers_class, tuple(sorted(config.items(), key=str)), num_steps)
        else:
            made = _stepper(kind.name, self._own_table(shift), num_steps, self._even_steps)
        return FlowSampler(made, kind.takes_generator)

    def _shift_for(self, num_positions: int) -> float:
        """How much steps are moved towards noise, for a picture of so many latents."""
        if not self.config.get("use_dynamic_shifting"):
            return self._drawing_shift
        said = self.config.get
        low, high = float(said("base_shift", 0.5)), float(said("max_shift", 1.15))
        few, many = int(said("base_image_seq_len", 256)), int(said("max_image_seq_len", 4096))
        mu = low + (high - low) * (num_positions / self._patch**2 - few) / (many - few)
        return mu if said("time_shift_type") == "linear" else math.exp(mu)

    def _own_table(self, shift: float) -> tuple[tuple[str, Any], ...]:
        """What the config says of steps, as its noise scheduler is made for a picture whose shift is known."""
        kept = ("shift_terminal", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
        said = {name: self.config[name] for name in kept if self.config.get(name)}
        # A shift by size is applied once; one of the table's, to the table's ends as well.
        name = "late_shift" if self.config.get("use_dynamic_shifting") else "shift"
        return tuple(sorted({**said, name: shift}.items()))


class FlowSampler(DiffusionSampler):
    """A noise scheduler that steps along a flow: what the network takes are the latents as they are."""

    def first(self, noise_BCHW: Tensor) -> Tensor:
        return noise_BCHW

    def renoised(self, latents_BCHW: Tensor, noise_BCHW: Tensor, time: Tensor) -> Tensor:
        sigma = float(time) / PARTS
        return (1 - sigma) * latents_BCHW + sigma * noise_BCHW

    def scaled(self, latents_BCHW: Tensor, time: Tensor) -> Tensor:
        return latents_BCHW


@lru_cache(maxsize=256)
def _stepper(name: str, table: tuple[tuple[str, Any], ...], num_steps: int, even_steps: bool) -> Any:
    import diffusers  # slow to import, and what lists the names of noise schedulers needs it not

    config = dict(table)
    late_shift = config.pop("late_shift", None)
    made: Any = diffusers.FlowMatchEulerDiscreteScheduler(**config)
    if late_shift is not None:
        made.set_shift(late_shift)
    made.set_timesteps(num_steps, sigmas=np.linspace(1, 1 / num_steps, num_steps) if even_steps else None)
    if name == "euler":
        return made
    heun: Any = diffusers.FlowMatchHeunDiscreteScheduler()
    heun.set_timesteps(num_steps)
    sigmas_T, timesteps_T = made.sigmas, made.timesteps
    heun.sigmas = torch.cat([sigmas_T[:1], sigmas_T[1:-1].repeat_interleave(2), sigmas_T[-1:]])
    heun.timesteps = torch.cat([timesteps_T[:1], timesteps_T[1:].repeat_interleave(2)])
    return heun


@lru_cache(maxsize=256)
def _solver(diffusers_class: str, config: tuple[tuple[str, Any], ...], num_steps: int) -> Any:
    import diffusers

    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "use_dynamic_shifting": False}
    made: Any = getattr(diffusers, diffusers_class).from_config({**dict(config), **flow})
    made.set_timesteps(num_steps)
    return made
