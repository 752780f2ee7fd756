"""What the benchmark times beside a packed step is the same batch, whatever its concepts are."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from textinv.demo import WEIGHTS
from textinv.models import load_base_model
from textinv.plan.base import BaseFacts

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))


def test_concepts_of_one_and_of_several_vectors_are_timed_in_one_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    from train_concepts import chosen_concepts, works_of
    from train_step import step_costs

    model = load_base_model(str(WEIGHTS), device="cpu", dtype="float32")
    facts = BaseFacts(model.revision, model.native_px)
    works = [
        works_of([concept], {"num_vectors": count, "samples_per_step": 1}, 0, facts)[0]
        for concept, count in zip(chosen_concepts(3), (4, 1, 2), strict=True)
    ]
    trained_on: list[tuple[int, ...]] = []
    predict = model.predict

    def watched(noisy: torch.Tensor, *arguments: Any) -> torch.Tensor:
        if torch.is_grad_enabled():
            trained_on.append(tuple(noisy.shape))
        return predict(noisy, *arguments)

    monkeypatch.setattr(model, "predict", watched)
    costs = step_costs(model, works, repeats=2)
    assert set(costs) == {"packed", "bare", "unet", "look"}
    assert min(costs.values()) > 0
    packed, bare, unet = trained_on[:3]
    assert packed == bare == unet
