"""What all families share: a VAE, a UNet, text encoders and a noise process, frozen.

Owns everything but the text path's differences. A family subclasses this in one file of `textinv/models/families/`.

Shapes: as in `base`.
"""

import math
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from textinv.errors import PromptError
from textinv.models.base import BaseModel, Conditioning, Tokens
from textinv.models.clip import Clip
from textinv.models.drawing import DrawingDefaults
from textinv.models.meaning import Parts
from textinv.models.memory_saving import checkpoint_layers, vaes_by_size
from textinv.models.parts import check_complete, check_text_width, check_unet
from textinv.models.placement import Placement
from textinv.models.process import Diffusion, NoiseProcess, with_shipped
from textinv.models.prompt import (
    HIDDEN,
    INSTRUCTED,
    MASK,
    PromptPiece,
    TokenizedPrompt,
    in_a_row,
    nothing_said,
    side_by_side,
    tokens_of,
)
from textinv.models.seat import Seat, may_leave
from textinv.models.text_encoder import TextEncoder
from textinv.native_size import scale_of, side_of
from textinv.placeholders import Mention

LEAST_PX = 256
"""Of a base model of its family's usual kind. Smaller ones, the demo base among them, have too few positions a side for
shapes near a square, and what was published of the others does not speak of them."""


