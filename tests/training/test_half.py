"""Rows learn through a model in float16 as they do in float32."""

from collections.abc import Callable
from pathlib import Path

import torch

from tests.models.tiny_bases import make_base
from textinv.models import load_base_model
from textinv.training import Work
from textinv.training.pack import gradients_of
from textinv.training.train import learn


def test_gradients_too_small_for_float16_arrive() -> None:
    rows = {"encoder": torch.ones(1, 1, 4, requires_grad=True)}
    tiny = 1e-8

    def through_half() -> torch.Tensor:
        """A gradient of 1e-8, which float16 has not, passes a place in float16."""
        return (rows["encoder"].half().float() * tiny).sum()

    lost = gradients_of(through_half(), rows, half=False)["encoder"]
    kept = gradients_of(through_half(), rows, half=True)["encoder"]
    assert not lost.any()
    assert torch.allclose(kept, torch.full_like(kept, tiny), rtol=0.01)


def test_a_model_in_float16_learns_what_it_learns_in_float32(tmp_path: Path, works: Callable[..., Work]) -> None:
    folder = str(make_base("sd1", tmp_path / "base"))
    rows = {}
    for dtype in ("float32", "float16"):
        model = load_base_model(folder, device="cpu", dtype=dtype)
        work = works("fox", init="fox", resolution_px=32, num_vectors=2, max_steps=10)
        rows[dtype] = learn(model, [work], num_slots=1).concepts["fox"].embedding.rows["text_encoder"]
    assert rows["float16"].dtype == torch.float32
    assert torch.cosine_similarity(rows["float16"], rows["float32"], dim=-1).min() > 0.99
