"""What a packed step costs beside a bare one; the benchmark times both on the same batch, whatever its concepts are."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from textinv.models import BaseModel
from textinv.plan.resolve import BaseFacts
from textinv.training import ConceptPack

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))


class Operations(TorchDispatchMode):
    """Counts what torch is asked to do; on a GPU each is a launch that the step waits for."""

    count = 0

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return call(*args, **(kwargs or {}))


def operations(work: Callable[[], object]) -> int:
    with Operations() as counted:
        work()
    return counted.count


def test_a_packed_step_asks_for_hardly_more_operations_than_a_bare_one(model: BaseModel) -> None:
    from train_concepts import chosen_concepts, works_of
    from train_step import bare_step, whole_batch

    facts = BaseFacts(model.revision, model.native_px)
    pack = ConceptPack(model, 8)
    for work in works_of(chosen_concepts(8), {"samples_per_step": 1}, 0, facts):
        pack.add(work)
    num_vectors = max(slot.spec.num_vectors for slot in pack.slots)
    pool = pack.pool
    batch = whole_batch(model, pool, pack.slots)
    pack.step()  # the first one after a slot was filled joins what all slots have
    bare = operations(lambda: bare_step(model, pool, batch, 8 * num_vectors))
    assert bare < operations(pack.step) < 1.1 * bare


def test_concepts_of_one_and_of_several_vectors_are_timed_in_one_pack(
    model: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train_concepts import chosen_concepts, works_of
    from train_step import step_costs

    facts = BaseFacts(model.revision, model.native_px)
    works = [
        works_of([concept], {"num_vectors": count, "samples_per_step": 1}, 0, facts)[0]
        for concept, count in zip(chosen_concepts(3), (4, 1, 2), strict=True)
    ]
    trained_on: list[tuple[int, ...]] = []
    predict = model.predict

    def watched(noisy: torch.Tensor, *arguments: Any, **extras: Any) -> torch.Tensor:
        if torch.is_grad_enabled():
            trained_on.append(tuple(noisy.shape))
        return predict(noisy, *arguments, **extras)

    monkeypatch.setattr(model, "predict", watched)
    costs = step_costs(model, works, repeats=2)
    assert set(costs) == {"packed", "split", "bare", "unet", "look"}
    assert min(costs.values()) > 0
    packed, *halves, bare, unet = trained_on[:5]
    assert packed == bare == unet
    assert [half[0] for half in halves] == [2, 1], "of three samples"
