"""The pictures that versions are compared by: drawn with the scores, or alone, and then the same."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cluster.worker.pinned import Sheets
from tests.evaluation.tiny_encoders import clip_folder
from tests.models.tiny_bases import make_base
from tests.training.conftest import make_work
from textinv.embedding import Embedding
from textinv.errors import ServiceError
from textinv.evaluation import own_scorer
from textinv.evaluation.pinned import Sheet, draw_sheet, pinned_prompts
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.spec import TrainSpec


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A base model as most are: without a CLIP of its own."""
    return load_base_model(str(make_base("sd1", tmp_path_factory.mktemp("tiny"))), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def rows(tiny: BaseModel) -> Embedding:
    return Embedding({name: tiny.token_rows(name, "ball").float() for name in tiny.encoder_names})


def pixels(sheet: Sheet) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(sheet.picture)), np.int16)


def test_a_concept_that_is_scored_has_them_without_any_more_drawing(
    tiny: BaseModel, rows: Embedding, tmp_path: Path
) -> None:
    work, kept = make_work("disk", resolution_px=32), Sheets()
    own_scorer(tiny, folders=[clip_folder(tmp_path / "clip")], keep=kept.keep)(work.spec, work.pictures, rows, "ball")
    from_scores, alone = kept.take(work.spec, rows), draw_sheet(tiny, work.spec, rows)
    assert from_scores is not None
    assert kept.take(work.spec, rows) is None  # it is handed out once, and nothing else could draw it
    assert from_scores.facts() == alone.facts()
    assert alone.prompts == pinned_prompts(tiny, "object")
    assert pixels(alone).shape == (32, 4 * 32, 3)
    assert np.abs(pixels(from_scores) - pixels(alone)).mean() < 2


def test_without_scores_they_are_drawn_at_the_end_and_a_failure_costs_only_them(
    tiny: BaseModel, rows: Embedding
) -> None:
    spec = make_work("disk", resolution_px=32).spec

    def fail(spec: TrainSpec, embedding: Embedding) -> Sheet:
        raise ServiceError("no memory")

    drawn = Sheets(lambda spec, embedding: draw_sheet(tiny, spec, embedding)).take(spec, rows)
    assert drawn is not None
    assert Sheets(fail).take(spec, rows) is None
    assert Sheets(fail).take(spec.model_copy(update={"evaluate": False}), rows) is None
