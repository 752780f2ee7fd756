"""A mounted embedding says what diffusers' `load_textual_inversion` of the same rows says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMTextToImagePipeline
from safetensors.torch import save_file
from torch import Tensor

from textinv.demo import WEIGHTS
from textinv.models import BaseModel, Conditioning, batch_prompts
from textinv.placeholders import ConceptRef

REF = ConceptRef("odd-thing")
PROMPTS = [
    "a <odd-thing> on grass",
    "<odd-thing>",
    "sports<odd-thing>car, red<odd-thing>",
    "A Photo of <odd-thing>, <odd-thing>! and <3 cups\n in  the snow",
    "'<odd-thing>'s cup",
    "",
]


def _ours(model: BaseModel, prompt: str, rows: dict[str, Tensor]) -> Conditioning:
    batch = batch_prompts([model.tokenize_prompt(prompt, {REF: len(rows["text_encoder"])})], {REF: rows})
    return model.encode_text(batch.tokens, batch.rows)


def _rows(model: BaseModel, num_vectors: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(num_vectors)
    return {
        name: torch.randn(num_vectors, width, generator=generator) * model.vocabulary(name).std()
        for name, width in model.encoder_widths.items()
    }


def _theirs(pipeline: Any, prompt: str) -> Any:
    return pipeline.encode_prompt(
        prompt=prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )


@pytest.mark.parametrize("num_vectors", [1, 4])
def test_a_mounted_embedding_is_encoded_as_in_stable_diffusion_pipeline(
    emoji: BaseModel, tmp_path: Path, num_vectors: int
) -> None:
    rows = _rows(emoji, num_vectors)
    save_file({REF.placeholder: rows["text_encoder"]}, tmp_path / "learned_embeds.safetensors")
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(WEIGHTS, dtype=torch.float32)
    pipeline.load_textual_inversion(str(tmp_path))
    for prompt in PROMPTS:
        ours = _ours(emoji, prompt, rows)
        torch.testing.assert_close(ours["hidden"], _theirs(pipeline, prompt)[0], rtol=1e-4, atol=1e-4, msg=prompt)


@pytest.mark.parametrize("num_vectors", [1, 3])
def test_a_mounted_embedding_is_encoded_as_in_the_sdxl_pipeline(
    tiny: Callable[[str], BaseModel], tiny_folder: Callable[[str], Path], num_vectors: int
) -> None:
    model = tiny("sdxl")
    rows = _rows(model, num_vectors)
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(tiny_folder("sdxl"), dtype=torch.float32)
    for suffix in ("", "_2"):
        pipeline.load_textual_inversion(
            {REF.placeholder: rows[f"text_encoder{suffix}"]},
            text_encoder=getattr(pipeline, f"text_encoder{suffix}"),
            tokenizer=getattr(pipeline, f"tokenizer{suffix}"),
        )
    for prompt in PROMPTS:
        ours = _ours(model, prompt, rows)
        hidden_BLD, _, pooled_BD, _ = _theirs(pipeline, prompt)
        torch.testing.assert_close(ours["hidden"], hidden_BLD, rtol=1e-4, atol=1e-4, msg=prompt)
        torch.testing.assert_close(ours["pooled"], pooled_BD, rtol=1e-4, atol=1e-4, msg=prompt)


def test_a_mounted_embedding_is_encoded_as_a_new_token_of_berts_vocabulary(
    tiny: Callable[[str], BaseModel], tiny_folder: Callable[[str], Path]
) -> None:
    model = tiny("ldm")
    rows = _rows(model, 1)
    pipeline = LDMTextToImagePipeline.from_pretrained(tiny_folder("ldm"))
    pipeline.tokenizer.add_tokens([REF.placeholder])
    embedding = pipeline.bert.model.embed_tokens
    embedding.weight = torch.nn.Parameter(torch.cat([embedding.weight.data, rows["text_encoder"]]))
    for prompt in PROMPTS:
        ids = pipeline.tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        hidden_BLD = pipeline.bert(ids.input_ids)[0]
        torch.testing.assert_close(_ours(model, prompt, rows)["hidden"], hidden_BLD, rtol=1e-4, atol=1e-4, msg=prompt)
