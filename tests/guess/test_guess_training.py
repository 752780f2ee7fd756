"""Training a guess: through any base model, from where it was left off, and only what is better is published."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.guess.small_guess import small_shape
from tests.models.tiny_bases import make_base
from textinv.errors import CorruptObjectError
from textinv.guess import measuring
from textinv.guess.guess import shape_of
from textinv.guess.measuring import HELD_OUT_SHARE, HeldOut, at_least, halves, is_held_out
from textinv.guess.network import GuessNetwork
from textinv.guess.running import Run
from textinv.guess.training import Example, GuessTraining, Settings, encode_example, guessed, losses_of
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import own_encoder
from textinv.spec import Kind

LOOKS = 12
SETTINGS = Settings(num_steps=4, concepts_per_step=2, warm_up=1)


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return load_base_model(str(make_base("sdxl", tmp_path_factory.mktemp("xl"))), device="cpu", dtype="float32")


def example(model: BaseModel, number: int, num_pictures: int = 3) -> Example:
    """A concept that nobody has ever seen."""
    generator = torch.Generator().manual_seed(number)
    side = model.native_px // model.latent_scale
    latents = torch.randn(num_pictures, model.latent_channels, side, side, generator=generator)
    looks = torch.randn(num_pictures, 4, LOOKS, generator=generator)
    captions = [["a {}", "a photo of a {} at home"]] * num_pictures
    return Example("object", looks, latents, 0.1 * torch.ones_like(latents), captions)


def training(model: BaseModel) -> GuessTraining:
    torch.manual_seed(0)
    network = GuessNetwork(small_shape(model, LOOKS))
    return GuessTraining(model, network, lambda step, rng: example(model, rng.randrange(5)), SETTINGS)


def test_a_step_moves_the_rows_of_every_text_encoder_and_leaves_the_base_model(sdxl: BaseModel) -> None:
    trained = training(sdxl)
    before = {name: value.clone() for name, value in trained.network.state_dict().items()}
    vocabulary = sdxl.vocabulary("text_encoder").clone()
    assert trained.advance() > 0
    moved = {name for name, value in trained.network.state_dict().items() if not torch.equal(value, before[name])}
    assert {f"rows.{name}.weight" for name in sdxl.encoder_names} <= moved
    assert len(sdxl.encoder_names) == 2
    assert torch.equal(vocabulary, sdxl.vocabulary("text_encoder"))


def test_the_first_steps_copy_rows_that_are_known_and_do_not_ask_the_base_model(
    sdxl: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {name: torch.randn(3, width) for name, width in sdxl.encoder_widths.items()}
    concepts = [replace(example(sdxl, number), known=known if number else None) for number in range(2)]
    torch.manual_seed(0)
    settings = Settings(num_steps=30, copying=30, concepts_per_step=8, warm_up=1, learning_rate=0.01, vectors=(3,))
    trained = GuessTraining(
        sdxl, GuessNetwork(small_shape(sdxl, LOOKS)), lambda step, rng: concepts[rng.randrange(2)], settings
    )
    monkeypatch.setattr(sdxl, "predict", lambda *_: pytest.fail("the base model was asked"))
    losses = [trained.advance() for _ in range(30)]
    with torch.no_grad():
        rows = guessed(trained.network, [concepts[1]], [[0, 1]], 3)
    assert losses[0] > 0.5 > 4 * losses[-1]
    for name, theirs in known.items():
        assert float(torch.cosine_similarity(rows[name][0], theirs, dim=-1).min()) > 0.8


def test_where_no_rows_are_known_the_first_steps_are_like_all_others(sdxl: BaseModel) -> None:
    trained, copying = training(sdxl), training(sdxl)
    copying.settings = replace(SETTINGS, copying=4)
    assert [copying.advance() for _ in range(2)] == [trained.advance() for _ in range(2)]


def test_a_training_that_was_left_off_goes_on_as_if_it_had_not_been(sdxl: BaseModel) -> None:
    straight, begun = training(sdxl), training(sdxl)
    losses = [straight.advance() for _ in range(4)]
    assert [begun.advance() for _ in range(2)] == losses[:2]
    resumed = training(sdxl)
    resumed.resume(begun.to_bytes())
    assert [resumed.advance() for _ in range(2)] == losses[2:]
    assert resumed.is_over
    for name, value in straight.averaged().state_dict().items():
        assert torch.equal(value, resumed.averaged().state_dict()[name])


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_state_that_is_cut_off_is_named_with_what_to_do(sdxl: BaseModel, tmp_path: Path, share: float) -> None:
    whole, state = training(sdxl).to_bytes(), tmp_path / "state.pt"
    state.write_bytes(whole[: int(share * len(whole))] or b"no state")
    with pytest.raises(CorruptObjectError, match=r"state\.pt cannot be read: remove it to begin anew"):
        Run(training(sdxl), state)


def test_losses_of_concepts_do_not_depend_on_the_rows_of_their_neighbours(sdxl: BaseModel) -> None:
    examples = [example(sdxl, number) for number in range(2)]
    rows = {name: torch.randn(2, 3, width) for name, width in sdxl.encoder_widths.items()}
    others = {name: torch.cat([each[:1], -each[1:]]) for name, each in rows.items()}

    def losses(of: dict[str, torch.Tensor]) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return losses_of(sdxl, examples, [0, 1], ["a {}", "two {}"], of, (300, 1000), generator)

    one, other = losses(rows), losses(others)
    assert one[0].item() == pytest.approx(other[0].item(), rel=1e-4)
    assert one[1].item() != pytest.approx(other[1].item(), rel=1e-4)


def test_the_same_concepts_are_held_out_each_time_about_as_many_as_are_asked_for() -> None:
    names = [f"concept-{number}" for number in range(2000)]
    held_out = [name for name in names if is_held_out(name)]
    assert held_out == [name for name in names if is_held_out(name)]
    assert len(held_out) / len(names) == pytest.approx(HELD_OUT_SHARE, abs=0.03)


def test_pictures_that_rows_have_to_explain_are_not_those_that_were_looked_at() -> None:
    assert halves(12) == ([0, 1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11])
    assert halves(3) == ([0], [1, 2])
    assert halves(1) == ([0], [0])


def test_a_fall_counts_where_it_is_beyond_chance() -> None:
    rng = random.Random(0)
    words = [rng.uniform(0.3, 0.6) for _ in range(20)]
    assert at_least(words, [loss - 0.02 for loss in words]) == pytest.approx(0.02)
    assert at_least(words, [loss + rng.uniform(-0.05, 0.05) for loss in words]) < 0
    assert at_least(words, [loss - 0.02 + rng.uniform(-0.01, 0.01) for loss in words]) > 0


def test_a_guess_is_measured_for_each_kind_by_itself(emoji: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four objects all rows are right, of two styles all are wrong: better for objects, and worth publishing."""
    encoder = own_encoder(emoji)
    pictures = [np.full((64, 64, 3), 60 * at, np.uint8) for at in range(4)]
    kinds: list[Kind] = ["style", "object", "object", "style", "object", "object"]
    concepts = [
        HeldOut(str(at), encode_example(emoji, encoder, kind, pictures, [["a {}"]] * 4), pictures)
        for at, kind in enumerate(kinds)
    ]
    network = GuessNetwork(shape_of(emoji, encoder.looks(pictures[:1]).shape[-1]))
    right = {"object": (0.3, 0.7), "style": (0.6, 0.2)}

    def told(place: int) -> Callable[..., float]:
        figures: dict[str, list[float]] = {}

        def figure(*given: object) -> float:
            concept = next(one for one in given if isinstance(one, HeldOut))
            order = figures.setdefault(concept.name, [right[concept.example.kind][place], 0.4])
            return order.pop(0)

        return figure

    monkeypatch.setattr(measuring, "loss_on_unseen", told(0))
    monkeypatch.setattr(measuring, "likeness", told(1))
    worth = measuring.measure(emoji, encoder, network, concepts)
    assert {kind: one["is_better"] for kind, one in worth["kinds"].items()} == {"object": True, "style": False}
    assert worth["kinds"]["object"]["loss"] == {"guess": 0.3, "words": 0.4}
    assert worth["kinds"]["style"]["likeness"] == {"guess": 0.2, "words": 0.4}
    assert (worth["concepts"], worth["is_better"]) == (6, True)
    assert worth["each"]["0"] == [0.6, 0.4]
