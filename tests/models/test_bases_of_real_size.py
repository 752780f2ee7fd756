"""Bases of SD 1.5's and SDXL's own size: a concept is learned, exported, loaded and drawn at 512 px, on a CPU."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from tests.models.real_sized_bases import make_sd15, make_sdxl
from tests.training.conftest import ADAMW, make_work
from textinv.embedding import export_embedding, import_embedding
from textinv.generation.draw import generate
from textinv.generation.request import GenerateRequest
from textinv.images import Picture
from textinv.models import load_base_model
from textinv.placeholders import ConceptRef
from textinv.spec import StopSpec
from textinv.training.train import learn

pytestmark = [pytest.mark.load, pytest.mark.timeout(3600)]
SIDE = 512
ONE_LOOK = StopSpec(rule="fixed", every_steps=1, window=5, threshold=0.15, num_samples=1)
GB = 10**9


@pytest.mark.parametrize(
    ("make", "family", "widths", "needed_gb"),
    [
        (make_sd15, "sd1", {"text_encoder": 768}, 8),
        (make_sdxl, "sdxl", {"text_encoder": 768, "text_encoder_2": 1280}, 20),
    ],
    ids=["SD 1.5", "SDXL"],
)
def test_a_concept_goes_all_the_way(
    make: Callable[[Path], Path], family: str, widths: dict[str, int], needed_gb: int, tmp_path: Path
) -> None:
    free_gb = psutil.virtual_memory().available / GB
    if free_gb < needed_gb:
        pytest.skip(f"{family} of real size needs {needed_gb} GB of memory, and {free_gb:.1f} are free")
    model = load_base_model(str(make(tmp_path / "base")), device="cpu", dtype="float32")
    assert (model.family, model.encoder_widths, model.window) == (family, widths, 77)
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    work = make_work(
        "fox",
        picture_list=[Picture(photo, None, "photo", "photo.png")],
        init="fox",
        resolution_px=SIDE,
        tells_sizes=model.takes_sizes,
        samples_per_step=1,
        max_steps=1,
        min_steps=1,
        optimizer=ADAMW,
        stop=ONE_LOOK,
    )
    learned = learn(model, [work], num_slots=1)
    assert learned.errors == {}
    embedding = learned.concepts["fox"].embedding
    for name, rows_ND in embedding.rows.items():
        moved = (rows_ND - model.token_rows(name, "fox")[:1]).abs().max()
        assert 1e-4 < moved < 1e-2
    (file,) = export_embedding(embedding, "fox", "auto", tmp_path)
    loaded = import_embedding(file)
    for name, rows_ND in embedding.rows.items():
        torch.testing.assert_close(loaded.rows[name], rows_ND, rtol=0, atol=0)
    asked = GenerateRequest(
        "a photo of <fox>", num_inference_steps=2, guidance_scale=1.0, width_px=SIDE, height_px=SIDE, seed=1
    )
    (picture,) = generate(model, asked, {ConceptRef("fox"): loaded})
    assert picture.pixels.shape == (SIDE, SIDE, 3)
    assert picture.pixels.std() > 1
