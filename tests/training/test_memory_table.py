"""The table of memory is counted, and what is counted is what autograd keeps."""

import weakref
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from torch import Tensor

from tests.benchmarks.memory import counted, fresh_rows, held_of, loss_of, weight_bytes
from tests.models.tiny_bases import make_base
from tests.models.transformer_bases import SIDE, make_transformer_base
from textinv.models import load_base_model
from textinv.models.base import BaseModel

pytestmark = pytest.mark.load
FAMILIES = ["sd1", "sdxl", "sd3", "sana", "pixart", "flux-dev", "z-image"]


Counted = tuple[BaseModel, tuple[int, int], int]


@pytest.fixture(scope="module")
def apart() -> Iterator[Executor]:
    """A process for counting without numbers, after which torch is not what it was."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module", params=FAMILIES)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, apart: Executor) -> Counted:
    """A tiny base with numbers, what is counted of the same one without, and the side of its pictures."""
    family = request.param
    folder, side_px = tmp_path_factory.mktemp("table") / family, SIDE.get(family, 32)
    (make_transformer_base if family in SIDE else make_base)(family, folder)
    model = load_base_model(str(folder), device="cpu", dtype="float32")
    return model, apart.submit(counted, str(folder), side_px).result(300), side_px


def test_what_is_counted_of_a_forward_is_what_autograd_saves(base: Counted) -> None:
    """Torch itself says what it saves; rows and weights, which are there in any case, are left out."""
    model, (now, _), side_px = base
    rows, saved = fresh_rows(model), dict[int, weakref.ref[torch.UntypedStorage]]()
    there = [*rows.values(), *(one for part in parts_of(model) for one in (*part.parameters(), *part.buffers()))]
    known = {each.untyped_storage()._cdata for each in there}

    def look(tensor: Tensor) -> Tensor:
        if (storage := tensor.untyped_storage())._cdata not in known:
            saved[storage._cdata] = weakref.ref(storage)  # what leads to no loss is let go
        return tensor.detach()  # or results hold themselves

    with torch.autograd.graph.saved_tensors_hooks(look, lambda tensor: tensor):
        loss = loss_of(model, side_px, rows)
    told = sum(storage.nbytes() for each in saved.values() if (storage := each()) is not None)
    assert loss.isfinite()
    assert now == pytest.approx(told, rel=0.005)  # Z-Image hears 25 words, and 32 are counted


def test_the_most_at_once_is_that_of_a_step_with_numbers(base: Counted) -> None:
    model, (_, most), side_px = base
    assert most == pytest.approx(held_of(model, side_px).most, rel=0.05)


def parts_of(model: BaseModel) -> list[torch.nn.Module]:
    networks = [encoder.network for encoder in model._encoders.values()]  # type: ignore[attr-defined]
    return [model._network, *networks]  # type: ignore[attr-defined]


def test_int8_halves_linear_layers_and_adds_a_scale_for_each_output() -> None:
    part = torch.nn.Sequential(torch.nn.Linear(10, 4), torch.nn.Conv2d(3, 2, 1))
    assert weight_bytes([part]) == 2 * (44 + 8)
    assert weight_bytes([part], [part]) == 2 * (44 + 8) - 40 + 2 * 4
