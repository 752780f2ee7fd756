"""What was learned on one base model is drawn by its kin where that is allowed, and the picture says so."""

import pytest
import torch

from textinv.embedding import Embedding
from textinv.errors import BaseModelMismatchError
from textinv.generation.draw import generate
from textinv.generation.infotext import read_infotext
from textinv.generation.prompts import Bases
from textinv.generation.request import GenerateRequest
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.registry import PublishedVersion

FOX = ConceptRef("fox")


def learned(model: BaseModel, revision: str, family: str | None, width: int | None = None) -> PublishedVersion:
    rows = model.token_rows("text_encoder", "fox")[:1] if width is None else torch.ones(1, width)
    record = {} if family is None else {"base_model": {"id": "another", "family": family}}
    return PublishedVersion(
        name="fox",
        version=3,
        run_id="run",
        base_model="another" if revision else "",
        base_revision=revision,
        embedding=Embedding({"text_encoder": rows}),
        digest="d" * 64,
        record=record,
        created="2026-11-29",
        etag=None,
    )


def draw(model: BaseModel, version: PublishedVersion, bases: Bases | None) -> str:
    request = GenerateRequest("a <fox>", num_inference_steps=1, bases=bases)
    (picture,) = generate(model, request, {FOX: version})
    return picture.infotext


@pytest.mark.parametrize("bases", ["exact", "kin", None])
def test_what_was_learned_on_this_base_is_drawn_whatever_is_allowed(model: BaseModel, bases: Bases | None) -> None:
    assert "TI learned on" not in draw(model, learned(model, model.revision, model.family), bases)


def test_kin_is_drawn_where_it_is_allowed_and_the_infotext_names_its_base(model: BaseModel) -> None:
    infotext = read_infotext(draw(model, learned(model, "f" * 64, model.family), "kin"))
    assert infotext.settings["TI learned on"] == "fox@3: another"


@pytest.mark.parametrize("bases", ["exact", None])
def test_kin_of_what_was_learned_here_is_refused_unless_it_is_asked_for(model: BaseModel, bases: Bases | None) -> None:
    with pytest.raises(BaseModelMismatchError, match="learned on 'another'") as refused:
        draw(model, learned(model, "f" * 64, model.family), bases)
    assert ("allow its kin" in refused.value.message) == (bases is None)


def test_an_imported_concept_whose_base_nobody_knows_is_drawn_unless_it_is_refused(model: BaseModel) -> None:
    for bases in ("kin", None):
        said = read_infotext(draw(model, learned(model, "", None), bases)).settings["TI learned on"]  # type: ignore[arg-type]
        assert said == "fox@3: an unknown base model"
    with pytest.raises(BaseModelMismatchError, match="an unknown base model"):
        draw(model, learned(model, "", None), "exact")


@pytest.mark.parametrize("family", ["sd2", None])
def test_another_family_is_no_kin(model: BaseModel, family: str | None) -> None:
    with pytest.raises(BaseModelMismatchError):
        draw(model, learned(model, "f" * 64, family), "kin")


def test_other_widths_are_no_kin(model: BaseModel) -> None:
    for revision in ("f" * 64, ""):
        with pytest.raises(BaseModelMismatchError, match="wide"):
            draw(model, learned(model, revision, model.family, width=7), "kin")
