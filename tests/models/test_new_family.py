"""Adding a family is one file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from textinv.models import families, load_base_model

FAMILY = """
from textinv.models.drawing import DrawingDefaults
from textinv.models.latent_diffusion import LatentDiffusionModel
from textinv.models.text_encoder import clip_encoder


class Toy(LatentDiffusionModel):
    family = "toy"
    draws = DrawingDefaults(guidance_scale=5.0, num_inference_steps=20)
    pipeline = "StableDiffusionPipeline"

    @classmethod
    def fits(cls, index, text_config):
        return index.get("_class_name") == "ToyPipeline"

    def text_encoders(self, components):
        return [clip_encoder("text_encoder", components["text_encoder"], components["tokenizer"])]
"""


def test_a_new_file_among_the_families_is_all_that_a_family_takes(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "toy.py").write_text(FAMILY)
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path / "families")])
    folder = tmp_path / "toy-base"
    shutil.copytree(tiny_folder("sd1"), folder)
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "ToyPipeline"))
    model = load_base_model(str(folder), device="cpu", dtype="float32")
    conditioning = model.encode_text(model.tokenize(["a cup"], {}), {})
    assert model.family == "toy"
    assert model.predict(torch.zeros(1, 4, 8, 8), torch.tensor([5]), conditioning).shape == (1, 4, 8, 8)
