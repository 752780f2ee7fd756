"""What a text encoder says that does not learn is heard once, and it leaves the device; so does the VAE."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fixtures.heavy import heavy
from tests.models.tiny_bases import make_base
from tests.models.transformer_bases import SIDE, make_transformer_base
from textinv.generation import GenerateRequest
from textinv.generation.draw import generate
from textinv.models import BaseModel, load_base_model
from textinv.models.seat import Seat
from textinv.placeholders import ConceptRef
from textinv.training import ConceptPack, Work, opening
from textinv.training.train import learn

Works = Callable[..., Work]
LEARNING = {"sdxl": ("text_encoder_2",), "sd3": ("clip_l", "clip_g"), "flux-dev": ("clip_l",)}
APART = "cpu:0"
"""Another device than the CPU by its name, so that parts come and go; there is one memory all the same."""


def base_of(family: str, folder: Path, device: str = "cpu") -> BaseModel:
    if not folder.exists():
        (make_transformer_base if family in SIDE else make_base)(family, folder)
    return load_base_model(str(folder), device=device, dtype="float32")


def calls_of(model: Any, encoder: str) -> list[int]:
    """How many texts it is asked for, at each call from now on."""
    asked: list[int] = []
    model._encoders[encoder].network.register_forward_pre_hook(
        lambda _, __, given: asked.append(len(given["input_ids"])), with_kwargs=True
    )
    return asked


@pytest.mark.parametrize("family", ["sdxl", *heavy(["sd3", "flux-dev"])])
def test_rows_are_those_of_an_encoder_that_is_asked_at_each_step(
    family: str, tmp_path: Path, works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = base_of(family, tmp_path / "base")
    work = works("fox", init="fox", resolution_px=SIDE.get(family, 32), max_steps=4, encoders=LEARNING[family])
    heard = learn(model, [work], num_slots=1).concepts["fox"].embedding.rows
    monkeypatch.setattr(opening, "hear_captions", lambda *_: {})
    asked = learn(model, [work], num_slots=1).concepts["fox"].embedding.rows
    assert heard.keys() == asked.keys() == set(model.encoder_names)
    for name, rows_ND in asked.items():
        assert torch.allclose(heard[name], rows_ND, rtol=1e-4, atol=1e-6), name


def test_it_is_asked_once_for_each_caption_until_a_neighbour_learns_it(tmp_path: Path, works: Works) -> None:
    model = base_of("sdxl", tmp_path / "base")
    asked, both = calls_of(model, "text_encoder"), ConceptPack(model, 2)
    slot = both.add(works("fox", init="fox", resolution_px=32, context_weight=0.1, encoders=LEARNING["sdxl"]))
    assert sum(asked) >= slot.num_captions
    asked.clear()
    both.step()
    both.look()
    assert not asked
    both.add(works("cup", "teal", init="cup", resolution_px=32))
    both.step()
    assert asked, "of the neighbour's rows it has not heard yet"


def test_what_nobody_needs_leaves_the_device_and_comes_back_when_it_is_asked(tmp_path: Path, works: Works) -> None:
    work = works("fox", init="fox", resolution_px=32, max_steps=4, encoders=LEARNING["sdxl"])
    wanted = learn(base_of("sdxl", tmp_path / "base"), [work], num_slots=1).concepts["fox"].embedding
    model: Any = base_of("sdxl", tmp_path / "base", APART)
    alone = ConceptPack(model, 2)
    alone.add(work)
    alone.step()
    assert at_home(model) == {"text_encoder_2"}
    request = GenerateRequest("a <fox>", width_px=32, height_px=32, num_inference_steps=2)
    assert len(generate(model, request, {ConceptRef("fox"): wanted})) == 1
    assert at_home(model) == {"text_encoder", "text_encoder_2", "vae"}
    alone.step()
    assert at_home(model) == {"text_encoder_2"}
    alone.add(works("cup", "teal", init="cup", resolution_px=32))
    alone.step()
    assert at_home(model) == {"text_encoder", "text_encoder_2"}, "the cup learns both"
    found = learn(model, [work], num_slots=1).concepts["fox"].embedding
    for name, rows_ND in wanted.rows.items():
        assert torch.allclose(found.rows[name], rows_ND, rtol=1e-4, atol=1e-6)


def at_home(model: Any) -> set[str]:
    return {name for name, seat in model._seats.items() if seat.is_home}


def test_on_a_cpu_nothing_moves(tmp_path: Path) -> None:
    model: Any = base_of("sdxl", tmp_path / "base")
    model.put_aside([])
    assert not model._seats


class Moving(torch.nn.Linear):
    """Counts where it is sent."""

    def to(self, *args: Any, **kwargs: Any) -> "Moving":  # type: ignore[override]
        self.sent = [*getattr(self, "sent", []), str(args[0])]
        return super().to(*args, **kwargs)


def test_a_part_in_use_stays_and_is_moved_no_more_often_than_needed() -> None:
    part = Moving(2, 2)
    seat = Seat(part, torch.device(APART))
    with seat.used():
        leaving = threading.Thread(target=seat.leave)
        leaving.start()
        leaving.join()
        assert seat.is_home
    seat.leave()
    seat.leave()
    for _ in range(2):
        with seat.used(), seat.used():
            assert seat.is_home
    assert part.sent == ["cpu", APART]
