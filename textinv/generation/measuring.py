"""How long one inference step takes for growing numbers of pictures, until more of them do not pay off.

Owns the measuring and one line in the log for it. Does not know requests, nor what is made of the numbers.
"""

import json
import logging
import time
from collections.abc import Callable

import torch

from textinv.generation.request import Size
from textinv.models.base import BaseModel, Conditioning
from textinv.models.room import find_knee, is_out_of_memory

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

Clock = Callable[[], float]


def measure_steps(
    model: BaseModel, size: Size, conditioning: Conditioning, max_images: int | None = None, clock: Clock | None = None
) -> dict[int, float]:
    """Measure the seconds of one step by number of pictures of a size, guidance's second row counted.

    Runs the UNet on `conditioning` (one row), with `max_images` at most (None: as many as pay off).
    """
    most = MAX_MEASURED if max_images is None else min(max_images, MAX_MEASURED)
    seconds_of: dict[int, float] = {}
    ends_at = time.monotonic() + _BUDGET_S
    for turn in range(_MAX_TURNS):
        if turn >= _MIN_TURNS and time.monotonic() > ends_at:
            break
        _take_turn(model, size, conditioning, most, clock or _best_clock(model.device), seconds_of)
    fields = {
        "measured": "batch_limit",
        "base_model": model.id,
        "height_px": size[0],
        "width_px": size[1],
        "batch_limit": find_knee(seconds_of),
        "step_s": {num_images: round(seconds, 5) for num_images, seconds in seconds_of.items()},
    }
    log.info("%s", json.dumps(fields))
    return seconds_of


def _take_turn(
    model: BaseModel, size: Size, conditioning: Conditioning, most: int, clock: Clock, seconds_of: dict[int, float]
) -> None:
    """Time one step of each number of pictures until more of them cannot pay off or will not come any more."""
    num_images = 1
    while num_images <= most and num_images <= find_knee(seconds_of) * 2**_PATIENCE:
        try:
            seconds = _time_step(model, size, conditioning, num_images, clock)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            torch.cuda.empty_cache()  # nothing without a GPU
            break
        seconds_of[num_images] = min(seconds, seconds_of.get(num_images, seconds))
        if seconds_of[num_images] > MAX_STEP_S:
            break
        num_images *= 2


def _time_step(model: BaseModel, size: Size, conditioning: Conditioning, num_images: int, clock: Clock) -> float:
    num_rows = 2 * num_images
    height, width = (side_px // model.latent_scale for side_px in size)
    noisy_BCHW = torch.zeros((num_rows, model.latent_channels, height, width), device=model.device)
    timesteps_B = torch.full((num_rows,), 500.0, device=model.device)
    rows = conditioning.index(torch.zeros(num_rows, dtype=torch.long))
    started = clock()
    model.predict(noisy_BCHW, timesteps_B, rows).sum().item()
    return clock() - started


def _best_clock(device: torch.device) -> Clock:
    """A clock for one forward: where a single thread does all the work, that thread's own time, whoever else runs."""
    return time.thread_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
