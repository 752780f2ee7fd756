"""A running engine among many callers who come, leave and err, each from a thread of its own."""

import random
import threading
from concurrent.futures import CancelledError

import numpy as np

from textinv.embedding import Embedding
from textinv.errors import InputError
from textinv.generation.engine import Engine
from textinv.generation.request import GeneratedImage, GenerateRequest
from textinv.models import BaseModel
from textinv.placeholders import ConceptRef

NUM_CALLERS = 6
THING = ConceptRef("my-thing")


def _request(draw: random.Random, caller: int) -> GenerateRequest:
    return GenerateRequest(
        draw.choice(["a red apple", "a <my-thing>", "apple " * 40, "a <nowhere>"]),
        num_inference_steps=draw.randint(1, 3),
        guidance_scale=draw.choice([1.0, 4.0]),
        seed=draw.randint(0, 99),
        noise_scheduler=draw.choice(["ddim", "euler-a", "unipc", None]),
        num_images=draw.randint(1, 2),
        width_px=draw.choice([None, 48]),
        caller=f"caller-{caller}",
    )


def test_every_request_ends_and_every_picture_is_what_it_would_be_alone(model: BaseModel) -> None:
    mounts = {THING: Embedding({"text_encoder": model.token_rows("text_encoder", "frog")[:1]})}
    engine = Engine(model, max_batch=5)
    drawn: list[GeneratedImage] = []
    ends = {"drawn": 0, "left": 0, "refused": 0}

    def call(caller: int) -> None:
        draw = random.Random(caller)
        for _ in range(4):
            try:
                ticket = engine.submit(_request(draw, caller), mounts)
                if draw.random() < 0.3:
                    ticket.cancel()
                drawn.extend(ticket.result(120))
                ends["drawn"] += 1
            except CancelledError:
                ends["left"] += 1
            except InputError:
                ends["refused"] += 1

    callers = [threading.Thread(target=call, args=(number,)) for number in range(NUM_CALLERS)]
    engine.start()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert engine.drain(60)
    engine.close()
    assert sum(ends.values()) == NUM_CALLERS * 4
    assert min(ends.values()) > 0
    for image in random.Random(0).sample(drawn, 4):
        alone = Engine(model, max_batch=1)
        ticket = alone.submit(image.request, mounts)
        alone.run_until_idle()
        same = ticket.result(0)[image.seed - image.request.seed]
        assert np.abs(same.pixels.astype(int) - image.pixels.astype(int)).max() <= 1
