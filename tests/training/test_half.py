"""Rows learn through a model in float16 as they do in float32."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from tests.models.tiny_bases import make_base
from textinv.models import load_base_model
from textinv.training import ConceptPack, Work
from textinv.training.checkpoint import Checkpoint
from textinv.training.rows import FIRST_LOSS_SCALE, LOSS_SCALE, gradients_of
from textinv.training.train import learn


def test_gradients_too_small_for_float16_arrive() -> None:
    rows = {"encoder": torch.ones(1, 1, 4, requires_grad=True)}
    tiny = 1e-8

    def through_half() -> torch.Tensor:
        """A gradient of 1e-8, which float16 has not, passes a place in float16."""
        return (rows["encoder"].half().float() * tiny).sum()[None]

    lost = gradients_of(through_half(), rows, None)["encoder"]
    kept = gradients_of(through_half(), rows, torch.tensor([FIRST_LOSS_SCALE]))["encoder"]
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


def test_an_overflow_skips_the_step_of_its_own_slot_and_lowers_its_scale_only(
    tmp_path: Path, works: Callable[..., Work]
) -> None:
    model = load_base_model(str(make_base("sd1", tmp_path / "base")), device="cpu", dtype="float16")
    pack = ConceptPack(model, 2)
    calm, wild = (pack.add(works(name, seed=seed, resolution_px=32)) for seed, name in enumerate(("calm", "wild")))
    before = Checkpoint.from_bytes(pack.checkpoint(calm)).tensors
    scaled = {**Checkpoint.from_bytes(pack.checkpoint(wild)).tensors, LOSS_SCALE: torch.tensor([2.0**40, 7.0])}
    pack.remove(wild)
    checkpoint = Checkpoint(wild.spec.fingerprint, wild.counters(), scaled).to_bytes()
    wild = pack.add(replace(wild.work, checkpoint=checkpoint))
    pack.step()
    calm_after, wild_after = (Checkpoint.from_bytes(pack.checkpoint(slot)).tensors for slot in (calm, wild))
    assert torch.equal(wild_after["rows.text_encoder"], scaled["rows.text_encoder"])
    assert wild_after[LOSS_SCALE].tolist() == [2.0**39, 0]
    assert not torch.equal(calm_after["rows.text_encoder"], before["rows.text_encoder"])
    assert calm_after[LOSS_SCALE].tolist() == [FIRST_LOSS_SCALE, 1]
