"""Stable Diffusion 3 and 3.5: two CLIPs side by side, T5 behind them, and a transformer that walks along a flow.

Esser et al. 2024, arXiv 2403.03206, section 4; diffusers' `StableDiffusion3Pipeline`. Both CLIPs cut a text at their
own window, as there; T5 reads all of it. Times are drawn logit-normally and without a shift, as OneTrainer does, the
one program that learns rows of it (Nerogar/OneTrainer@23df3832, preset of SD 3.5).

Shapes: as in `textinv.models.base`; T tokens of T5.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from textinv.models.base import Conditioning, Span, Tokens
from textinv.models.drawing import DrawingDefaults
from textinv.models.flow import Flow, logit_normal
from textinv.models.process import NoiseProcess
from textinv.models.prompt import HIDDEN, POOLED
from textinv.models.text_encoder import TextEncoder, clip_encoder, language_encoder
from textinv.models.transformer import TransformerModel

T5_WINDOW = 256
"""What diffusers' pipeline gives it."""


class StableDiffusion3(TransformerModel):
    """SD 3 medium, 3.5 medium and large: rows are written in all three text encoders."""

    family = "sd3"
    # Defaults of diffusers' StableDiffusion3Pipeline.
    draws = DrawingDefaults(guidance_scale=7.0, num_inference_steps=28)
    pipeline = "StableDiffusion3Pipeline"
    load_options: ClassVar[Mapping[str, Any]] = {"feature_extractor": None, "image_encoder": None}
    text_encoder_folders: ClassVar[Mapping[str, str]] = {
        "clip_l": "text_encoder",
        "clip_g": "text_encoder_2",
        "t5xxl": "text_encoder_3",
    }
    file_keys: ClassVar[Mapping[str, Sequence[str]]] = {
        "clip_l": ("clip_l", "clip_l"),
        "clip_g": ("clip_g", "clip_g"),
        "t5xxl": ("t5xxl", "t5"),
    }
    learns = ("clip_l", "clip_g", "t5xxl")  # as OneTrainer's preset has it
    own_layer = 2

    def text_encoders(self, components: Mapping[str, Any]) -> list[TextEncoder]:
        clips = [
            clip_encoder(name, components[part], components[part.replace("text_encoder", "tokenizer")], cuts=True)
            for name, part in list(self.text_encoder_folders.items())[:2]
        ]
        return [*clips, language_encoder("t5xxl", components["text_encoder_3"], components["tokenizer_3"], T5_WINDOW)]

    def process_of(self, config: Mapping[str, Any]) -> NoiseProcess:
        return Flow(config, density=logit_normal, shift=1.0, patch=self.patch)

    def spans(self) -> Mapping[str, Span]:
        first, second = (self.encoder_widths[name] for name in ("clip_l", "clip_g"))
        window = self._encoders["clip_l"].frame.window
        return {
            "clip_l": Span(HIDDEN, slice(0, window), slice(0, first)),
            "clip_g": Span(HIDDEN, slice(0, window), slice(first, first + second)),
            "t5xxl": Span(HIDDEN, slice(window, None)),
        }

    def encode_text(
        self, tokens: Mapping[str, Tokens], rows: Mapping[str, Tensor], clip_skip: int | None = None
    ) -> Conditioning:
        first, second = (
            self._encoders[name].encode(tokens[name], rows.get(name), output_hidden_states=True)
            for name in ("clip_l", "clip_g")
        )
        t5_BTD = self._encoders["t5xxl"].encode(tokens["t5xxl"], rows.get("t5xxl")).last_hidden_state
        layer = self.layer_of(clip_skip)
        clips_BLD = torch.cat([first.hidden_states[-layer], second.hidden_states[-layer]], -1)
        clips_BLD = pad(clips_BLD, (0, t5_BTD.shape[-1] - clips_BLD.shape[-1]))
        pooled_BD = torch.cat([first.text_embeds, second.text_embeds], -1)
        hidden_BLD = torch.cat([clips_BLD, t5_BTD.to(clips_BLD.dtype)], 1)
        return Conditioning({HIDDEN: hidden_BLD, POOLED: pooled_BD})

    def told(self, conditioning: Conditioning) -> dict[str, Any]:
        return {"pooled_projections": conditioning[POOLED].to(self.dtype)}
