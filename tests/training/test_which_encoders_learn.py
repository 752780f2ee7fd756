"""A manifest may name the text encoders that learn: in others the words that rows start from stay in their place."""

from collections.abc import Callable

import pytest
import torch

from tests.models.tiny_bases import make_base
from textinv.errors import InputError
from textinv.models import BaseModel, load_base_model
from textinv.spec import OptimizerSpec
from textinv.training import Work
from textinv.training.pack import ConceptPack
from textinv.training.train import learn

SECOND = ("text_encoder_2",)
Works = Callable[..., Work]


@pytest.fixture(scope="module")
def two_encoders(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return load_base_model(
        str(make_base("sdxl", tmp_path_factory.mktemp("bases") / "sdxl")), device="cpu", dtype="float32"
    )


@pytest.fixture(scope="module")
def of_second(works: Works) -> Work:
    return works("fox", init="fox", resolution_px=32, max_steps=4, min_steps=4, encoders=SECOND)


@pytest.mark.parametrize("optimizer", ["sphere", "adamw"])
def test_an_encoder_that_does_not_learn_keeps_the_words(
    two_encoders: BaseModel, of_second: Work, works: Works, adamw: OptimizerSpec, optimizer: str
) -> None:
    work = of_second if optimizer == "sphere" else works("fox", **_fields(of_second), optimizer=adamw)
    alone = learn(two_encoders, [work], num_slots=1).concepts["fox"].embedding
    assert torch.equal(alone.rows["text_encoder"], two_encoders.token_rows("text_encoder", "fox"))
    assert not torch.allclose(alone.rows["text_encoder_2"], two_encoders.token_rows("text_encoder_2", "fox"), atol=1e-3)


def test_a_neighbour_that_learns_all_encoders_changes_nothing(
    two_encoders: BaseModel, of_second: Work, works: Works
) -> None:
    alone = learn(two_encoders, [of_second], num_slots=1).concepts["fox"].embedding
    neighbour = works("cup", "teal", init="cup", resolution_px=32, max_steps=9, min_steps=9)
    both = learn(two_encoders, [neighbour, of_second], num_slots=2).concepts
    assert torch.equal(both["fox"].embedding.rows["text_encoder"], alone.rows["text_encoder"])
    torch.testing.assert_close(both["fox"].embedding.rows["text_encoder_2"], alone.rows["text_encoder_2"])
    first = both["cup"].embedding.rows["text_encoder"]
    assert not torch.allclose(first, two_encoders.token_rows("text_encoder", "cup"), atol=1e-3)


def test_nothing_goes_backward_through_an_encoder_that_no_slot_learns(
    two_encoders: BaseModel, of_second: Work, works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    encode = two_encoders.encode_text

    def watched(tokens: object, rows: dict[str, torch.Tensor], clip_skip: int | None = None) -> object:
        asked.append(rows["text_encoder"].requires_grad)
        return encode(tokens, rows, clip_skip)  # type: ignore[arg-type]

    monkeypatch.setattr(two_encoders, "encode_text", watched)
    pack = ConceptPack(two_encoders, 2)
    pack.add(of_second)
    asked.clear()
    pack.step()
    assert not any(asked)
    pack.add(works("cup", "teal", init="cup", resolution_px=32))
    asked.clear()
    pack.step()
    assert all(asked)


def test_an_encoder_that_is_not_there_ends_the_concept_with_the_names_of_those_that_are(
    two_encoders: BaseModel, works: Works
) -> None:
    pack = ConceptPack(two_encoders, 1)
    with pytest.raises(InputError, match="has no text encoder 't5xxl': write some of text_encoder, text_encoder_2"):
        pack.add(works("fox", init="fox", resolution_px=32, encoders=("t5xxl",)))


def _fields(work: Work) -> dict[str, object]:
    names = ("init", "resolution_px", "max_steps", "min_steps", "encoders")
    return {name: getattr(work.spec, name) for name in names}


def test_specs_that_name_no_encoders_keep_their_fingerprints(works: Works) -> None:
    plain = works("fox").spec
    assert "encoders" not in plain.model_dump()
    assert plain.fingerprint != works("fox", encoders=SECOND).spec.fingerprint
