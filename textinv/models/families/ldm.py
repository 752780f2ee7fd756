"""Latent diffusion with a BERT text encoder: the model that Textual Inversion was shown on first.

Rombach et al. 2022, arXiv 2112.10752, section 4.3.1; diffusers' `LDMTextToImagePipeline`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from textinv.models.drawing import DrawingDefaults
from textinv.models.latent_diffusion import LatentDiffusionModel
from textinv.models.text_encoder import TextEncoder

# The pipeline pads to this number whatever its tokenizer says.
WINDOW = 77


class LatentDiffusion(LatentDiffusionModel):
    """LDM text to image: BERT's last hidden states, no pooled text; padding is text like any other."""

    family = "ldm"
    published = MappingProxyType(
        {
            "source": "diffusers' textual_inversion.py, its README: AdamW at 5e-4 times 4 samples, 3000 steps; here "
            "without weight decay",
            "num_vectors": 1,
            "samples_per_step": 4,
            "max_steps": 3000,
            "min_steps": 3000,
            "optimizer": "adamw",
            "learning_rate": 2e-3,
            "schedule": "constant",
            "timesteps": (0, 1000),
            "stop": "fixed",
        }
    )
    # The command in the README of CompVis/latent-diffusion: `--scale 5.0 --ddim_steps 50`.
    draws = DrawingDefaults(guidance_scale=5.0, num_inference_steps=50)
    pipeline = "LDMTextToImagePipeline"
    vae_name = "vqvae"
    has_shapes = False
    text_encoder_folders: ClassVar[Mapping[str, str]] = {"text_encoder": "bert"}

    @classmethod
    def fits(cls, index: Mapping[str, Any], text_config: Mapping[str, Any]) -> bool:
        return index.get("_class_name") in ("LDMTextToImagePipeline", "LatentDiffusionPipeline")

    def text_encoders(self, components: Mapping[str, Any]) -> list[TextEncoder]:
        bert = components["bert"]
        window = min(WINDOW, bert.config.max_position_embeddings)
        return [TextEncoder("text_encoder", bert, bert.model.embed_tokens, components["tokenizer"], window)]
