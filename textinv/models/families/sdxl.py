"""Stable Diffusion XL: two text encoders side by side, pooled text and picture size beside the timestep.

Podell et al. 2023, arXiv 2307.01952, section 2.2.

Shapes: as in `textinv.models.base`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from textinv.models.base import Conditioning, Tokens
from textinv.models.drawing import DrawingDefaults
from textinv.models.latent_diffusion import LatentDiffusionModel
from textinv.models.prompt import HIDDEN, POOLED, SIZES
from textinv.models.text_encoder import TextEncoder, clip_encoder


class StableDiffusionXL(LatentDiffusionModel):
    """SDXL's base: rows are written in both text encoders."""

    family = "sdxl"
    published = MappingProxyType(
        {
            "source": "Kim et al. 2026, Directional Textual Inversion, arXiv:2512.13672, for SDXL: steps of .04 rad, "
            "kappa 1e-4, 400 steps of 4 at 768 px; here they go along a running mean of directions",
            "num_vectors": 1,
            "samples_per_step": 4,
            "max_steps": 400,
            "min_steps": 400,
            "optimizer": "sphere",
            "learning_rate": 0.04,
            "schedule": "constant",
            "kappa": 1e-4,
            "timesteps": (0, 1000),
            "stop": "fixed",
            "resolution_px": 768,
        }
    )
    # Defaults of diffusers' StableDiffusionXLPipeline.
    draws = DrawingDefaults(guidance_scale=5.0, num_inference_steps=50)
    pipeline = "StableDiffusionXLPipeline"
    load_options: ClassVar[Mapping[str, Any]] = {"feature_extractor": None, "image_encoder": None}
    text_encoder_folders: ClassVar[Mapping[str, str]] = {
        "text_encoder": "text_encoder",
        "text_encoder_2": "text_encoder_2",
    }
    own_layer = 2  # both were trained to be read one layer before the last
    takes_sizes = True
    skips_elsewhere = False

    @classmethod
    def fits(cls, index: Mapping[str, Any], text_config: Mapping[str, Any]) -> bool:
        # Refiners and edit models are other pipelines, or lack the first text encoder.
        return super().fits(index, text_config) and bool(text_config)

    def text_encoders(self, components: Mapping[str, Any]) -> list[TextEncoder]:
        return [
            clip_encoder("text_encoder", components["text_encoder"], components["tokenizer"]),
            clip_encoder("text_encoder_2", components["text_encoder_2"], components["tokenizer_2"]),
        ]

    def listen(self, encoder: TextEncoder, tokens: Tokens, rows_RD: Tensor | None, layer: int) -> Conditioning:
        encoded = encoder.encode(tokens, rows_RD, output_hidden_states=True)
        pooled = {POOLED: encoded.text_embeds} if encoder.name == "text_encoder_2" else {}
        return Conditioning({HIDDEN: encoded.hidden_states[-layer], **pooled})

    def together(self, said: Mapping[str, Conditioning]) -> Conditioning:
        first, second = (said[name] for name in self.encoder_names)
        return Conditioning({HIDDEN: torch.cat([first[HIDDEN], second[HIDDEN]], -1), POOLED: second[POOLED]})

    def added_conditions(self, noisy_BCHW: Tensor, conditioning: Conditioning) -> dict[str, Tensor]:
        time_ids_B6 = conditioning.get(SIZES)
        if time_ids_B6 is None:
            height, width = (side * self.latent_scale for side in noisy_BCHW.shape[-2:])
            whole = (height, width, 0, 0, height, width)
            # Filled on the device: a copy from the host would wait for it.
            filled = [torch.full((len(noisy_BCHW),), float(side), device=self.device) for side in whole]
            time_ids_B6 = torch.stack(filled, 1)
        time_ids_B6 = time_ids_B6.to(self.device, self.dtype)
        return {"text_embeds": conditioning[POOLED].to(self.dtype), "time_ids": time_ids_B6}
