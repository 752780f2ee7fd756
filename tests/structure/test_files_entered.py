"""How many of our files a reader has to open to follow the two things that this project does."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tests.models.tiny_bases import make_base
from textinv.embedding import Embedding
from textinv.generation import Engine, GenerateRequest
from textinv.models import load_base_model
from textinv.placeholders import ConceptRef

ROOT = Path(__file__).resolve().parents[2]


def files_entered(work: Callable[[], object]) -> set[str]:
    """The files of ours in which any function is called during some work."""
    entered = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(f"{ROOT}/textinv/"):
            entered.add(frame.f_code.co_filename.removeprefix(f"{ROOT}/"))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return entered


def test_one_draw_from_submit_to_its_png_goes_through_twelve_files_at_most(tmp_path: Path) -> None:
    model = load_base_model(str(make_base("sd1", tmp_path)), device="cpu", dtype="float32")
    fox = Embedding({"text_encoder": model.token_rows("text_encoder", "fox")[:1]})
    assert fox.digest  # as of one that was stored, it is known beforehand
    engine = Engine(model, max_batch=2)
    request = GenerateRequest("a photo of <my-fox>", negative_prompt="a cup", num_inference_steps=2)

    def draw() -> None:
        ticket = engine.submit(request, {ConceptRef("my-fox"): fox})
        engine.run_until_idle()
        assert ticket.result(0)[0].png()

    entered = files_entered(draw)
    assert "textinv/generation/engine.py" in entered
    assert len(entered) <= 12, sorted(entered)
