"""Rows that were learned behind the text encoders are drawn as diffusers draws the texts that they are written into."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from tests.models.transformer_bases import CALLED, SIDE, WORD, make_transformer_base
from textinv.embedding import Embedding
from textinv.errors import BaseModelMismatchError, PromptError
from textinv.generation.draw import generate, generate_all
from textinv.generation.request import GenerateRequest
from textinv.models import BaseModel, load_base_model
from textinv.placeholders import ConceptRef

THING = ConceptRef("thing")
GUIDANCE = 12.0
CLIP_WINDOW = 32
"""Of the tiny base."""


@pytest.fixture(scope="module", params=["sd3", "sana"])
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_transformer_base(family, tmp_path_factory.mktemp(family) / "base", loud=True)
    if family == "sd3":
        _heed_single_words(made / "transformer")
    return made


@torch.no_grad()
def _heed_single_words(folder: Path) -> None:
    """A random transformer heeds the whole text, of which one position of hundreds is not heard."""
    transformer = diffusers.SD3Transformer2DModel.from_pretrained(folder)
    for name, parameter in transformer.named_parameters():
        if any(part in name for part in ("to_q.weight", "add_k_proj.weight", "add_v_proj.weight", "to_out.0.weight")):
            parameter.mul_(8)
    transformer.save_pretrained(folder)


@pytest.fixture(scope="module")
def model(folder: Path) -> BaseModel:
    return load_base_model(str(folder), device="cpu", dtype="float32")


def _rows(model: BaseModel, seed: int, *, behind: bool = True, count: int = 1) -> Embedding:
    generator = torch.Generator().manual_seed(seed)
    made = {name: model.token_rows(name, WORD).expand(count, -1).clone() for name in model.encoder_names}
    for name, width in model.encoder_widths.items():
        made[f"{name}_out" if behind else name] = torch.randn(count, width, generator=generator)
    return Embedding(made)


def _asked(family: str, prompt: str = "a photo of <thing> on grass", **said: Any) -> GenerateRequest:
    fields: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": GUIDANCE, "seed": 3} | said
    return GenerateRequest(prompt, height_px=SIDE[family], width_px=SIDE[family], **fields)


def _differ(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def _theirs(folder: Path, family: str, embedding: Embedding) -> np.ndarray:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    prompt, rows = f"a photo of {WORD} on grass", embedding.rows
    place = 4 if family == "sd3" else [*pipeline.tokenizer(prompt).input_ids].index(_word(pipeline.tokenizer))
    if family == "sana":
        said = pipeline.encode_prompt(prompt, device="cpu")
        said[0][0, place] = rows["gemma_out"][0]
        told = dict(zip(_SANA, said, strict=True)) | {"negative_prompt": None}
    else:
        said = pipeline.encode_prompt(prompt, prompt, prompt, device="cpu")
        said[0][0, place, :80] = torch.cat([rows["clip_l_out"][0], rows["clip_g_out"][0]])
        place = pipeline.tokenizer_3(prompt).input_ids.index(_word(pipeline.tokenizer_3))
        said[0][0, CLIP_WINDOW + place] = rows["t5xxl_out"][0]
        told = dict(zip(_SD3, said, strict=True))
    fields: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": GUIDANCE, "height": SIDE[family]}
    fields |= CALLED[family] | told
    drawn = pipeline(width=SIDE[family], generator=torch.Generator().manual_seed(3), **fields)
    return np.asarray(drawn.images[0])


_SANA = (
    "prompt_embeds",
    "prompt_attention_mask",
    "negative_prompt_embeds",
    "negative_prompt_attention_mask",
)
_SD3 = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


def _word(tokenizer: Any) -> int:
    (found,) = tokenizer(f" {WORD}", add_special_tokens=False).input_ids
    return int(found)


def test_a_family_draws_them_as_diffusers_draws_the_text_with_them(model: BaseModel, family: str, folder: Path) -> None:
    ours = generate(model, _asked(family), {THING: _rows(model, 1)})[0].pixels
    assert _differ(ours, _theirs(folder, family, _rows(model, 1))) <= 1
    assert _differ(ours, generate(model, _asked(family), {THING: _rows(model, 2)})[0].pixels) >= 10


def test_in_any_batch_with_concepts_of_either_kind_a_picture_is_the_one_that_is_drawn_alone(
    model: BaseModel, family: str
) -> None:
    both = {THING: _rows(model, 4), ConceptRef("other"): _rows(model, 5, behind=False, count=2)}
    asked = [
        (_asked(family), {THING: _rows(model, 1)}),
        (_asked(family), {THING: _rows(model, 2, behind=False)}),
        (_asked(family, "<thing> in snow by <other> and <thing>", seed=8), both),
        (_asked(family, "a red cup", num_inference_steps=3), {}),
        (_asked(family, "a (red:1.3) <thing>", attention_weights=True), {THING: _rows(model, 3, count=2)}),
    ]
    together = generate_all(model, asked)
    for (request, mounts), (drawn,) in zip(asked, together, strict=True):
        assert _differ(drawn.pixels, generate(model, request, mounts)[0].pixels) <= 1


def test_between_words_and_such_rows_there_is_no_way_and_none_between_both_kinds(model: BaseModel, family: str) -> None:
    other = ConceptRef("other")
    mounts = {THING: _rows(model, 1), other: _rows(model, 2, behind=False)}
    with pytest.raises(PromptError, match="cannot be drawn at a strength: its rows replace the text"):
        generate(model, _asked(family, "a <thing:0.5>"), mounts)
    with pytest.raises(PromptError, match="learn both with the same rows and encoders to mix them"):
        generate(model, _asked(family, "a <thing:0.5+other:0.5>"), mounts)


def test_rows_behind_an_encoder_that_is_not_there_are_refused(model: BaseModel, family: str) -> None:
    strange = Embedding({**_rows(model, 1).rows, "llama": torch.ones(1, 8), "llama_out": torch.ones(1, 8)})
    with pytest.raises(BaseModelMismatchError, match="8 \\(llama\\)"):
        generate(model, _asked(family), {THING: strange})
