"""In float16 a language model's weights are loaded as they are: some of its numbers do not fit."""

from pathlib import Path

import diffusers
import pytest
import torch

from tests.fixtures.heavy import heavy
from tests.models.transformer_bases import SIDE, make_transformer_base, table_of
from textinv.models import load_base_model

LANGUAGE = {
    "sd3": ("t5xxl", "text_encoder_3"),
    "pixart": ("t5xxl", "text_encoder"),
    "sana": ("gemma", "text_encoder"),
    "z-image": ("qwen3_4b", "text_encoder"),
    "flux-dev": ("t5xxl", "text_encoder_2"),
    "flux-schnell": ("t5xxl", "text_encoder_2"),
}


@pytest.mark.parametrize("family", ["sd3", "sana", *heavy(["pixart", "z-image", "flux-dev", "flux-schnell"])])
def test_rows_of_a_language_model_are_not_rounded_and_a_half_network_still_predicts(
    family: str, tmp_path: Path
) -> None:
    folder, (encoder, part) = make_transformer_base(family, tmp_path / "base"), LANGUAGE[family]
    own = table_of(getattr(diffusers.DiffusionPipeline.from_pretrained(folder), part))
    assert not torch.equal(own.half().float(), own)
    whole = load_base_model(str(folder), device="cpu", dtype="float32")
    tokens = whole.tokenize(["a red apple"], {})
    side = SIDE[family] // whole.latent_scale
    noisy_BCHW = torch.randn(1, whole.latent_channels, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = whole.predict(noisy_BCHW, torch.tensor([500.0]), whole.encode_text(tokens, {}))
        for dtype in ("float16", "bfloat16"):
            model = load_base_model(str(folder), device="cpu", dtype=dtype)
            table = model.vocabulary(encoder)
            kept = torch.float32 if dtype == "float16" else torch.bfloat16
            assert (model.dtype, table.dtype) == (getattr(torch, dtype), kept)
            assert torch.equal(table, own.to(kept))
            found = model.predict(noisy_BCHW, torch.tensor([500.0]), model.encode_text(tokens, {}))
            torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)
