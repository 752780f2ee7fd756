"""PixArt-Sigma: T5 reads, and a transformer predicts noise, and its variance, which is ignored.

Chen et al. 2024, arXiv 2403.04692; diffusers' `PixArtSigmaPipeline`. Texts are read in small letters, and padding is
masked. Timesteps are drawn evenly, as OneTrainer does, the one program that learns rows of it
(Nerogar/OneTrainer@23df3832).

Shapes: as in `textinv.models.base`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from textinv.models.base import Conditioning, Tokens
from textinv.models.drawing import DrawingDefaults
from textinv.models.prompt import HIDDEN, MASK
from textinv.models.text_encoder import TextEncoder, language_encoder
from textinv.models.transformer import TransformerModel

WINDOW = 300
"""What diffusers' pipeline gives T5."""


class PixArtSigma(TransformerModel):
    """PixArt-Sigma: rows are written in T5, and the process is that of betas."""

    family = "pixart"
    # Defaults of diffusers' PixArtSigmaPipeline.
    draws = DrawingDefaults(guidance_scale=4.5, num_inference_steps=20)
    pipeline = "PixArtSigmaPipeline"
    text_encoder_folders: ClassVar[Mapping[str, str]] = {"t5xxl": "text_encoder"}
    file_keys: ClassVar[Mapping[str, Sequence[str]]] = {"t5xxl": ("t5xxl", "t5")}
    languages = ("t5xxl",)
    readers: ClassVar[Mapping[str, str]] = {
        "auto": "ComfyUI reads it; A1111, Forge, SD.Next, InvokeAI and diffusers do not, and OneTrainer only with "
        "--format onetrainer",
        "onetrainer": "OneTrainer reads it; ComfyUI and other programs do not",
    }
    text_width_field = "caption_channels"

    def text_encoders(self, components: Mapping[str, Any]) -> list[TextEncoder]:
        return [language_encoder("t5xxl", components["text_encoder"], components["tokenizer"], WINDOW, lowers=True)]

    def listen(self, encoder: TextEncoder, tokens: Tokens, rows_RD: Tensor | None, layer: int) -> Conditioning:
        mask_BL = encoder.mask(tokens)
        encoded = encoder.encode(tokens, rows_RD, attention_mask=mask_BL.long())
        return Conditioning({HIDDEN: encoded.last_hidden_state, MASK: mask_BL})

    def told(self, conditioning: Conditioning) -> dict[str, Any]:
        no_sizes = {"resolution": None, "aspect_ratio": None}
        return {"encoder_attention_mask": conditioning.get(MASK), "added_cond_kwargs": no_sizes}
