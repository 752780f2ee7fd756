"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, its last hidden states (Rombach et al. 2022, arXiv 2112.10752).

SD 2's encoder is OpenCLIP-H, and it predicts noise or velocity as its noise scheduler says. Its folder already leaves
the text encoder's last layer out, so the last hidden states are the ones that the UNet wants there too.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from textinv.models.drawing import DrawingDefaults
from textinv.models.latent_diffusion import LatentDiffusionModel
from textinv.models.text_encoder import TextEncoder, clip_encoder


class StableDiffusion1(LatentDiffusionModel):
    """SD 1.x and every model of its kind, whatever its size."""

    family = "sd1"
    published = MappingProxyType(
        {
            "source": "Voronov et al. 2023, DVAR, arXiv:2302.04841, for SD 1.5: AdamW at 5e-3 times 2 samples, at most "
            "6100 steps, a window of 310 steps, threshold .15; here every tenth step looks, at 8 samples",
            "num_vectors": 1,
            "samples_per_step": 2,
            "max_steps": 6100,
            "min_steps": 310,
            "optimizer": "adamw",
            "learning_rate": 0.01,
            "schedule": "constant",
            "timesteps": (0, 1000),
            "stop": "dvar",
            "stop_window": 31,
            "stop_threshold": 0.15,
            "stop_samples": 8,
        }
    )
    # Defaults of diffusers' StableDiffusionPipeline and of CompVis' txt2img.py (`--scale 7.5 --ddim_steps 50`).
    draws = DrawingDefaults(guidance_scale=7.5, num_inference_steps=50)
    pipeline = "StableDiffusionPipeline"
    load_options: ClassVar[Mapping[str, Any]] = {
        "safety_checker": None,
        "feature_extractor": None,
        "image_encoder": None,
        "requires_safety_checker": False,
    }

    @classmethod
    def fits(cls, index: Mapping[str, Any], text_config: Mapping[str, Any]) -> bool:
        # SD 1 and 2 are the same pipeline; OpenAI's CLIP is known by its activation.
        return super().fits(index, text_config) and text_config.get("hidden_act", "quick_gelu") == "quick_gelu"

    def text_encoders(self, components: Mapping[str, Any]) -> list[TextEncoder]:
        return [clip_encoder("text_encoder", components["text_encoder"], components["tokenizer"])]


class StableDiffusion2(StableDiffusion1):
    """SD 2.x: as SD 1.x but for the text encoder's kind."""

    family = "sd2"
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

    @classmethod
    def fits(cls, index: Mapping[str, Any], text_config: Mapping[str, Any]) -> bool:
        return index.get("_class_name") == cls.pipeline and text_config.get("hidden_act") == "gelu"
