"""How many files of ours a reader has open who follows one call with a finger."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
import torch

from tests.models.tiny_bases import make_base
from tests.training.conftest import make_work
from textinv.embedding import Embedding
from textinv.generation import Engine, GenerateRequest
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.training import ConceptPack

ROOT = Path(__file__).resolve().parents[2]


def files_entered(call: Callable[[], object]) -> set[str]:
    """The files of textinv in which a function was called meanwhile."""
    entered: set[str] = set()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            entered.add(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(before)
    ours = ROOT / "textinv"
    return {str(Path(name).relative_to(ROOT)) for name in entered if Path(name).is_relative_to(ours)}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    torch.set_num_threads(1)
    return load_base_model(str(make_base("sd1", tmp_path_factory.mktemp("tiny"))), device="cpu", dtype="float32")


def test_a_step_of_a_pack_enters_at_most_nine_files(tiny: BaseModel) -> None:
    pack = ConceptPack(tiny, 2)
    pack.add(make_work("plain", resolution_px=32))
    pack.add(make_work("all", "teal", resolution_px=32, context_weight=0.1, flip=True, num_vectors=2))
    pack.step()  # the first one after a slot was filled joins what all slots have
    entered = files_entered(pack.step)
    assert "textinv/training/pack.py" in entered
    assert len(entered) <= 9, sorted(entered)


def test_one_draw_from_submit_to_its_png_enters_at_most_twelve_files(tiny: BaseModel) -> None:
    fox = Embedding({"text_encoder": tiny.token_rows("text_encoder", "fox")[:1]})
    assert fox.digest  # of a concept that was stored it is known beforehand
    engine = Engine(tiny, max_batch=2)
    request = GenerateRequest("a photo of <my-fox>", negative_prompt="a cup", num_inference_steps=2)

    def draw() -> None:
        ticket = engine.submit(request, {ConceptRef("my-fox"): fox})
        engine.run_until_idle()
        assert ticket.result(0)[0].png()

    entered = files_entered(draw)
    assert "textinv/generation/engine.py" in entered
    assert len(entered) <= 12, sorted(entered)
