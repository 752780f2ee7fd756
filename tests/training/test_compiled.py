"""Packs over a compiled UNet."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from textinv.models.base import BaseModel
from textinv.models.compiled import compiled
from textinv.training import Work
from textinv.training.train import learn


class Captured:
    """A backend that runs what was captured as it is: what compilers change in it is not to be seen on a CPU."""

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def __call__(self, graph: GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        """Take a captured graph for pictures of one batch size."""
        self.batch_sizes.append(next(len(each) for each in inputs if each.dtype == torch.int64))  # timesteps
        return graph.forward


@pytest.mark.load
def test_a_compiled_unet_learns_the_same_rows(tiny: BaseModel, works: Callable[..., Work]) -> None:
    torch.compiler.reset()
    batch = [works("one", max_steps=6, samples_per_step=3), works("two", "teal", max_steps=3, samples_per_step=1)]
    seen = Captured()
    plain, found = (learn(model, batch, num_slots=2).concepts for model in (tiny, compiled(tiny, seen)))
    assert sorted(seen.batch_sizes) == [3, 4, 8, 16]  # the tail, both, a look of one and of both: each compiled once
    for name in ("one", "two"):
        rows, expected = (each[name].embedding.rows["text_encoder"] for each in (found, plain))
        assert torch.allclose(rows, expected, rtol=1e-5, atol=1e-7)
        assert found[name].record["trace"] == plain[name].record["trace"]
