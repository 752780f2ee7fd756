"""How many pictures of a size share the batch: a fixed number, or the measured knee of the UNet's throughput.

Owns the measuring, what was measured, and one line in the log for it. Does not know requests.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Literal

import torch

from textinv.generation.pace import Size
from textinv.models.base import BaseModel, Conditioning
from textinv.models.knee import find_knee

log = logging.getLogger(__name__)

# Beyond this no base model gains, and one step would take too long for a newcomer.
MAX_MEASURED = 64
# A batch whose step takes longer than this makes newcomers wait too long, knee or not.
MAX_STEP_S = 2.0
# Of each number's runs the fastest counts, and numbers take turns: what else the machine does slows down some runs of
# all numbers rather than all runs of one. At least two: the first of a shape pays for its memory and kernels.
_MIN_TURNS, _MAX_TURNS = 2, 8
# A machine that takes longer than this to measure a size is slow enough to be judged by what was seen until then.
_BUDGET_S = 4.0
# Measuring ends when so many doublings in a row have not moved the knee.
_PATIENCE = 2


class BatchLimits:
    """Batch limits by size. With `auto` sizes are measured at start-up; any other is judged by its area from those."""

    def __init__(
        self, model: BaseModel, max_batch: int | Literal["auto"], clock: Callable[[], float] | None = None
    ) -> None:
        self.measured_s: dict[Size, dict[int, float]] = {}
        """Seconds of one inference step by number of pictures, for each size measured."""
        self._model = model
        self._clock = clock or _best_clock(model.device)
        self._fixed = None if max_batch == "auto" else max_batch
        self._knees: dict[Size, int] = {}

    @property
    def ready(self) -> bool:
        """Whether limits can be told without measuring first."""
        return self._fixed is not None or bool(self._knees)

    @property
    def knees(self) -> Mapping[Size, int]:
        """The measured limits."""
        return dict(self._knees)

    def limit(self, size: Size) -> int:
        """Tell the most pictures of a size in one batch, at least 1."""
        if self._fixed is not None:
            return self._fixed
        if size in self._knees:
            return self._knees[size]
        area = size[0] * size[1]
        nearest = min(self._knees, key=lambda known: abs(known[0] * known[1] - area), default=size)
        return max(self._knees.get(nearest, 1) * nearest[0] * nearest[1] // area, 1)

    def measure(self, size: Size, conditioning: Conditioning) -> None:
        """Find the knee of a size; runs the UNet on `conditioning` (one row), guidance's second row counted."""
        seconds_of = self.measured_s[size] = {}
        ends_at = time.monotonic() + _BUDGET_S
        for turn in range(_MAX_TURNS):
            if turn >= _MIN_TURNS and time.monotonic() > ends_at:
                break
            self._take_turn(size, conditioning, seconds_of)
        self._knees[size] = find_knee(seconds_of)
        fields = {
            "measured": "batch_limit",
            "base_model": self._model.id,
            "height_px": size[0],
            "width_px": size[1],
            "batch_limit": self._knees[size],
            "step_s": {num_images: round(seconds, 5) for num_images, seconds in seconds_of.items()},
        }
        log.info("%s", json.dumps(fields))

    def _take_turn(self, size: Size, conditioning: Conditioning, seconds_of: dict[int, float]) -> None:
        """Time one step of each number of pictures until more of them cannot pay off or will not come any more."""
        num_images, most = 1, MAX_MEASURED if self._fixed is None else min(self._fixed, MAX_MEASURED)
        while num_images <= most and num_images <= find_knee(seconds_of) * 2**_PATIENCE:
            try:
                seconds = self._time_step(size, conditioning, num_images)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                break
            seconds_of[num_images] = min(seconds, seconds_of.get(num_images, seconds))
            if seconds_of[num_images] > MAX_STEP_S:
                break
            num_images *= 2

    def _time_step(self, size: Size, conditioning: Conditioning, num_images: int) -> float:
        model, num_rows = self._model, 2 * num_images
        height, width = (side_px // model.latent_scale for side_px in size)
        noisy_BCHW = torch.zeros((num_rows, model.latent_channels, height, width), device=model.device)
        timesteps_B = torch.full((num_rows,), 500.0, device=model.device)
        rows = Conditioning.cat([conditioning] * num_rows)
        started = self._clock()
        model.predict(noisy_BCHW, timesteps_B, rows).sum().item()
        return self._clock() - started


def _best_clock(device: torch.device) -> Callable[[], float]:
    """A clock for one forward: where a single thread does all the work, that thread's own time, whoever else runs."""
    return time.thread_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
