"""Sana 1.0 and 1.5: Gemma 2 reads, latents are 32 times smaller along a side, a linear transformer walks along a flow.

Xie et al. 2024, arXiv 2410.10629, section 2; diffusers' `SanaPipeline`. Texts are read in small letters, and padding is
masked. Times are drawn evenly and shifted as in drawing, as in the one published way to learn rows of it
(kunheek/dti@96a77a3, train_sana.py), which leaves the complex human instruction out, too.

Shapes: as in `textinv.models.base`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from textinv.models.base import Conditioning, Tokens
from textinv.models.drawing import DrawingDefaults
from textinv.models.flow import Flow
from textinv.models.process import NoiseProcess
from textinv.models.prompt import HIDDEN, MASK
from textinv.models.text_encoder import TextEncoder, language_encoder
from textinv.models.transformer import TransformerModel

WINDOW = 300
"""What diffusers' pipeline gives Gemma."""


class Sana(TransformerModel):
    """Sana: rows are written in Gemma's table, which scales what it looks up."""

    family = "sana"
    # Defaults of diffusers' SanaPipeline.
    draws = DrawingDefaults(guidance_scale=4.5, num_inference_steps=20)
    pipeline = "SanaPipeline"
    text_encoder_folders: ClassVar[Mapping[str, str]] = {"gemma": "text_encoder"}
    file_keys: ClassVar[Mapping[str, Sequence[str]]] = {"gemma": ("gemma", "gemma", "gemma2_2b")}
    languages = ("gemma",)
    readers: ClassVar[Mapping[str, str]] = {
        "auto": "OneTrainer reads it; ComfyUI, diffusers and other programs ignore it",
        "onetrainer": "OneTrainer reads it; ComfyUI, diffusers and other programs ignore it",
    }
    text_width_field = "caption_channels"

    def text_encoders(self, components: Mapping[str, Any]) -> list[TextEncoder]:
        return [language_encoder("gemma", components["text_encoder"], components["tokenizer"], WINDOW, lowers=True)]

    def process_of(self, config: Mapping[str, Any]) -> NoiseProcess:
        return Flow(config, patch=self.patch)

    def listen(self, encoder: TextEncoder, tokens: Tokens, rows_RD: Tensor | None, layer: int) -> Conditioning:
        mask_BL = encoder.mask(tokens)
        encoded = encoder.encode(tokens, rows_RD, attention_mask=mask_BL.long())
        return Conditioning({HIDDEN: encoded.last_hidden_state, MASK: mask_BL})

    def network_times(self, timesteps_B: Tensor) -> Tensor:
        return timesteps_B * float(self._network.config.timestep_scale)

    def told(self, conditioning: Conditioning) -> dict[str, Any]:
        return {"encoder_attention_mask": conditioning.get(MASK)}
