"""The manifest for one's own photos plans without a warning on a base model of SDXL's real size."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.models.real_sizes import text_encoders_of, unet_of, vae_of
from textinv.manifest import load_manifest
from textinv.plan import make_plan
from textinv.settings import Settings

MANIFEST = Path(__file__).resolve().parents[2] / "manifests" / "own-photos.yaml"


@pytest.fixture
def sdxl(tmp_path: Path) -> Path:
    """A folder with the configs of SDXL, and of its weights only files of that name: planning loads none."""
    folder = tmp_path / "sdxl"
    parts = {"unet": unet_of("sdxl"), "vae": vae_of("sdxl")}
    parts |= dict(zip(("text_encoder", "text_encoder_2"), text_encoders_of("sdxl"), strict=True))
    for name, part in parts.items():
        (folder / name).mkdir(parents=True)
        save = part.save_config if hasattr(part, "save_config") else part.config.save_pretrained
        save(folder / name)
        (folder / name / "model.safetensors").write_bytes(name.encode())
    index = {"_class_name": "StableDiffusionXLPipeline", "scheduler": ["diffusers", "EulerDiscreteScheduler"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def test_own_photos_plan_without_warnings_on_sdxl(sdxl: Path, tmp_path: Path) -> None:
    shutil.copy(MANIFEST, tmp_path / "own-photos.yaml")
    rng = np.random.default_rng(7)
    for folder, size in (("my-dog", (900, 1200)), ("my-sketches", (1200, 900))):
        for index in range(4):
            file = tmp_path / "photos" / folder / f"{index}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            coarse = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(file)
    manifest = load_manifest(tmp_path / "own-photos.yaml")
    aliases = {"stabilityai/stable-diffusion-xl-base-1.0": str(sdxl)}
    made = make_plan(manifest, settings=Settings(home=tmp_path / "home", base_models=aliases))
    assert made.warnings == []
    assert made.counts["new"] == 2
    for planned in made.specs:
        spec = planned.spec
        assert (spec.recipe, spec.crop, spec.resolution_px, spec.tells_sizes) == ("published", "fit", 768, True)
    assert "not measured here" in made.notes[0]
