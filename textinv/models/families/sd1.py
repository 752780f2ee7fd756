"""Stable Diffusion 1.x: one CLIP-L text encoder, its last hidden states (Rombach et al. 2022, arXiv 2112.10752)."""

from collections.abc import Mapping
from typing import Any

from diffusers import StableDiffusionPipeline
from torch import Tensor

from textinv.models.base import Conditioning, Tokens
from textinv.models.latent_diffusion import LatentDiffusionModel
from textinv.models.text_encoder import TextEncoder


class StableDiffusion1(LatentDiffusionModel):
    """SD 1.x and every model of its kind, whatever its size."""

    family = "sd1"
    pipeline_class = StableDiffusionPipeline

    @classmethod
    def fits(cls, index: Mapping[str, Any], text_config: Mapping[str, Any]) -> bool:
        # Both families are StableDiffusionPipeline; OpenAI's CLIP is known by its activation.
        stable = str(index.get("_class_name", "")).startswith("StableDiffusionPipeline")
        return stable and text_config.get("hidden_act", "quick_gelu") == "quick_gelu"

    def text_encoders(self, components: Mapping[str, Any]) -> list[TextEncoder]:
        network, tokenizer = components["text_encoder"], components["tokenizer"]
        window = min(tokenizer.model_max_length, network.config.max_position_embeddings)
        return [TextEncoder("text_encoder", network, tokenizer, window)]

    def encode_text(self, tokens: Mapping[str, Tokens], rows: Mapping[str, Tensor]) -> Conditioning:
        encoder, one = self._encoders["text_encoder"], tokens["text_encoder"]
        return Conditioning(encoder.encode(one.ids_BL, one.row_BL, rows.get("text_encoder")).last_hidden_state)
