"""The engine on the demo base: batches, seeds, turns, leaving, previews, failures."""

import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
import torch

from textinv.embedding import Embedding
from textinv.errors import (
    BaseModelMismatchError,
    DeadlineError,
    NotReadyError,
    OverloadedError,
    PromptError,
    RequestError,
    UnknownConceptError,
)
from textinv.generation.draw import generate
from textinv.generation.engine import Engine
from textinv.generation.infotext import read_infotext, read_png_infotext
from textinv.generation.request import GenerateRequest, Preview, read_request
from textinv.generation.waiting_line import EngineLimits
from textinv.models import BaseModel
from textinv.models.room import find_knee
from textinv.placeholders import ConceptRef

FROG = ConceptRef("frog-one")


@pytest.fixture(scope="module")
def frog(model: BaseModel) -> Embedding:
    return Embedding({"text_encoder": model.token_rows("text_encoder", "frog")[:1]})


def _request(prompt: str = "a red apple", steps: int = 2, **fields: object) -> GenerateRequest:
    return GenerateRequest(prompt, num_inference_steps=steps, **fields)  # type: ignore[arg-type]


def _differ(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_an_image_of_a_batch_has_its_own_seed(model: BaseModel) -> None:
    three = generate(model, _request(seed=5, num_images=3))
    assert [image.seed for image in three] == [5, 6, 7]
    (alone,) = generate(model, _request(seed=7))
    assert _differ(three[2].pixels, alone.pixels) <= 1
    assert _differ(three[0].pixels, three[1].pixels) > 1


def test_a_newcomer_joins_at_the_next_step_and_those_done_leave(model: BaseModel) -> None:
    engine = Engine(model, max_batch=4)
    long = engine.submit(_request(steps=5))
    engine.step()
    short = engine.submit(_request(steps=2))
    engine.step()
    assert engine.stats.active == 2
    engine.step()
    assert short.done()
    assert not long.done()
    assert engine.stats.active == 1
    engine.run_until_idle()
    assert long.result(0)[0].pixels.shape == (model.native_px, model.native_px, 3)


def test_the_batch_never_holds_more_than_its_limit(model: BaseModel) -> None:
    engine = Engine(model, max_batch=2)
    tickets = [engine.submit(_request(seed=k)) for k in range(5)]
    while engine.step():
        assert engine.stats.active <= 2
    assert all(ticket.done() for ticket in tickets)


def test_sizes_share_the_batch_and_none_starves(model: BaseModel) -> None:
    engine = Engine(model, max_batch=2)
    small = [engine.submit(_request(seed=k, caller="many")) for k in range(6)]
    large = engine.submit(_request(width_px=96, height_px=64, caller="one"))
    finished: list[str] = []
    for ticket in small:
        ticket.add_done_callback(lambda _: finished.append("small"))
    large.add_done_callback(lambda _: finished.append("large"))
    engine.run_until_idle()
    assert large.result(0)[0].pixels.shape == (64, 96, 3)
    assert finished.index("large") < 3


def test_one_who_leaves_costs_at_most_one_more_step(model: BaseModel) -> None:
    engine = Engine(model, max_batch=4)
    leaver, stayer = engine.submit(_request(steps=6)), engine.submit(_request(steps=6))
    engine.step()
    leaver.cancel()
    engine.step()
    assert engine.stats.active == 1
    assert leaver.steps_done <= 2
    engine.run_until_idle()
    assert stayer.result(0)
    with pytest.raises(CancelledError):
        leaver.result(0)


def test_previews_come_every_few_steps_and_approach_the_picture(model: BaseModel) -> None:
    engine = Engine(model, max_batch=4)
    ticket = engine.submit(_request(steps=12, preview_every=4))
    seen: list[Preview] = []
    ticket.on_preview(seen.append)
    engine.run_until_idle()
    assert [(preview.step, preview.num_steps) for preview in seen] == [(4, 12), (8, 12)]
    final = ticket.result(0)[0].pixels.astype(int)
    first, last = (np.abs(preview.pixels.astype(int) - final).mean() for preview in seen)
    assert last < first


def test_a_png_says_how_the_picture_was_made(model: BaseModel, frog: Embedding) -> None:
    request = _request("a <frog-one>, wet", negative_prompt="blue", seed=3, noise_scheduler="Euler a")
    (image,) = generate(model, request, {FROG: frog})
    infotext = read_infotext(read_png_infotext(image.png()) or "")
    assert (infotext.prompt, infotext.negative_prompt) == ("a <frog-one>, wet", "blue")
    assert infotext.settings["Sampler"] == "Euler a"
    assert infotext.settings["Seed"] == "3"
    assert infotext.settings["Model"] == model.id
    assert infotext.concept_hashes == {"frog-one": frog.digest[:12]}


def test_a_picture_is_drawn_again_from_its_own_png(model: BaseModel) -> None:
    request = _request("a (red) frog, wet", negative_prompt="blue", seed=3, noise_scheduler="DPM++ 2M Karras")
    first, second = generate(model, replace(request, num_images=2))
    for image in (first, second):
        (again,) = generate(model, read_request(read_infotext(read_png_infotext(image.png()) or "")))
        assert _differ(again.pixels, image.pixels) <= 1
        assert again.infotext == image.infotext


def test_guidance_one_is_the_conditional_prediction_alone(model: BaseModel) -> None:
    plain = generate(model, _request(guidance_scale=1.0, negative_prompt="a blue cat"))[0].pixels
    assert _differ(plain, generate(model, _request(guidance_scale=1.0))[0].pixels) == 0


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"steps": 0}, "num_inference_steps"),
        ({"steps": -3}, "num_inference_steps"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"num_images": 10_000}, "num_images"),
        ({"width_px": 63}, "width_px"),
        ({"height_px": 8}, "height_px"),
        ({"width_px": 1 << 20}, "size"),
        ({"seed": -1}, "seed"),
        ({"prompt": "nul \0 inside"}, "prompt"),
        ({"prompt": "x" * 1_000_000}, "prompt"),
        ({"noise_scheduler": "Euler z"}, "noise_scheduler"),
        ({"mask": np.zeros((64, 64), np.uint8)}, "mask"),
    ],
)
def test_a_field_out_of_range_is_refused_by_name(model: BaseModel, fields: dict[str, object], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        Engine(model, max_batch=1).submit(_request(**fields))  # type: ignore[arg-type]
    assert caught.value.details["param"] == param


def test_a_concept_that_is_not_mounted_is_refused_by_name(model: BaseModel) -> None:
    with pytest.raises(UnknownConceptError, match="nowhere"):
        Engine(model, max_batch=1).submit(_request("a <nowhere>"))
    with pytest.raises(UnknownConceptError, match="nowhere"):
        Engine(model, max_batch=1).submit(_request(negative_prompt="embedding:nowhere"))


def test_an_embedding_of_another_width_is_refused_with_both_widths(model: BaseModel) -> None:
    with pytest.raises(BaseModelMismatchError, match=r"768.*192"):
        Engine(model, max_batch=1).submit(
            _request("a <frog-one>"), {FROG: Embedding({"text_encoder": torch.zeros(1, 768)})}
        )


def test_a_concept_with_more_vectors_than_the_window_is_refused_with_the_count(model: BaseModel) -> None:
    too_many = Embedding({"text_encoder": torch.zeros(model.window, 192)})
    with pytest.raises(PromptError, match=str(model.window)):
        Engine(model, max_batch=1).submit(_request("a <frog-one>"), {FROG: too_many})


def test_a_concept_whose_rows_run_away_fails_alone(model: BaseModel) -> None:
    engine = Engine(model, max_batch=4)
    huge = Embedding({"text_encoder": torch.full((1, 192), 3e38) * torch.arange(192).remainder(2).sub(0.5)})
    bad = engine.submit(_request("a <frog-one>"), {FROG: huge})
    good = engine.submit(_request())
    engine.run_until_idle()
    with pytest.raises(RequestError, match="not finite") as caught:
        bad.result(0)
    assert caught.value.details["param"] == "guidance_scale"
    assert _differ(good.result(0)[0].pixels, generate(model, _request())[0].pixels) <= 1


def test_a_full_line_refuses_and_says_when_to_come_back(model: BaseModel) -> None:
    engine = Engine(model, max_batch=1, limits=EngineLimits(max_waiting=2))
    accepted = [engine.submit(_request(seed=k)) for k in range(2)]
    with pytest.raises(OverloadedError) as caught:
        engine.submit(_request())
    assert caught.value.details["retry_after_s"] >= 1
    engine.run_until_idle()
    assert all(ticket.result(0) for ticket in accepted)


def test_a_slow_line_refuses_before_it_is_full(model: BaseModel) -> None:
    engine = Engine(model, max_batch=1, limits=EngineLimits(max_wait_s=0.001))
    engine.submit(_request())
    engine.run_until_idle()
    engine.submit(_request(steps=20))
    with pytest.raises(OverloadedError, match="would wait about"):
        engine.submit(_request())


def test_a_line_that_is_slow_by_what_was_measured_refuses_before_the_first_picture(model: BaseModel) -> None:
    engine = Engine(model, max_batch=1, limits=EngineLimits(max_wait_s=0.001))
    engine.warm_up()
    engine.submit(_request(steps=20))
    with pytest.raises(OverloadedError, match="would wait about"):
        engine.submit(_request())


def test_more_pictures_than_may_wait_at_all_are_an_input_error(model: BaseModel) -> None:
    engine = Engine(model, max_batch=1, limits=EngineLimits(max_waiting=2))
    for refuse in (engine.check_room, engine.submit):
        with pytest.raises(RequestError, match="2 at most") as caught:
            refuse(_request(num_images=3))
        assert caught.value.details["param"] == "num_images"


def test_a_deadline_shorter_than_the_drawing_alone_is_an_input_error_at_once(model: BaseModel) -> None:
    engine = Engine(model, max_batch=1)
    engine.submit(_request())
    engine.run_until_idle()
    with pytest.raises(RequestError, match=r"deadline of 0\.001 s") as caught:
        engine.submit(_request(steps=150, deadline_s=0.001))
    assert caught.value.details["param"] == "deadline_s"
    assert engine.submit(_request(deadline_s=600.0)).request.deadline_s == 600.0


@pytest.mark.parametrize("size", [{}, {"width_px": 96, "height_px": 32}, {"width_px": 128, "height_px": 128}], ids=str)
def test_a_deadline_is_judged_before_the_first_picture_and_for_any_size(model: BaseModel, size: dict[str, int]) -> None:
    engine = Engine(model, max_batch=4)
    engine.warm_up()
    for refuse in (engine.check_room, engine.submit):
        with pytest.raises(RequestError, match=r"deadline of 0\.001 s"):
            refuse(_request(steps=150, deadline_s=0.001, **size))
    assert engine.submit(_request(deadline_s=600.0, **size)).request.deadline_s == 600.0
    assert engine.stats.tally.steps == 0


def test_a_deadline_that_only_those_before_make_too_short_says_when_to_come_back(model: BaseModel) -> None:
    engine = Engine(model, max_batch=1)
    engine.warm_up()
    step_s = engine.step_times.known_s[(model.native_px, model.native_px)][1]
    engine.submit(_request(steps=150, num_images=2, caller="a"))
    with pytest.raises(DeadlineError, match="come back later") as caught:
        engine.submit(_request(steps=2, deadline_s=20 * step_s, caller="b"))
    assert caught.value.details["retry_after_s"] >= 1
    with pytest.raises(RequestError, match="drawing alone"):
        engine.submit(_request(steps=100, deadline_s=20 * step_s, caller="b"))
    engine.close()


def test_a_free_place_means_no_wait(model: BaseModel) -> None:
    engine = Engine(model, max_batch=2, limits=EngineLimits(max_wait_s=0.001))
    engine.submit(_request())
    engine.run_until_idle()
    engine.submit(_request(steps=100))
    engine.step()
    assert engine.submit(_request(deadline_s=30.0)).request.deadline_s == 30.0


def test_a_deadline_that_passes_while_waiting_fails_only_its_request(model: BaseModel) -> None:
    engine = Engine(model, max_batch=1)
    first = engine.submit(_request(caller="a"))
    late = engine.submit(_request(caller="b", deadline_s=0.001))
    time.sleep(0.01)
    engine.run_until_idle()
    assert first.result(0)
    with pytest.raises(DeadlineError):
        late.result(0)


@pytest.fixture
def running(model: BaseModel) -> Iterator[Engine]:
    engine = Engine(model, max_batch=4)
    engine.start()
    yield engine
    engine.close()


def test_a_running_engine_draws_what_is_submitted_from_any_thread(running: Engine) -> None:
    tickets = [running.submit(_request(seed=k)) for k in range(3)]
    assert [ticket.result(60)[0].seed for ticket in tickets] == [0, 1, 2]


def test_a_draining_engine_finishes_what_it_has_and_takes_nothing_new(running: Engine) -> None:
    tickets = [running.submit(_request(seed=k)) for k in range(6)]
    assert running.drain(60)
    assert all(ticket.result(0) for ticket in tickets)
    with pytest.raises(NotReadyError):
        running.submit(_request())


def test_a_closed_engine_takes_nothing_and_gives_up_what_it_has(model: BaseModel) -> None:
    engine = Engine(model, max_batch=1)
    ticket = engine.submit(_request(steps=100))
    engine.step()
    engine.close()
    with pytest.raises(NotReadyError):
        engine.submit(_request())
    with pytest.raises(Exception, match="closed"):
        ticket.result(0)


def test_the_knee_is_measured_by_size_and_other_sizes_are_judged_by_their_area(model: BaseModel) -> None:
    engine = Engine(model)
    engine.submit(_request())
    engine.run_until_idle()
    native = (model.native_px, model.native_px)
    knee = engine.step_times.batch_limit(native)
    assert knee == find_knee(engine.step_times.known_s[native])
    assert engine.step_times.batch_limit((2 * native[0], 2 * native[1])) == max(knee // 4, 1)
    assert engine.step_times.batch_limit((native[0] // 2, native[1])) == knee * 2


def test_room_that_was_reserved_is_counted_once_and_given_back_when_entering_fails(model: BaseModel) -> None:
    engine = Engine(model, max_batch=1, limits=EngineLimits(max_waiting=4))
    three, unknown = (engine.check_room(one) for one in (_request(num_images=3), _request("a <nowhere>")))
    engine.reserve(three)
    with pytest.raises(OverloadedError, match="3 pictures wait and 4 may"):
        engine.check_room(_request(num_images=2))
    engine.enter(three, {})
    assert engine.outlook()[0] == 3
    engine.reserve(unknown)
    assert engine.outlook()[0] == 4
    with pytest.raises(UnknownConceptError):
        engine.enter(unknown, {})
    assert engine.outlook()[0] == 3
    engine.reserve(unknown)
    engine.close()
    with pytest.raises(NotReadyError):
        engine.submit(_request())
    assert engine.outlook()[0] == 1
