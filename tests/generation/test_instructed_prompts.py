"""A prompt may be read behind the base model's own instruction: as diffusers does, in any batch, and never else."""

import inspect
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from tests.models.transformer_bases import SIDE, WORD, make_transformer_base, table_of
from textinv.embedding import Embedding
from textinv.errors import PromptError, RequestError
from textinv.generation.draw import generate, generate_all
from textinv.generation.infotext import read_infotext
from textinv.generation.request import GenerateRequest, read_request
from textinv.models import BaseModel, load_base_model
from textinv.models.families.sana import INSTRUCTION
from textinv.placeholders import ConceptRef

THING = ConceptRef("thing")
SIDE_PX = SIDE["sana"]
ASKED: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 12.0, "width_px": SIDE_PX, "height_px": SIDE_PX}
PROMPT = "a photo of <thing> on grass"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_transformer_base("sana", tmp_path_factory.mktemp("sana") / "base", loud=True)


@pytest.fixture(scope="module")
def model(folder: Path) -> BaseModel:
    return load_base_model(str(folder), device="cpu", dtype="float32")


def _rows(model: BaseModel, seed: int, count: int = 1) -> Embedding:
    generator = torch.Generator().manual_seed(seed)
    scale = 3 * model.vocabulary("gemma").float().std()
    return Embedding({"gemma": scale * torch.randn(count, model.encoder_widths["gemma"], generator=generator)})


def _differ(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_the_instruction_is_the_one_that_diffusers_has() -> None:
    said = inspect.signature(diffusers.SanaPipeline.__call__).parameters["complex_human_instruction"].default
    assert "\n".join(said) == f"{INSTRUCTION} "


@pytest.mark.parametrize("prompt", [PROMPT, "<thing> in snow"], ids=["within", "at the beginning"])
def test_an_instructed_prompt_is_drawn_as_diffusers_does_and_its_negative_prompt_without(
    model: BaseModel, folder: Path, prompt: str
) -> None:
    rows, asked = _rows(model, 1), GenerateRequest(prompt, "a red cup", seed=3, instruction=True, **ASKED)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    (word,) = pipeline.tokenizer(f" {WORD}", add_special_tokens=False).input_ids
    table_of(pipeline.text_encoder).data[word] = rows.rows["gemma"][0]
    drawn = pipeline(  # with the instruction: its own default
        prompt.replace("<thing>", WORD),
        "a red cup",
        height=SIDE_PX,
        width=SIDE_PX,
        num_inference_steps=4,
        guidance_scale=12.0,
        generator=torch.Generator().manual_seed(3),
        use_resolution_binning=False,
    )
    ours = generate(model, asked, {THING: rows})[0].pixels
    assert _differ(ours, np.asarray(drawn.images[0])) <= 1
    plain = generate(model, GenerateRequest(prompt, "a red cup", seed=3, **ASKED), {THING: rows})[0].pixels
    assert _differ(ours, plain) >= 10
    assert _differ(ours, generate(model, asked, {THING: _rows(model, 2)})[0].pixels) >= 10


def test_in_a_batch_with_and_without_every_picture_is_the_one_that_is_drawn_alone(model: BaseModel) -> None:
    asked = [
        (GenerateRequest(PROMPT, seed=3, instruction=True, **ASKED), {THING: _rows(model, 1)}),
        (GenerateRequest(PROMPT, seed=3, **ASKED), {THING: _rows(model, 1)}),
        (GenerateRequest(PROMPT, seed=4, instruction=True, **ASKED), {THING: _rows(model, 2, 2)}),
        (GenerateRequest("a (red:1.3) cup", instruction=True, attention_weights=True, **ASKED), {}),
    ]
    together = generate_all(model, asked)
    for (request, mounts), (drawn,) in zip(asked, together, strict=True):
        assert _differ(drawn.pixels, generate(model, request, mounts)[0].pixels) <= 1
    assert _differ(together[0][0].pixels, together[1][0].pixels) >= 10


def test_the_instruction_takes_no_room_from_the_prompt(model: BaseModel) -> None:
    full = "apple " * model.room
    assert generate(model, GenerateRequest(full, instruction=True, **ASKED))
    with pytest.raises(PromptError, match="windows"):
        generate(model, GenerateRequest(full + "apple", instruction=True, **ASKED))


def test_a_picture_remembers_that_its_prompt_was_instructed(model: BaseModel) -> None:
    (drawn,) = generate(model, GenerateRequest("a red cup", instruction=True, **ASKED))
    assert read_request(read_infotext(drawn.infotext)).instruction
    (plain,) = generate(model, GenerateRequest("a red cup", **ASKED))
    assert "Instruction" not in plain.infotext


def test_where_a_base_model_has_no_instruction_it_is_refused_by_name(emoji: BaseModel) -> None:
    with pytest.raises(RequestError, match="has no instruction of its own") as caught:
        generate(emoji, GenerateRequest("a cup", instruction=True))
    assert caught.value.details["param"] == "instruction"
