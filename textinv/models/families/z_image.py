"""Z-Image: Qwen3 reads the prompt as a chat, and a transformer of one stream walks along a flow.

Tongyi-MAI 2025, arXiv 2511.22699; diffusers' `ZImagePipeline`. What the template of the chat puts around a prompt
frames it here; padding is cut off. Guidance is counted as for other families: the pipeline's scale is one less. Times
are drawn evenly and shifted as in drawing, as diffusers trains LoRAs of it. *Turbo* draws with `guidance_scale=1` in
nine steps.

Shapes: as in `textinv.models.base`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from textinv.models.base import Conditioning, Tokens
from textinv.models.drawing import DrawingDefaults
from textinv.models.flow import Flow
from textinv.models.process import NoiseProcess
from textinv.models.prompt import HIDDEN, MASK
from textinv.models.text_encoder import TextEncoder, language_encoder
from textinv.models.transformer import TransformerModel

WINDOW = 512
"""What diffusers' pipeline gives Qwen3."""
_MARK = "PROMPT"


class ZImage(TransformerModel):
    """Z-Image and its turbo: rows are written in Qwen3."""

    family = "z-image"
    # Defaults of diffusers' ZImagePipeline.
    draws = DrawingDefaults(guidance_scale=6.0, num_inference_steps=50)
    pipeline = "ZImagePipeline"
    text_encoder_folders: ClassVar[Mapping[str, str]] = {"qwen3_4b": "text_encoder"}
    file_keys: ClassVar[Mapping[str, Sequence[str]]] = {"qwen3_4b": ("qwen3_4b", "qwen3_4b")}
    languages = ("qwen3_4b",)
    readers: ClassVar[Mapping[str, str]] = {
        "auto": "no other program reads rows of this family today: ComfyUI and diffusers ignore them",
        "onetrainer": "no other program reads rows of this family today, OneTrainer among them",
    }
    text_width_field = "cap_feat_dim"
    own_layer = 2

    @property
    def patch(self) -> int:
        return int(self._network.config.all_patch_size[0])

    def text_encoders(self, components: Mapping[str, Any]) -> list[TextEncoder]:
        tokenizer = components["tokenizer"]
        around = _chat(tokenizer)
        return [language_encoder("qwen3_4b", components["text_encoder"], tokenizer, WINDOW, around=around)]

    def process_of(self, config: Mapping[str, Any]) -> NoiseProcess:
        return Flow(config, patch=self.patch, even_steps=True)

    def listen(self, encoder: TextEncoder, tokens: Tokens, rows_RD: Tensor | None, layer: int) -> Conditioning:
        mask_BL = encoder.mask(tokens)
        encoded = encoder.encode(tokens, rows_RD, attention_mask=mask_BL, output_hidden_states=True)
        return Conditioning({HIDDEN: encoded.hidden_states[-self.own_layer], MASK: mask_BL})

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        hidden_BLD = conditioning[HIDDEN].to(self.dtype)
        texts = [text_LD[mask_L] for text_LD, mask_L in zip(hidden_BLD, conditioning[MASK], strict=True)]
        pictures = list(noisy_BCHW.to(self.device, self.dtype)[:, :, None].unbind())
        times_B = (1000 - timesteps_B.to(self.device)) / 1000
        predicted = self._network(pictures, times_B, texts, return_dict=False)[0]
        return -torch.stack([one.float() for one in predicted])[:, :, 0]  # it looks from noise to the picture


def _chat(tokenizer: Any) -> tuple[Sequence[int], Sequence[int]]:
    """What stands before and after a prompt."""
    said = tokenizer.apply_chat_template(
        [{"role": "user", "content": _MARK}], tokenize=False, add_generation_prompt=True, enable_thinking=True
    )
    before, after = (tokenizer(part, add_special_tokens=False).input_ids for part in said.split(_MARK))
    return before, after
