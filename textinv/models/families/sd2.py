"""Stable Diffusion 2.x: one OpenCLIP-H text encoder, predicting noise or velocity as its noise scheduler says.

Its folder already leaves the text encoder's last layer out, so the last hidden states are the ones that the UNet wants.
"""

from collections.abc import Mapping
from typing import Any

from textinv.models.families.sd1 import StableDiffusion1


class StableDiffusion2(StableDiffusion1):
    """SD 2.x: as SD 1.x but for the text encoder's kind."""

    family = "sd2"

    @classmethod
    def fits(cls, index: Mapping[str, Any], text_config: Mapping[str, Any]) -> bool:
        return index.get("_class_name") == "StableDiffusionPipeline" and text_config.get("hidden_act") == "gelu"
