"""What can be known when something is handed in is checked then, not when it is used."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from textinv.embedding import Embedding
from textinv.plan.check import check_manifest
from textinv.settings import Settings

SD1 = {"text_encoder": 768}
SDXL = {"text_encoder": 768, "text_encoder_2": 1280}


@pytest.mark.parametrize(
    ("rows", "wanted", "problem"),
    [
        ({"text_encoder": 768}, SD1, None),
        ({"text_encoder": 768, "text_encoder_2": 1280}, SDXL, None),
        ({"text_encoder": 192}, SD1, "192 wide, but those of base 768"),
        ({"text_encoder": 768, "text_encoder_2": 1280}, SD1, "but those of base 768"),
        ({"text_encoder": 1280, "text_encoder_2": 768}, SDXL, "swapped"),
        ({"text_encoder": 768}, SDXL, "no rows for text_encoder_2"),
        ({"text_encoder_2": 1280}, SDXL, "no rows for text_encoder:"),
    ],
)
def test_rows_fit_a_base_model_encoder_by_encoder(
    rows: dict[str, int], wanted: dict[str, int], problem: str | None
) -> None:
    found = Embedding({encoder: torch.ones(2, width) for encoder, width in rows.items()}).misfit(wanted, "base")
    assert found is None if problem is None else problem in str(found)


def test_a_picture_that_a_plan_refuses_is_refused_when_a_manifest_is_validated(tmp_path: Path) -> None:
    (tmp_path / "foxes").mkdir()
    Image.new("RGB", (16, 16), (200, 40, 10)).save(tmp_path / "foxes/0.png")
    manifest = tmp_path / "m.yaml"
    manifest.write_text("base_model: emoji\nconcepts:\n- {name: fox, images: foxes}\n")
    (problem,) = check_manifest(manifest, Settings(home=tmp_path)).problems
    assert "its shorter side must have 32 pixels" in problem.message


def test_where_the_base_model_is_elsewhere_it_is_said_that_sizes_are_checked_later(tmp_path: Path) -> None:
    (tmp_path / "foxes").mkdir()
    Image.new("RGB", (16, 16), (200, 40, 10)).save(tmp_path / "foxes/0.png")
    manifest = tmp_path / "m.yaml"
    manifest.write_text("base_model: someone/on-the-hub\nconcepts:\n- {name: fox, images: foxes}\n")
    checked = check_manifest(manifest, Settings(home=tmp_path))
    assert checked.problems == []
    assert any("`textinv plan` checks the sizes of pictures" in one.message for one in checked.warnings)


@pytest.mark.parametrize("defaults", ["", "defaults: {resolution_px: 512}\n"])
def test_nothing_is_said_of_a_crop_that_only_the_base_model_decides(tmp_path: Path, defaults: str) -> None:
    (tmp_path / "foxes").mkdir()
    Image.linear_gradient("L").resize((600, 1200)).save(tmp_path / "foxes/0.png")
    manifest = tmp_path / "m.yaml"
    said = f"base_model: someone/on-the-hub\n{defaults}concepts:\n- {{name: fox, images: foxes%s}}\n"
    cut = {}
    for crop in ("", ", crop: center"):
        manifest.write_text(said % crop)
        warnings = check_manifest(manifest, Settings(home=tmp_path)).warnings
        cut[crop] = [one.message for one in warnings if "is cut off" in one.message]
    assert cut[""] == []
    assert "50% of it is cut off, as pictures are trained as squares" in cut[", crop: center"][0]


def test_a_file_that_rows_start_from_is_read_when_a_manifest_is_validated(tmp_path: Path) -> None:
    (tmp_path / "foxes").mkdir()
    Image.new("RGB", (64, 64), (200, 40, 10)).save(tmp_path / "foxes/0.png")
    (tmp_path / "rows.pt").write_bytes(b"<!DOCTYPE html><title>404</title>")
    (tmp_path / "good.safetensors").write_bytes(Embedding({"text_encoder": torch.ones(1, 192)}).to_bytes())
    manifest = tmp_path / "m.yaml"
    names = ("gone.safetensors", "rows.pt", "good.safetensors")
    concepts = "".join(f"- {{name: n{at}, images: foxes, init: 'file:{name}'}}\n" for at, name in enumerate(names))
    manifest.write_text(f"base_model: emoji\nconcepts:\n{concepts}")
    problems = check_manifest(manifest, Settings(home=tmp_path)).problems
    assert [problem.line for problem in problems] == [3, 4]
    assert "gone.safetensors" in problems[0].message
    assert "is a web page" in problems[1].message
