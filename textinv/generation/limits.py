"""How many pictures of a size share the batch: a fixed number, or the measured knee of the UNet's throughput.

Owns the measuring and what was measured. Does not know requests.
"""

import time
from typing import Literal

import torch

from textinv.generation.pace import Size, find_knee
from textinv.models.base import BaseModel, Conditioning

# Beyond this no base model gains, and one step would take too long for a newcomer.
MAX_MEASURED = 64
# A batch whose step takes longer than this makes newcomers wait too long, knee or not.
MAX_STEP_S = 2.0


class BatchLimits:
    """Batch limits by size; in `auto` a size is measured when it is first asked for, and at start-up the native one."""

    def __init__(self, model: BaseModel, max_batch: int | Literal["auto"]) -> None:
        self.measured_s: dict[Size, dict[int, float]] = {}
        self._model = model
        self._max_batch = max_batch
        self._limits: dict[Size, int] = {}

    @property
    def by_size(self) -> dict[Size, int]:
        """The limits in use so far."""
        return dict(self._limits)

    def limit(self, size: Size, conditioning: Conditioning) -> int:
        """Tell the most pictures of a size in one batch; may run the UNet on `conditioning` (one row) to measure it."""
        if size not in self._limits:
            self._limits[size] = self._measure(size, conditioning) if self._max_batch == "auto" else self._max_batch
        return self._limits[size]

    def known(self, size: Size) -> int | None:
        """Tell the limit of a size if it is known already."""
        return self._limits.get(size)

    def _measure(self, size: Size, conditioning: Conditioning) -> int:
        seconds_of: dict[int, float] = {}
        num_images = 1
        while num_images <= MAX_MEASURED:
            try:
                seconds_of[num_images] = self._time_step(size, conditioning, num_images)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                break
            if find_knee(seconds_of) < num_images or seconds_of[num_images] > MAX_STEP_S:
                break
            num_images *= 2
        self.measured_s[size] = seconds_of
        return find_knee(seconds_of) if seconds_of else 1

    def _time_step(self, size: Size, conditioning: Conditioning, num_images: int) -> float:
        model = self._model
        height, width = (side_px // model.latent_scale for side_px in size)
        noisy_BCHW = torch.zeros((2 * num_images, model.latent_channels, height, width), device=model.device)
        timesteps_B = torch.full((2 * num_images,), 500.0, device=model.device)
        rows = Conditioning.cat([conditioning] * (2 * num_images))
        times = []
        for _ in range(3):
            started = time.perf_counter()
            model.predict(noisy_BCHW, timesteps_B, rows).sum().item()
            times.append(time.perf_counter() - started)
        return min(times)
