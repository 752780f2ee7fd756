"""What goes wrong with one picture fails its own request; strangers in the batch get what they would get alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.generation.frail_model import FrailDevice
from textinv.errors import OutOfMemoryError, ServiceError, TextinvError
from textinv.generation.draw import generate
from textinv.generation.engine import Engine
from textinv.generation.request import GenerateRequest
from textinv.generation.safety import SafetyChecker
from textinv.models import BaseModel
from textinv.models.process import Diffusion

GOOD = GenerateRequest("a red apple", num_inference_steps=2, noise_scheduler="ddim", width_px=48, height_px=48)
LARGE = GenerateRequest("a frog", num_inference_steps=2, width_px=96, height_px=64, preview_every=1)


@pytest.fixture(scope="module")
def alone(model: BaseModel) -> NDArray[np.uint8]:
    """The good picture when nobody else is there."""
    return generate(model, GOOD)[0].pixels


@pytest.fixture
def device(model: BaseModel) -> FrailDevice:
    return FrailDevice(model)


def _out_of_memory(latents_BCHW: Tensor) -> None:
    """A device that holds a picture of 48 x 48 (with guidance), and not one of 96 x 64."""
    if latents_BCHW[:, 0].numel() > 2 * 12 * 12:
        raise torch.OutOfMemoryError("tried to allocate 20 GiB")


def _fails_beside(engine: Engine, bad: GenerateRequest, alone: NDArray[np.uint8]) -> TextinvError:
    """Draw a bad request between two good ones; the error of the bad one."""
    first, failing, last = (engine.submit(request) for request in (GOOD, bad, GOOD))
    engine.run_until_idle()
    for good in (first, last):
        assert np.abs(good.result(0)[0].pixels.astype(int) - alone).max() <= 1
    with pytest.raises(TextinvError) as caught:
        failing.result(0)
    return caught.value


@pytest.mark.parametrize("work", ["before_predict", "before_decode"])
def test_a_picture_that_does_not_fit_into_memory_fails_alone(
    device: FrailDevice, alone: NDArray[np.uint8], work: str
) -> None:
    setattr(device, work, _out_of_memory)
    error = _fails_beside(Engine(device.as_model, max_batch=8), LARGE, alone)
    assert isinstance(error, OutOfMemoryError)
    assert "ask for a smaller one" in error.message


def test_a_picture_whose_noise_scheduler_breaks_fails_alone(device: FrailDevice, alone: NDArray[np.uint8]) -> None:
    # Only DDPM heeds how the base model says variances are learned; this base model does not tell them.
    process = cast(Diffusion, device.as_model.process)
    device.process = Diffusion(process.config | {"variance_type": "learned_range"}, device.as_model.device)
    bad = GenerateRequest("a frog", num_inference_steps=3, noise_scheduler="ddpm", width_px=48, height_px=48)
    error = _fails_beside(Engine(device.as_model, max_batch=8), bad, alone)
    assert isinstance(error, ServiceError)
    assert "could not be drawn" in error.message


class BlindChecker:
    """A safety checker that cannot look at large pictures."""

    def flag(self, pictures: Sequence[NDArray[np.uint8]]) -> list[bool]:
        if any(max(pixels.shape) > 64 for pixels in pictures):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return [False] * len(pictures)


def test_a_picture_that_cannot_be_screened_is_not_shown_and_fails_alone(
    model: BaseModel, alone: NDArray[np.uint8]
) -> None:
    engine = Engine(model, max_batch=8, safety=cast(SafetyChecker, BlindChecker()))
    bad = engine.submit(LARGE)
    engine.run_until_idle()
    assert not bad.previews
    assert isinstance(_fails_beside(engine, LARGE, alone), ServiceError)


def test_a_batch_that_does_not_fit_is_drawn_in_parts(device: FrailDevice, alone: NDArray[np.uint8]) -> None:
    device.before_predict = device.before_decode = _out_of_memory
    engine = Engine(device.as_model, max_batch=8)
    tickets = [engine.submit(GOOD) for _ in range(3)]
    engine.run_until_idle()
    for ticket in tickets:
        assert np.abs(ticket.result(0)[0].pixels.astype(int) - alone).max() <= 1


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("tried to allocate 20 GiB"), RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")],
)
def test_what_did_not_fit_once_is_not_tried_again_at_every_step(device: FrailDevice, error: RuntimeError) -> None:
    predicted: list[int] = []
    decoded: list[int] = []

    def at_most_two(latents_BCHW: Tensor) -> None:
        (decoded if device.is_decoding else predicted).append(len(latents_BCHW))
        if len(latents_BCHW) > 2:
            raise error

    device.before_predict = device.before_decode = at_most_two
    engine = Engine(device.as_model, max_batch=8)
    steps = 4
    tickets = [engine.submit(replace(GOOD, num_inference_steps=steps)) for _ in range(4)]
    engine.run_until_idle()
    assert all(ticket.result(0) for ticket in tickets)
    assert [count for count in predicted if count > 2] == [8, 4], "of eight rows, once"
    assert [count for count in predicted if count <= 2] == [2] * 4 * steps
    assert decoded == [4, 2, 2]
    predicted.clear()
    later = [engine.submit(GOOD) for _ in range(2)]
    engine.run_until_idle()
    assert all(ticket.result(0) for ticket in later)
    assert set(predicted) == {2}


def test_a_device_that_fails_on_everything_fails_everybody_and_the_engine_goes_on(
    device: FrailDevice, alone: NDArray[np.uint8]
) -> None:
    def break_down(latents_BCHW: Tensor) -> None:
        raise RuntimeError("an illegal memory access was encountered")

    engine = Engine(device.as_model, max_batch=8)
    works, device.before_predict = device.before_predict, break_down
    failing = [engine.submit(GOOD) for _ in range(3)]
    engine.run_until_idle()
    for ticket in failing:
        with pytest.raises(ServiceError, match="illegal memory access"):
            ticket.result(0)
    device.before_predict = works
    again = engine.submit(GOOD)
    engine.run_until_idle()
    assert np.abs(again.result(0)[0].pixels.astype(int) - alone).max() <= 1
