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
    languages = ("t5xxl",)
    readers: ClassVar[Mapping[str, str]] = {
        "auto": "ComfyUI reads it, and OneTrainer all but T5's rows; A1111, Forge, InvokeAI and diffusers' pipeline of "
        "this family do not",
        "onetrainer": "OneTrainer reads it, and ComfyUI all but T5's rows; other programs do not",
    }
    compared = ("clip_l", "clip_g")
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

    def listen(self, encoder: TextEncoder, tokens: Tokens, rows_RD: Tensor | None, layer: int) -> Conditioning:
        if encoder.name == "t5xxl":
            return Conditioning({HIDDEN: encoder.encode(tokens, rows_RD).last_hidden_state})
        encoded = encoder.encode(tokens, rows_RD, output_hidden_states=True)
        return Conditioning({HIDDEN: encoded.hidden_states[-layer], POOLED: encoded.text_embeds})

    def together(self, said: Mapping[str, Conditioning]) -> Conditioning:
        first, second, t5_BTD = said["clip_l"], said["clip_g"], said["t5xxl"][HIDDEN]
        clips_BLD = torch.cat([first[HIDDEN], second[HIDDEN]], -1)
        clips_BLD = pad(clips_BLD, (0, t5_BTD.shape[-1] - clips_BLD.shape[-1]))
        pooled_BD = torch.cat([first[POOLED], second[POOLED]], -1)
        hidden_BLD = torch.cat([clips_BLD, t5_BTD.to(clips_BLD.dtype)], 1)
        return Conditioning({HIDDEN: hidden_BLD, POOLED: pooled_BD})

    def told(self, conditioning: Conditioning) -> dict[str, Any]:
        return {"pooled_projections": conditioning[POOLED].to(self.dtype)}
