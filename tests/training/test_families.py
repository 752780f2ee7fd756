"""Every family from pictures to a drawn concept, with tiny random weights."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.heavy import heavy
from tests.models.tiny_bases import make_base
from textinv.embedding import export_embedding, import_embedding
from textinv.generation.draw import generate
from textinv.generation.request import GenerateRequest
from textinv.models import load_base_model
from textinv.placeholders import ConceptRef
from textinv.spec import OptimizerSpec
from textinv.training import Work
from textinv.training.train import learn

FAMILIES = ["sdxl", "pooling", *heavy(["sd1", "sd2", "sd2-v", "ldm"])]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_learns_exports_loads_and_draws(
    family: str, tmp_path: Path, works: Callable[..., Work], adamw: OptimizerSpec
) -> None:
    prediction_type = "v_prediction" if family == "sd2-v" else "epsilon"
    folder = make_base(family.partition("-")[0], tmp_path / "base", prediction_type)
    model = load_base_model(str(folder), device="cpu", dtype="float32")
    assert model.process.predicts == prediction_type
    fast = adamw.model_copy(update={"learning_rate": 0.05})
    work = works("fox", init="fox", resolution_px=32, optimizer=fast, num_vectors=2, timesteps=(0, 1000))
    concept = learn(model, [work], num_slots=1).concepts["fox"]
    trace = [seen["loss"] for seen in concept.record["trace"]]
    assert trace[-1] < trace[0]
    assert concept.embedding.widths == dict(model.encoder_widths)
    (file,) = export_embedding(concept.embedding, "fox", "auto", tmp_path / "export")
    mounts = {ConceptRef("fox"): import_embedding(file)}
    (image,) = generate(model, GenerateRequest("a photo of <fox>", num_inference_steps=2), mounts)
    assert image.pixels.shape == (32, 32, 3)
    assert image.concepts == {"fox": concept.embedding.digest}
