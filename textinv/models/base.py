"""What the rest of the project knows of a base model: frozen diffusion components that take rows at call time.

Owns the interface; the values on its text path are in `prompt`. Does not know how a family encodes text, nor where
weights lie. On the way: `TrainSpec`s and `BaseModel` -> pack; a prompt and `BaseModel` -> engine.

Shapes: B batch, L tokens (the window, or several windows of a long prompt), D width of the hidden states that the UNet
attends to, P width of the pooled text, V vocabulary, R rows, N vectors, C channels, H rows, W columns.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from textinv.models.clip import Clip
from textinv.models.drawing import DrawingDefaults
from textinv.models.process import NoiseProcess
from textinv.models.prompt import Conditioning, PromptPiece, Span, TokenizedPrompt, Tokens
from textinv.placeholders import Mention

__all__ = ["BaseModel", "Conditioning", "Span", "Tokens"]

Guides = Literal["rows", "input", "none"]


class BaseModel(ABC):
    """A frozen base model. Nothing in it requires a gradient, and no call changes what it gives; any thread may call
    it."""

    id: str
    """As written: an alias, a hub id, a folder or a file."""
    revision: str
    """The hub's commit, or the hash of the weights."""
    family: str
    device: torch.device
    dtype: torch.dtype
    """Of the UNet and the text encoders."""
    encoder_names: tuple[str, ...]
    encoder_widths: Mapping[str, int]
    whole: Sequence[str] = ()
    """The text encoders of which only one vector of the whole text is heard."""
    window: int
    """Tokens per text, begin and end included, of the text encoder that reads most of it."""
    room: int
    """Tokens per text without them."""
    latent_channels: int
    latent_scale: int
    """Pixels per latent, along a side."""
    grain_px: int
    """Sides of pictures are multiples of it."""
    native_px: int
    process: NoiseProcess
    """How latents are noised, what `predict` answers, and how noise is undone."""
    masks_text: bool
    """Whether padded positions can be masked: not when the UNet pools over all hidden states."""
    zeros_empty_negative: bool
    """Whether an empty negative prompt is no text at all, `unsaid`, rather than the text ""."""
    guides: Guides = "rows"
    """Whether guidance is a second row without the text, an input of the network, or nothing that can be asked for."""
    takes_sizes: bool = False
    """Whether its UNet is told sizes beside the text: those of the picture, of its crop and of what is wanted."""
    has_instruction: bool = False
    """Whether its text encoder may read an instruction before a prompt that is drawn; in learning it reads none."""
    clip_skip: int = 1
    """Which of the text encoder's layers is read: 1 is the one that the family's UNet was trained with, 2 the one
    before it, and so on (A1111's "Clip skip")."""
    skips_elsewhere: bool = True
    """Whether other programs read an earlier layer where "Clip skip" says so; some families' own layer they read in any
    case."""
    max_clip_skip: int = 1
    """The most that can be skipped; 1: there is nothing to choose."""
    drawing: DrawingDefaults = DrawingDefaults(guidance_scale=7.5, num_inference_steps=50)
    """How it draws where a request does not say."""
    recipe: Mapping[str, Any] = MappingProxyType({})
    """How concepts are learned on it unless a manifest says otherwise: fields of a recipe, and their `source`."""
    learns_shapes: bool = False
    """Whether pictures are best learned in their own shape near the native area, rather than as squares."""
    clip: Clip | None
    """The base model's own CLIP when it ships one."""
    folder: Path | None = None
    """Where its files lie on this machine, and what was put beside them."""

    @abstractmethod
    def tokenize(self, texts: Sequence[str], rows_of: Mapping[Mention, range]) -> dict[str, Tokens]:
        """Tokenise texts of one window each, per text encoder (B, window), on the CPU.

        `rows_of` says which rows stand at a placeholder: one position for each.

        Raises:
            PromptError: a text is longer than the window.
            UnknownConceptError: a placeholder is not in `rows_of`.
        """

    @abstractmethod
    def tokenize_prompt(
        self, prompt: str | Sequence[PromptPiece], vectors_of: Mapping[Mention, int]
    ) -> TokenizedPrompt:
        """Tokenise a prompt of any length, or its pieces with their attention weights, into chunks of one window.

        `vectors_of` says how many positions each placeholder takes. Behind the piece `INSTRUCTED` it is read after the
        base model's instruction.

        Raises:
            PromptError: one placeholder alone is longer than the window.
            UnknownConceptError: a placeholder is not in `vectors_of`.
        """

    @abstractmethod
    def count_tokens(self, prompt: str, vectors_of: Mapping[Mention, int]) -> int:
        """Positions that a prompt takes in its windows, without what frames and pads them.

        Raises:
            PromptError: one placeholder alone is longer than the window.
            UnknownConceptError: a placeholder is not in `vectors_of`.
        """

    @abstractmethod
    def vocabulary(self, encoder: str) -> Tensor:
        """The token embeddings (V, D) of a text encoder: the weights themselves, to be read only."""

    @abstractmethod
    def token_rows(self, encoder: str, text: str) -> Tensor:
        """Copy the vocabulary's rows (n, D) of a text's n tokens."""

    @abstractmethod
    def encode_text(
        self, tokens: Mapping[str, Tokens | Conditioning], rows: Mapping[str, Tensor], clip_skip: int | None = None
    ) -> Conditioning:
        """Encode texts with rows (R, D) per text encoder written at their placeholders; differentiable in the rows.

        What a text encoder was `heard` to say of the texts may stand in place of its tokens. `clip_skip`: None is the
        base model's own.
        """

    @abstractmethod
    def heard(self, encoder: str, tokens: Tokens, rows_RD: Tensor | None, clip_skip: int | None = None) -> Conditioning:
        """What one text encoder says of texts: its share of what the network is told."""

    def put_aside(self, needed: Collection[str]) -> None:
        """Take off the device what nobody needs just now: the VAE, and all text encoders but these. Whatever is asked
        comes back first."""
        return None

    @abstractmethod
    def batched(self, texts: Sequence[Conditioning]) -> Conditioning:
        """Put texts into one batch; shorter ones are padded and masked, which only `masks_text` models take."""

    @abstractmethod
    def joined(self, chunks: Conditioning) -> Conditioning:
        """Make the chunks of one prompt one text."""

    @abstractmethod
    def unsaid(self, texts: Conditioning) -> Conditioning:
        """Texts of the same shapes with nothing said."""

    def spans(self) -> Mapping[str, Span]:
        """Where each text encoder that is heard token by token speaks: side by side along D of the hidden states."""
        found: dict[str, Span] = {}
        begin = 0
        for name, width in self.encoder_widths.items():
            if name in self.whole:
                continue
            found[name] = Span(along=slice(begin, begin + width))
            begin += width
        return found

    def checkpoint_gradients(self, on: bool = True) -> bool:
        """Keep less for gradients from now on, for about a third more time, or all again; whether that changes
        something. Gradients stay the same. The one call that changes a base model, for forwards with a gradient."""
        return False

    @abstractmethod
    def encode_pixels(self, pixels_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the latents of pixels in [-1, 1], float32, scaled as the UNet wants them."""

    @abstractmethod
    def decode_latents(self, latents_BCHW: Tensor) -> Tensor:
        """Decode latents as the UNet has them to pixels in about [-1, 1], float32."""

    @abstractmethod
    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        """Run the UNet; the answer (B, C, H, W), float32, is what `process.predicts` says.

        Sizes and guidance are told with the conditioning, and heeded by networks that take them.
        """
