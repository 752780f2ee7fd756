"""What only a GPU can show: its rows are the CPU's, a step never waits for it, and packing pays."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from train_step import step_costs

from textinv.models.base import BaseModel
from textinv.models.compiled import compiled
from textinv.training import ConceptPack, Work
from textinv.training.capacity import choose_capacity
from textinv.training.train import learn

pytestmark = pytest.mark.gpu
MakeWorks = Callable[[BaseModel, int], list[Work]]
STEPS = 20
MIN_COSINE = {"float32": 0.999, "compiled": 0.999, "bfloat16": 0.97}
"""Stated tolerance: cosine between the rows of the CPU and those of the GPU after 20 steps of the sphere method."""


def rows_after(model: BaseModel, works: Sequence[Work]) -> list[Tensor]:
    """Rows of every concept after `STEPS` steps."""
    short = [
        Work(work.spec.model_copy(update={"max_steps": STEPS, "min_steps": STEPS}), work.pictures) for work in works
    ]
    learned = learn(model, short, num_slots=len(short))
    return [learned.concepts[work.spec.name].embedding.rows["text_encoder"] for work in short]


@pytest.mark.parametrize("precision", ["float32", "compiled", "bfloat16"])
def test_the_gpu_gives_the_rows_of_the_cpu(
    precision: str, on_cpu: BaseModel, on_gpu: BaseModel, in_bf16: BaseModel, works: MakeWorks, figures: dict[str, Any]
) -> None:
    model = {"float32": on_gpu, "compiled": compiled(on_gpu), "bfloat16": in_bf16}[precision]
    expected, found = rows_after(on_cpu, works(on_cpu, 4)), rows_after(model, works(model, 4))
    pairs = zip(expected, found, strict=True)
    cosines = [torch.nn.functional.cosine_similarity(a, b).min().item() for a, b in pairs]  # of the worst row
    figures[f"cosine of rows to the CPU's, {precision}"] = cosines
    assert min(cosines) > MIN_COSINE[precision]
    assert all(rows.dtype == torch.float32 for rows in found)


def test_nothing_waits_for_the_device_within_a_step(on_gpu: BaseModel, works: MakeWorks) -> None:
    pack = ConceptPack(on_gpu, 4)
    for work in works(on_gpu, 4):
        pack.add(work)
    pack.step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        pack.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("num_slots", [1, 8, 32, 128])
def test_packs_of_every_size_learn_and_a_packed_step_costs_little_more_than_a_bare_one(
    num_slots: int, in_bf16: BaseModel, works: MakeWorks, figures: dict[str, Any]
) -> None:
    costs = step_costs(in_bf16, works(in_bf16, num_slots), repeats=12)
    samples = 4 * num_slots
    figures[f"demo base, {num_slots} slots"] = {
        **{f"{name}, s": seconds for name, seconds in costs.items()},
        "samples per second": samples / costs["packed"],
        "packed / bare": costs["packed"] / costs["bare"],
    }
    assert num_slots < 32 or costs["packed"] < 1.10 * costs["bare"]


def test_stable_diffusions_size_at_512_px(large: BaseModel, works: MakeWorks, figures: dict[str, Any]) -> None:
    (work,) = works(large, 1)
    spec = work.spec.model_copy(update={"resolution_px": 512, "num_vectors": 1})
    memory = []
    for num_slots in (1, 4):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        costs = step_costs(large, [Work(spec, work.pictures)] * num_slots, repeats=5)
        memory.append(torch.cuda.max_memory_allocated())
    capacity = choose_capacity(large, "auto", 512)
    chosen = capacity.slots_of(spec.samples_per_step)
    bytes_per_slot = (memory[1] - memory[0]) // 3
    torch.cuda.empty_cache()
    fit = int(torch.cuda.mem_get_info()[0] // bytes_per_slot)
    figures["SD1 size, 512 px"] = {
        "bytes per added slot": bytes_per_slot,
        "slots that fit": fit,
        "samples of a forward at the knee": capacity.knee,
        "slots that were chosen": chosen,
        "samples per second by samples of a forward": dict(capacity.samples_per_s),
        "packed / bare, 4 slots": costs["packed"] / costs["bare"],
    }
    assert memory[0] < memory[1]
    assert 1 <= chosen <= fit
