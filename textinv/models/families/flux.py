"""FLUX.1: T5 reads, one CLIP says the whole text in one vector, and 2 x 2 latents are one token of the transformer.

Black Forest Labs 2024; no paper: diffusers' `FluxPipeline` says how it is called. *dev* was distilled with its guidance
scale as an input, *schnell* to draw in four steps without any; the transformer's config tells them apart. Rows are
learned at guidance 3.5, with times drawn evenly and unshifted, as in the one published method that learns rows of T5
here (Minseo-Kimm/ConceptPrism@4aff742).

Shapes: as in `textinv.models.base`; S tokens of four latents each.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from textinv.models.base import Conditioning, Tokens
from textinv.models.drawing import DrawingDefaults
from textinv.models.flow import Flow
from textinv.models.placement import Placement
from textinv.models.process import NoiseProcess
from textinv.models.prompt import GUIDANCE, HIDDEN, POOLED
from textinv.models.text_encoder import TextEncoder, clip_encoder, language_encoder
from textinv.models.transformer import TransformerModel

LEARNED_GUIDANCE = 3.5


class Flux(TransformerModel):
    """FLUX.1 dev and schnell: rows are written in CLIP and in T5."""

    family = "flux"
    # Defaults of diffusers' FluxPipeline; schnell's are those of its model card.
    draws = DrawingDefaults(guidance_scale=3.5, num_inference_steps=28)
    pipeline = "FluxPipeline"
    load_options: ClassVar[Mapping[str, Any]] = {"feature_extractor": None, "image_encoder": None}
    text_encoder_folders: ClassVar[Mapping[str, str]] = {"clip_l": "text_encoder", "t5xxl": "text_encoder_2"}
    file_keys: ClassVar[Mapping[str, Sequence[str]]] = {"clip_l": ("clip_l", "clip_l"), "t5xxl": ("t5xxl", "t5")}
    languages = ("t5xxl",)
    readers: ClassVar[Mapping[str, str]] = {
        "auto": "ComfyUI reads it, OneTrainer all but T5's rows, and diffusers tensor by tensor "
        "(load_textual_inversion); A1111, Forge, SD.Next and InvokeAI do not",
        "onetrainer": "OneTrainer reads it, ComfyUI all but T5's rows, and diffusers tensor by tensor; others do not",
    }
    compared = ("t5xxl",)
    note = "others report less likeness of rows alone on this family than on Stable Diffusion (textinv/README.md)"
    # As OneTrainer's preset has it. CLIP says one vector of the whole text and steers all of the picture; T5 alone is
    # what ConceptPrism learns.
    learns = ("clip_l", "t5xxl")
    whole = ("clip_l",)
    packing = 2

    def text_encoders(self, components: Mapping[str, Any]) -> list[TextEncoder]:
        clip = clip_encoder("clip_l", components["text_encoder"], components["tokenizer"], cuts=True)
        clip.num_layers = 1  # all that is read of it is its last word
        window = 512 if components["transformer"].config.guidance_embeds else 256
        return [clip, language_encoder("t5xxl", components["text_encoder_2"], components["tokenizer_2"], window)]

    def place(self, placement: Placement, components: Mapping[str, Any]) -> Any:
        network = super().place(placement, components)
        self.guides = "input" if network.config.guidance_embeds else "none"
        if self.guides == "none":
            self.draws = DrawingDefaults(guidance_scale=0.0, num_inference_steps=4)
        return network

    def process_of(self, config: Mapping[str, Any]) -> NoiseProcess:
        return Flow(config, shift=1.0, patch=self.patch, even_steps=True)

    def listen(self, encoder: TextEncoder, tokens: Tokens, rows_RD: Tensor | None, layer: int) -> Conditioning:
        encoded = encoder.encode(tokens, rows_RD)
        return Conditioning(
            {POOLED: encoded.pooler_output} if encoder.name == "clip_l" else {HIDDEN: encoded.last_hidden_state}
        )

    def together(self, said: Mapping[str, Conditioning]) -> Conditioning:
        return Conditioning({HIDDEN: said["t5xxl"][HIDDEN], POOLED: said["clip_l"][POOLED]})

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        packed_BCHW = pixel_unshuffle(noisy_BCHW.to(self.device, self.dtype), self.packing)
        hidden_BLD, guidance_B = conditioning[HIDDEN].to(self.dtype), conditioning.get(GUIDANCE)
        if guidance_B is None and self.guides == "input":
            guidance_B = torch.full((len(noisy_BCHW),), LEARNED_GUIDANCE, device=self.device)
        predicted_BSC: Tensor = self._network(
            hidden_states=packed_BCHW.flatten(2).transpose(1, 2),
            timestep=timesteps_B.to(self.device) / 1000,
            guidance=guidance_B,
            pooled_projections=conditioning[POOLED].to(self.dtype),
            encoder_hidden_states=hidden_BLD,
            txt_ids=torch.zeros(hidden_BLD.shape[1], 3, device=self.device, dtype=self.dtype),
            img_ids=self._places(packed_BCHW),
        ).sample
        return pixel_shuffle(predicted_BSC.transpose(1, 2).reshape(packed_BCHW.shape), self.packing).float()

    def _places(self, packed_BCHW: Tensor) -> Tensor:
        """Where each token lies (S, 3): nothing, its row, its column."""
        height, width = packed_BCHW.shape[2:]
        axes = (torch.zeros(1), torch.arange(height), torch.arange(width))
        return torch.cartesian_prod(*[axis.to(self.device, self.dtype) for axis in axes])