class LatentDiffusionModel(BaseModel):
    """A base model made of a diffusers pipeline's components."""

    pipeline: ClassVar[str]
    """The diffusers pipeline that knows how to load the components."""
    load_options: ClassVar[Mapping[str, Any]] = {}
    """What the pipeline is told when it loads: parts that are not needed."""
    vae_name: ClassVar[str] = "vae"
    """The component that turns pixels into latents."""
    network_name: ClassVar[str] = "unet"
    """The component that predicts."""
    draws: DrawingDefaults
    """Unless the folder or whoever names it says otherwise; with the source."""
    published: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """How concepts are learned on it unless a manifest names another recipe: values of a recipe's fields, with their
    `source`."""
    has_shapes: ClassVar[bool] = True
    """Whether it draws other shapes than squares well."""
    text_encoder_folders: ClassVar[Mapping[str, str]] = {"text_encoder": "text_encoder"}
    """The component of each text encoder."""
    file_keys: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Keys of each text encoder's rows in other programs' files, where encoders go by what they are: the one that is
    written (ComfyUI's), OneTrainer's, and others that are read. Without any, files are those of one or two CLIPs."""
    learns: ClassVar[Sequence[str]] = ()
    """The text encoders that learn unless a manifest says otherwise; without any, all."""
    languages: ClassVar[Sequence[str]] = ()
    """Its text encoders that are language models: their numbers do not fit into float16, and are not loaded so."""
    readers: ClassVar[Mapping[str, str]] = {}
    """By format, which programs read an exported file and which ignore it; without any, those of files of CLIPs."""
    compared: ClassVar[Sequence[str]] = ()
    """The text encoders whose words the context term compares; without any, all."""
    note: ClassVar[str] = ""
    """What a plan says of learning on it."""
    own_layer: ClassVar[int] = 1
    """Which hidden states its UNet reads, counted from the text encoders' last: 1 is the last."""
    max_chunks: ClassVar[float] = math.inf
    """How many windows of text it can be told, one after the other."""

    def __init__(
        self,
        id: str,
        revision: str,
        index: Mapping[str, Any],
        components: Mapping[str, Any],
        clip: Clip | None,
        placement: Placement,
    ) -> None:
        """Freeze the components and move them; `index` is the folder's `model_index.json`."""
        self.id, self.revision, self.clip = id, revision, clip
        self.device, self.dtype = placement.device, placement.dtype
        check_complete(id, components, (*self.parts().all, "scheduler"))
        encoders = self.text_encoders(components)
        self._encoders = {encoder.name: encoder for encoder in encoders}
        for encoder in encoders:
            (placement if encoder.half else placement.without_half()).place(encoder.network)
        self.encoder_names = tuple(self._encoders)
        self.encoder_widths = {encoder.name: encoder.width for encoder in encoders}
        self._network = self.place(placement, components)
        vae = placement.place_vae(components[self.vae_name])
        reading = [encoder.frame for encoder in encoders if not encoder.cuts]
        self.window, self.room = min((frame.window, frame.room) for frame in reading)
        layers = [encoder.num_layers for encoder in encoders if encoder.half]
        self.max_clip_skip = max(min(layers, default=1) - self.own_layer + 1, 1)
        self.latent_channels = int(vae.config.latent_channels)
        self.latent_scale = scale_of(vae.config)
        self.native_px = side_of(self._network.config) * self.latent_scale
        self._vaes = vaes_by_size(vae, self.native_px)
        parts = {self.vae_name: vae, **{encoder.name: encoder.network for encoder in encoders}}
        self._seats = {name: Seat(part, self.device) for name, part in parts.items() if may_leave(part, self.device)}
        self.grain_px = max(self.latent_scale * self.patch, 8)
        self.learns_shapes, self.recipe = self.shapes_at(self.native_px), self.recipe_at(self.native_px)
        scheduler = components["scheduler"]
        self.drawing = with_shipped(self.draws, type(scheduler).__name__)
        self.process = self.process_of({**scheduler.config, "_class_name": type(scheduler).__name__})
        self._shift, self._spread = _statistics(vae.config, self.device)
        self.zeros_empty_negative = bool(index.get("force_zeros_for_empty_prompt", False))
        self.masks_text = self._network.config.get("addition_embed_type") in (None, "text_time")

    @property
    def patch(self) -> int:
        """Latents along a side that the network takes as one."""
        return 1

    def place(self, placement: Placement, components: Mapping[str, Any]) -> Any:
        """Check that the network is one that rows can be learned with, and place it.

        Raises:
            BaseModelError: it is not.
        """
        check_unet(self.id, components, self.vae_name)
        check_text_width(self.id, components["unet"], sum(self.encoder_widths.values()))
        return placement.place_unet(components["unet"])

    def process_of(self, config: Mapping[str, Any]) -> NoiseProcess:
        """The noise process by the config of the noise scheduler.

        Raises:
            BaseModelError: the network was not trained with it, or it is not known.
        """
        return Diffusion(config, self.device)

    @classmethod
    def shapes_at(cls, native_px: int) -> bool:
        """Whether pictures are best learned in their own shape, on a base model of this native size."""
        return cls.has_shapes and native_px >= LEAST_PX

    @classmethod
    def recipe_at(cls, native_px: int) -> Mapping[str, Any]:
        """What was published for a base model of this native size; nothing for smaller ones."""
        return dict(cls.published) if native_px >= LEAST_PX else {}

    @classmethod
    def fits(cls, index: Mapping[str, Any], text_config: Mapping[str, Any]) -> bool:
        """Whether a folder's `model_index.json` and the first text encoder's config are this family's."""
        return index.get("_class_name") == cls.pipeline

    @classmethod
    def parts(cls) -> Parts:
        """The components whose weights and configs decide what rows mean."""
        return Parts(cls.network_name, cls.vae_name, tuple(cls.text_encoder_folders.values()))

    @abstractmethod
    def text_encoders(self, components: Mapping[str, Any]) -> list[TextEncoder]:
        """The text encoders, in the order in which they are always named."""

    def tokenize(self, texts: Sequence[str], rows_of: Mapping[Mention, range]) -> dict[str, Tokens]:
        vectors_of = {ref: len(rows) for ref, rows in rows_of.items()}
        prompts = [self.tokenize_prompt(text, vectors_of) for text in texts]
        for text, prompt in zip(texts, prompts, strict=True):
            if prompt.num_chunks > 1:
                raise PromptError(
                    f"{text!r} takes {prompt.num_chunks} windows of {self.window} tokens, but only one fits here; "
                    "write less, or learn fewer vectors",
                    num_windows=prompt.num_chunks,
                )
        starts = {ref: rows.start for ref, rows in rows_of.items()}
        return {name: tokens_of([prompt.chunks[name][0] for prompt in prompts], starts) for name in self.encoder_names}

    def tokenize_prompt(
        self, prompt: str | Sequence[PromptPiece], vectors_of: Mapping[Mention, int]
    ) -> TokenizedPrompt:
        pieces: Sequence[PromptPiece] = [(prompt, 1.0)] if isinstance(prompt, str) else prompt
        chunks = {name: encoder.chunks(pieces, vectors_of) for name, encoder in self._encoders.items()}
        most = max(len(one) for name, one in chunks.items() if not self._encoders[name].cuts)
        if most > self.max_chunks:
            raise PromptError(
                f"the prompt takes {most} windows of {self.room} tokens, but {self.id!r} reads at most "
                f"{self.max_chunks}: shorten it",
                num_windows=most,
            )
        empty = {name: encoder.frame.close([]) for name, encoder in self._encoders.items()}
        whole = {name: (*one[:most], *[empty[name]] * (most - len(one))) for name, one in chunks.items()}
        return TokenizedPrompt(whole, pieces[:1] == [INSTRUCTED])

    def count_tokens(self, prompt: str, vectors_of: Mapping[Mention, int]) -> int:
        reading = [encoder for encoder in self._encoders.values() if not encoder.cuts]
        return max(encoder.num_tokens(prompt, vectors_of) for encoder in reading)

    def vocabulary(self, encoder: str) -> Tensor:
        return self._encoders[encoder].embedding.weight

    def token_rows(self, encoder: str, text: str) -> Tensor:
        table_VD = self.vocabulary(encoder)
        ids = torch.tensor(self._encoders[encoder].word_ids(text), dtype=torch.long, device=table_VD.device)
        return table_VD[ids].to(self.device)

    def encode_text(
        self, tokens: Mapping[str, Tokens | Conditioning], rows: Mapping[str, Tensor], clip_skip: int | None = None
    ) -> Conditioning:
        said = {}
        for name in self.encoder_names:
            one = tokens[name]
            said[name] = one if isinstance(one, Conditioning) else self.heard(name, one, rows.get(name), clip_skip)
        return self.together(said)

    def heard(self, encoder: str, tokens: Tokens, rows_RD: Tensor | None, clip_skip: int | None = None) -> Conditioning:
        with self._on_device(encoder):
            return self.listen(self._encoders[encoder], tokens, rows_RD, self.layer_of(clip_skip))

    def listen(self, encoder: TextEncoder, tokens: Tokens, rows_RD: Tensor | None, layer: int) -> Conditioning:
        """What a text encoder, which is on the device, says, where hidden states are read at this layer."""
        if layer == 1:
            return Conditioning({HIDDEN: encoder.encode(tokens, rows_RD).last_hidden_state})
        encoded = encoder.encode(tokens, rows_RD, output_hidden_states=True)
        # As A1111 and diffusers: an earlier layer goes through the norm that the last one goes through.
        return Conditioning({HIDDEN: encoder.final_norm(encoded.hidden_states[-layer])})

    def together(self, said: Mapping[str, Conditioning]) -> Conditioning:
        """What the network is told, where text encoders say this."""
        (only,) = said.values()
        return only

    def _on_device(self, part: str) -> AbstractContextManager[None]:
        """A text encoder or the VAE is on the device meanwhile."""
        seat = self._seats.get(part)
        return nullcontext() if seat is None else seat.used()

    def put_aside(self, needed: Collection[str]) -> None:
        for name, seat in self._seats.items():
            if name not in needed:
                seat.leave()

    def batched(self, texts: Sequence[Conditioning]) -> Conditioning:
        return side_by_side(texts)

    def joined(self, chunks: Conditioning) -> Conditioning:
        return in_a_row(chunks)

    def unsaid(self, texts: Conditioning) -> Conditioning:
        return nothing_said(texts)

    def layer_of(self, clip_skip: int | None) -> int:
        """Which hidden states are read, counted from the last."""
        return self.own_layer + (clip_skip or self.clip_skip) - 1

    def checkpoint_gradients(self, on: bool = True) -> bool:
        networks = [self._network, *(encoder.network for encoder in self._encoders.values())]
        return sum(checkpoint_layers(network, on) for network in networks) > 0  # of all: none is passed over

    @torch.no_grad()
    def encode_pixels(self, pixels_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        vae = self._vae_for(pixels_BCHW, 1)
        scale = vae.config.scaling_factor
        with self._on_device(self.vae_name):
            encoded = vae.encode(pixels_BCHW.to(self.device, vae.dtype))
        for name in ("latents", "latent"):  # VQModel and AutoencoderDC: latents without a distribution
            if hasattr(encoded, name):
                mean_BCHW = getattr(encoded, name).float() * scale
                return mean_BCHW, torch.zeros_like(mean_BCHW)
        posterior = encoded.latent_dist
        mean_BCHW, std_BCHW = (posterior.mean.float() - self._shift) * scale, posterior.std.float() * scale
        return (mean_BCHW, std_BCHW) if self._spread is None else (mean_BCHW / self._spread, std_BCHW / self._spread)

    @torch.no_grad()
    def decode_latents(self, latents_BCHW: Tensor) -> Tensor:
        spread_BCHW = latents_BCHW.float() if self._spread is None else latents_BCHW.float() * self._spread
        vae = self._vae_for(latents_BCHW, self.latent_scale)
        unscaled_BCHW = spread_BCHW / vae.config.scaling_factor + self._shift
        with self._on_device(self.vae_name):
            pixels_BCHW: Tensor = vae.decode(unscaled_BCHW.to(self.device, vae.dtype)).sample
        return pixels_BCHW.float()

    def _vae_for(self, given_BCHW: Tensor, scale_px: int) -> Any:
        """The VAE in the way that fits what it is given, of so many pixels a side each."""
        area = given_BCHW.shape[-2] * given_BCHW.shape[-1] * scale_px**2
        return next(vae for most, vae in self._vaes if area <= most)

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        predicted_BCHW: Tensor = self._network(
            noisy_BCHW.to(self.device, self.dtype),
            timesteps_B.to(self.device),
            conditioning[HIDDEN].to(self.dtype),
            encoder_attention_mask=conditioning.get(MASK),
            added_cond_kwargs=self.added_conditions(noisy_BCHW, conditioning),
        ).sample
        return predicted_BCHW.float()

    def added_conditions(self, noisy_BCHW: Tensor, conditioning: Conditioning) -> dict[str, Tensor]:
        """What the UNet takes beside the hidden states; a UNet that pools them itself still wants the empty answer."""
        return {}


def _statistics(vae_config: Mapping[str, Any], device: torch.device) -> tuple[float | Tensor, Tensor | None]:
    """What is subtracted from latents before they are scaled, and the deviation of each channel they are divided by."""
    mean, std = vae_config.get("latents_mean"), vae_config.get("latents_std")
    if mean is None or std is None:
        return float(vae_config.get("shift_factor") or 0.0), None
    mean_1C11, std_1C11 = (torch.tensor(each, device=device)[None, :, None, None] for each in (mean, std))
    return mean_1C11, std_1C11
