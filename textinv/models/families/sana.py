"""Sana 1.0 and 1.5: Gemma 2 reads, latents are 32 times smaller along a side, a linear transformer walks along a flow.

Xie et al. 2024, arXiv 2410.10629, section 2; diffusers' `SanaPipeline`. Texts are read in small letters, and padding is
masked. Times are drawn evenly and shifted as in drawing, as in the one published way to learn rows of it
(kunheek/dti@96a77a3, train_sana.py), which leaves the complex human instruction out, too. Drawing may put that before a
prompt (section 2.3): Gemma reads it, and what it says of the prompt behind it is heard.

Shapes: as in `textinv.models.base`.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
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
INSTRUCTION = "\n".join(
    [
        "Given a user prompt, generate an 'Enhanced prompt' that provides detailed visual descriptions suitable for "
        "image generation. Evaluate the level of detail in the user prompt:",
        "- If the prompt is simple, focus on adding specifics about colors, shapes, sizes, textures, and spatial "
        "relationships to create vivid and concrete scenes.",
        "- If the prompt is already detailed, refine and enhance the existing details slightly without "
        "overcomplicating.",
        "Here are examples of how to transform or refine prompts:",
        "- User Prompt: A cat sleeping -> Enhanced: A small, fluffy white cat curled up in a round shape, sleeping "
        "peacefully on a warm sunny windowsill, surrounded by pots of blooming red flowers.",
        "- User Prompt: A busy city street -> Enhanced: A bustling city street scene at dusk, featuring glowing street "
        "lamps, a diverse crowd of people in colorful clothing, and a double-decker bus passing by towering glass "
        "skyscrapers.",
        "Please generate only the enhanced description for the prompt below and avoid including any additional "
        "commentary or evaluations:",
        "User Prompt:",
    ]
)
"""What `SanaPipeline` puts before a prompt unless it is told otherwise, but for the space before the prompt."""


class Sana(TransformerModel):
    """Sana: rows are written in Gemma's table, which scales what it looks up."""

    family = "sana"
    published = MappingProxyType(
        {
            "source": "Kim et al. 2026, Directional Textual Inversion, arXiv:2512.13672, for Sana 1.5 as their "
            "repository advises now (kunheek/dti@6e66104, exps/ours_sana.py): steps of .04 rad, kappa 5e-5, 500 steps "
            "of 4; here they go along a running mean of directions",
            "num_vectors": 1,
            "samples_per_step": 4,
            "max_steps": 500,
            "min_steps": 500,
            "optimizer": "sphere",
            "learning_rate": 0.04,
            "schedule": "constant",
            "kappa": 5e-5,
            "timesteps": (0, 1000),
            "stop": "fixed",
        }
    )
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
    has_instruction = True

    def text_encoders(self, components: Mapping[str, Any]) -> list[TextEncoder]:
        said = {"lowers": True, "instruction": INSTRUCTION}
        return [language_encoder("gemma", components["text_encoder"], components["tokenizer"], WINDOW, **said)]

    def process_of(self, config: Mapping[str, Any]) -> NoiseProcess:
        return Flow(config, patch=self.patch)

    def listen(self, encoder: TextEncoder, tokens: Tokens, rows_RD: Tensor | None, layer: int) -> Conditioning:
        read = encoder.behind_instruction(tokens) if tokens.instructed else tokens
        encoded = encoder.encode(read, rows_RD, attention_mask=encoder.mask(read).long())
        said_BLD = encoded.last_hidden_state
        if tokens.instructed:
            said_BLD = encoder.without_instruction(said_BLD)
        return Conditioning({HIDDEN: said_BLD, MASK: encoder.mask(tokens)})

    def network_times(self, timesteps_B: Tensor) -> Tensor:
        return timesteps_B * float(self._network.config.timestep_scale)

    def told(self, conditioning: Conditioning) -> dict[str, Any]:
        return {"encoder_attention_mask": conditioning.get(MASK)}
