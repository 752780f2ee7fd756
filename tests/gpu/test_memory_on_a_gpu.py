"""What a GPU's memory decides changes no rows: splits, shapes, activations, what leaves the device, and four bits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.device_checks import base_on, check_alike, check_memory_changes_no_rows, mixed_works, rows_after
from textinv.models.base import BaseModel
from textinv.training import Work
from textinv.training.train import learn

pytestmark = pytest.mark.gpu
FAMILIES = ("sd1", "sdxl", "sd3", "sana", "pixart", "flux-dev", "z-image")
MIN_COSINE = 0.999
"""Stated tolerance, as between a CPU and a GPU: kernels differ by the size of a batch, and multiply in TF32."""
MIN_COSINE_NF4 = 0.95
"""To rows on weights that are not rounded, after two steps; after ten it was .988 at least on a CPU."""
GB = 10**9


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same kernels whatever was run before."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("family", FAMILIES)
def test_less_memory_changes_no_rows(family: str, tmp_path: Path) -> None:
    works = mixed_works(family)
    model = base_on("cuda", family, tmp_path / "base")
    on_cpu, _ = rows_after(base_on("cpu", family, tmp_path / "base"), works, 16)
    on_gpu, _ = rows_after(model, works, 16)
    check_alike(on_gpu, on_cpu, MIN_COSINE)
    check_memory_changes_no_rows(model, works, MIN_COSINE)


def test_a_step_that_does_not_fit_is_split_by_running_out_of_memory(
    large: BaseModel,
    works: Callable[[BaseModel, int], list[Work]],
    figures: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (work,) = works(large, 1)
    changes = {"resolution_px": 512, "num_vectors": 1, "samples_per_step": 16, "max_steps": 2, "min_steps": 2}
    many = Work(work.spec.model_copy(update=changes), work.pictures)
    wanted = learn(large, [many], num_slots=1).concepts[work.spec.name].embedding.rows["text_encoder"]
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    allowed = torch.cuda.memory_allocated() + 5 * GB  # of some .7 GB for each sample
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total))
    try:
        learned = learn(large, [many], num_slots=1)
        figures["SD1 size, 16 samples of 512 px within 5 GB"] = {"peak, bytes": torch.cuda.max_memory_allocated()}
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert learned.errors == {}
    assert any("no_memory_for" in record.message for record in caplog.records), "it was lowered"
    found = learned.concepts[work.spec.name].embedding.rows["text_encoder"]
    assert torch.cosine_similarity(found, wanted).min() > 0.97, "in bfloat16"


def test_what_nobody_needs_leaves_the_gpu(tmp_path: Path) -> None:
    fields = {"encoders": ("clip_l", "clip_g")}
    works = [Work(work.spec.model_copy(update=fields), work.pictures) for work in mixed_works("sd3")]
    on_cpu, _ = rows_after(base_on("cpu", "sd3", tmp_path / "base"), works, 16)
    model: Any = base_on("cuda", "sd3", tmp_path / "base")
    rows, _ = rows_after(model, works, 16)
    check_alike(rows, on_cpu, MIN_COSINE)
    away = [model._encoders["t5xxl"].network, model._vaes[0][1]]
    assert {each.device.type for part in away for each in part.parameters()} == {"cpu"}
    model.decode_latents(torch.zeros(1, model.latent_channels, 8, 8))
    vae = list(away[1].parameters())
    assert {each.device.type for each in vae} == {"cuda"}
    before = torch.cuda.memory_allocated()
    model.put_aside(fields["encoders"])
    assert torch.cuda.memory_allocated() <= before - sum(each.nbytes for each in vae)


@pytest.mark.parametrize("family", ["sd1", "sd3"])
def test_rows_learned_on_nf4_are_close_to_those_of_float32(family: str, tmp_path: Path) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="pip install 'textinv[nf4]'")
    works = mixed_works(family)
    wanted, _ = rows_after(base_on("cuda", family, tmp_path / "base"), works, 16)
    model: Any = base_on("cuda", family, tmp_path / "base", weights="nf4")
    networks = [model._network, *(encoder.network for encoder in model._encoders.values())]
    assert all(any(isinstance(each, bitsandbytes.nn.Linear4bit) for each in one.modules()) for one in networks)
    rows, _ = rows_after(model, works, 16)
    check_alike(rows, wanted, MIN_COSINE_NF4)
    again, _ = rows_after(model, works, 1)
    check_alike(again, rows, MIN_COSINE)
