"""Same seed, same picture: in every slot of every batch size, among strangers of other seeds, steps and schedulers."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from textinv.embedding import Embedding
from textinv.generation.engine import Engine
from textinv.generation.request import GenerateRequest
from textinv.models import BaseModel
from textinv.placeholders import ConceptRef

MAX_BATCH = 16
APPLE = ConceptRef("my-apple")
SCHEDULERS = ("ddim", "euler-a", "dpmpp-2m-sde", "unipc", "euler")


def _request(place: int) -> GenerateRequest:
    return GenerateRequest(
        f"picture number {place} of a <my-apple>",
        negative_prompt="a blue cat" if place % 3 else "",
        seed=100 + place,
        num_inference_steps=2 + place % 2,
        guidance_scale=1.0 + place % 4,
        noise_scheduler=SCHEDULERS[place % len(SCHEDULERS)],
    )


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param((2, 5, MAX_BATCH), id="some sizes"),
        pytest.param(tuple(range(2, MAX_BATCH + 1)), id="every size", marks=pytest.mark.load),
    ],
)
def test_a_picture_is_the_same_in_every_slot_of_every_batch(
    sizes: tuple[int, ...], model: BaseModel, record_property: Callable[[str, object], None]
) -> None:
    mounts = {APPLE: Embedding({"text_encoder": model.token_rows("text_encoder", "apple")[:1]})}

    def draw(places: list[int], max_batch: int) -> list[np.ndarray]:
        engine = Engine(model, max_batch=max_batch)
        tickets = [engine.submit(_request(place), mounts) for place in places]
        engine.run_until_idle()
        return [ticket.result(0)[0].pixels.astype(int) for ticket in tickets]

    alone = draw(list(range(MAX_BATCH)), max_batch=1)
    worst = 0
    for size in sizes:
        places = random.Random(size).sample(range(MAX_BATCH), size)
        for place, pixels in zip(places, draw(places, size), strict=True):
            worst = max(worst, int(np.abs(pixels - alone[place]).max()))
    record_property("observed_maximum_of_255", worst)
    print(f"observed maximum over every slot of batches of {sizes}: {worst}/255")
    assert worst <= 1
