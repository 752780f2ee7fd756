"""The measured batch limit, on a machine that has other things to do."""

import json
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from textinv.generation.measuring import measure_steps
from textinv.generation.waiting_line import StepTimes
from textinv.models.base import BaseModel, Conditioning

SIZE = (64, 64)
CONDITIONING = Conditioning({"hidden": torch.zeros(1, 2, 8)})


class DisturbedUnet:
    """Takes a known time per forward by its own clock; some forwards take several times as long."""

    id = "disturbed"
    device = torch.device("cpu")
    latent_scale, latent_channels = 4, 4

    def __init__(self, slow_calls: range) -> None:
        self.now = 0.0
        self._slow_calls = slow_calls
        self._num_calls = 0

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        # Two rows per picture: 8 pictures reach 0.93 of the throughput of 32, and 4 reach 0.85.
        seconds = 0.0016 + 0.001 * len(noisy_BCHW)
        self.now += seconds * 3 if self._num_calls in self._slow_calls else seconds
        self._num_calls += 1
        return noisy_BCHW


def _measured(unet: DisturbedUnet, max_images: int | None = None) -> dict[int, float]:
    return measure_steps(cast(BaseModel, cast(Any, unet)), SIZE, CONDITIONING, max_images, lambda: unet.now)


@pytest.mark.parametrize("slow_calls", [range(0), range(1), range(3, 6), range(20), range(0, 60, 2)], ids=str)
def test_the_knee_is_found_though_some_runs_are_disturbed(slow_calls: range) -> None:
    times, measured_s = StepTimes("auto"), _measured(DisturbedUnet(slow_calls))
    times.start_from(SIZE, measured_s)
    assert times.batch_limit(SIZE) == 8
    assert set(measured_s) == {1, 2, 4, 8, 16, 32}


def test_what_was_measured_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    _measured(DisturbedUnet(range(0)))
    (record,) = caplog.records
    said = json.loads(record.getMessage())
    assert (said["height_px"], said["width_px"], said["batch_limit"]) == (*SIZE, 8)
    assert said["step_s"]["8"] == pytest.approx(0.0016 + 0.016)


def test_more_pictures_than_a_fixed_limit_are_not_measured() -> None:
    times = StepTimes(5)
    measured_s = _measured(DisturbedUnet(range(0)), times.max_measured)
    times.start_from(SIZE, measured_s)
    assert set(measured_s) == {1, 2, 4}
    assert times.batch_limit(SIZE) == 5


class SmallDevice(DisturbedUnet):
    """Holds four pictures."""

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        if len(noisy_BCHW) > 2 * 4:
            raise torch.OutOfMemoryError("tried to allocate 20 GiB")
        return super().predict(noisy_BCHW, timesteps_B, conditioning)


class SlowUnet(DisturbedUnet):
    """Takes twelve seconds a picture."""

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        self.now += 6.0 * len(noisy_BCHW)
        return noisy_BCHW


class BrokenUnet(DisturbedUnet):
    """Cannot draw."""

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        raise RuntimeError("the weights are of another shape")


def test_measuring_ends_where_memory_or_patience_does_and_hides_no_other_error() -> None:
    assert set(_measured(SmallDevice(range(0)))) == {1, 2, 4}
    assert set(_measured(SlowUnet(range(0)))) == {1}
    with pytest.raises(RuntimeError, match="of another shape"):
        _measured(BrokenUnet(range(0)))
