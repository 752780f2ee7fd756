"""Same seed, same picture: in every slot of every batch size, with strangers of other seeds, steps and schedulers."""

import numpy as np
import pytest

from textinv.embedding import Embedding
from textinv.generation.engine import Engine
from textinv.generation.request import GenerateRequest
from textinv.models import BaseModel, load_base_model
from textinv.placeholders import ConceptRef

MAX_BATCH = 16
APPLE = ConceptRef("my-apple")
STRANGERS = ("ddim", "euler-a", "dpmpp-2m", "unipc")


@pytest.fixture(scope="module")
def model() -> BaseModel:
    return load_base_model("emoji", device="cpu", dtype="float32")


def _mine(scheduler: str) -> GenerateRequest:
    return GenerateRequest("a <my-apple>, red", seed=9, num_inference_steps=3, noise_scheduler=scheduler)


def _stranger(place: int) -> GenerateRequest:
    return GenerateRequest(
        f"picture number {place} of a blue cat",
        negative_prompt="a <my-apple>" if place % 3 else "",
        seed=100 + place,
        num_inference_steps=2 + place % 3,
        guidance_scale=1.0 + place % 4,
        noise_scheduler=STRANGERS[place % len(STRANGERS)],
    )


def _draw_in_slot(
    model: BaseModel, mounts: dict[ConceptRef, Embedding], scheduler: str, slot: int, size: int
) -> np.ndarray:
    engine = Engine(model, max_batch=size)
    mine = None
    for place in range(size):
        ticket = engine.submit(_mine(scheduler) if place == slot else _stranger(place), mounts)
        mine = ticket if place == slot else mine
    assert mine is not None
    while not mine.done():
        engine.step()
    return mine.result(0)[0].pixels


@pytest.mark.parametrize("scheduler", ["ddim", "euler-a"])
def test_a_picture_is_the_same_in_every_slot_of_every_batch(
    model: BaseModel, scheduler: str, record_property: pytest.RecordProperty
) -> None:
    mounts = {APPLE: Embedding({"text_encoder": model.token_rows("text_encoder", "apple")[:1]})}
    alone = _draw_in_slot(model, mounts, scheduler, 0, 1).astype(int)
    worst = 0
    for size in range(2, MAX_BATCH + 1):
        for slot in range(size):
            differs = np.abs(_draw_in_slot(model, mounts, scheduler, slot, size) - alone).max()
            worst = max(worst, int(differs))
    record_property("observed_maximum_of_255", worst)
    print(f"observed maximum with {scheduler}: {worst}/255")
    assert worst <= 1
