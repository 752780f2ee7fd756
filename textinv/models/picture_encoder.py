"""Encoders that compare pictures with pictures and with words: a vision tower, and the text tower that goes with it.

Owns preparing pictures as the encoder wants them, scaling features to unit length, the base model's own CLIP as such an
encoder, and loading any CLIP or DINO folder as one, saying what is wrong with it. Does not know concepts.

Shapes: P pictures, F width of the features, T tokens of a picture, W their width.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from textinv.errors import SettingsError, in_a_line
from textinv.models.base import BaseModel
from textinv.models.quiet import quiet

PLAIN = (0.5, 0.5, 0.5)
"""Mean and deviation that map [0, 1] to [-1, 1]."""
Tokenize = Callable[[Sequence[str]], Tensor]
"""From prompts to token ids (P, L)."""


@dataclass(frozen=True)
class PictureEncoder:
    """A vision tower, and the text tower that goes with it where there is one."""

    id: str
    model: Any
    tokenize: Tokenize | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size_px: int

    @property
    def reads_text(self) -> bool:
        """Whether prompts can be compared with pictures."""
        return self.tokenize is not None

    @torch.no_grad()
    def pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Unit features (P, F) of pictures (H, W, 3): resized to cover the encoder's square, then cut in the middle."""
        pixels_P3hw = self._prepared(pictures)
        if hasattr(self.model, "visual_projection"):
            output = self.model.vision_model(pixel_values=pixels_P3hw).pooler_output
            features_PF = self.model.visual_projection(output)
        else:
            features_PF = self.model(pixel_values=pixels_P3hw).pooler_output
        return torch.nn.functional.normalize(features_PF.float(), dim=-1).cpu()

    @torch.no_grad()
    def looks(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """What the vision tower makes of each picture, before it is summed up: (P, T, W), the whole one first, then its
        patches. Prepared as in `pictures`."""
        tower = getattr(self.model, "vision_model", self.model)
        seen_PTW: Tensor = tower(pixel_values=self._prepared(pictures)).last_hidden_state
        return seen_PTW.float().cpu()

    def _prepared(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """(P, 3, size_px, size_px) as the tower was trained."""
        device = next(self.model.parameters()).device
        pixels_P3hw = torch.stack([_square(pixels, self.size_px) for pixels in pictures]).to(device)
        mean, std = (torch.tensor(value, device=device)[:, None, None] for value in (self.mean, self.std))
        return ((pixels_P3hw - mean) / std).to(next(self.model.parameters()).dtype)

    @torch.no_grad()
    def prompts(self, prompts: Sequence[str]) -> Tensor:
        """Unit features (P, F) of prompts.

        Raises:
            SettingsError: the encoder reads no text.
        """
        if self.tokenize is None:
            raise SettingsError(f"{self.id} reads no text: editability needs a CLIP")
        return self.token_ids(self.tokenize(prompts)).cpu()

    @torch.no_grad()
    def token_ids(self, ids_PL: Tensor) -> Tensor:
        """Unit features (P, F) of prompts that are token ids already."""
        device = next(self.model.parameters()).device
        output = self.model.text_model(input_ids=ids_PL.to(device)).pooler_output
        return torch.nn.functional.normalize(self.model.text_projection(output).float(), dim=-1).cpu()


def own_encoder(model: BaseModel) -> PictureEncoder:
    """The base model's own CLIP.

    Raises:
        SettingsError: it has none.
    """
    if model.clip is None:
        raise SettingsError(
            f"{model.id} has no CLIP of its own to score with: name a CLIP or DINO folder, by the setting `encoders` "
            "(TEXTINV_ENCODERS) or, for what is learned already, `textinv evaluate NAME --encoder FOLDER`"
        )
    tokenize = tokenize_with(model.clip.tokenizer, model.clip.model)
    return with_preparation(f"{model.id}/clip", model.clip.model, tokenize, model.clip.folder)


def tokenize_with(tokenizer: Any, model: Any) -> Tokenize:
    """How a text tower's prompts become tokens: filled up, or cut, to its window."""
    window = model.config.text_config.max_position_embeddings

    def tokenize(prompts: Sequence[str]) -> Tensor:
        said = tokenizer(list(prompts), padding="max_length", truncation=True, max_length=window, return_tensors="pt")
        ids_PL: Tensor = said.input_ids
        return ids_PL

    return tokenize


def with_preparation(id: str, model: Any, tokenize: Tokenize | None, folder: Path) -> PictureEncoder:
    """How pictures are prepared comes from the folder's `preprocessor_config.json`; without one they are in [-1, 1]."""
    path = folder / "preprocessor_config.json"
    said = json.loads(path.read_text()) if path.is_file() else {}
    vision = getattr(model.config, "vision_config", model.config)
    mean, std = said.get("image_mean", PLAIN), said.get("image_std", PLAIN)
    return PictureEncoder(id, model, tokenize, tuple(mean), tuple(std), int(vision.image_size))


def _square(pixels: NDArray[np.uint8], size_px: int) -> Tensor:
    """(3, size_px, size_px) in [0, 1]."""
    picture = Image.fromarray(pixels)
    scale = size_px / min(picture.size)
    width, height = (max(size_px, round(side * scale)) for side in picture.size)
    left, top = (width - size_px) // 2, (height - size_px) // 2
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    picture = picture.crop((left, top, left + size_px, top + size_px))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def load_encoder(folder: Path, device: torch.device | str = "cpu") -> PictureEncoder:
    """Load a CLIP or DINO folder, in float32 on a device, and try it.

    Raises:
        SettingsError: there is no such folder, or it does not hold one.
    """
    if not folder.is_dir():
        raise SettingsError(f"the encoder {folder} is not a folder on this machine: name a CLIP or DINO folder")
    try:
        encoder = _loaded(folder, device)
        encoder.pictures([np.zeros((encoder.size_px, encoder.size_px, 3), np.uint8)])
        if encoder.reads_text:
            encoder.prompts(["a"])
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever transformers and the files' readers let through
        reason = f"{type(error).__name__}: {in_a_line(error)}"
        raise SettingsError(f"{folder} holds no CLIP or DINO that transformers can load: {reason}") from error
    return encoder


def _loaded(folder: Path, device: torch.device | str) -> PictureEncoder:
    from transformers import AutoModel, AutoTokenizer

    with quiet():
        model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    model = model.to(device).eval().requires_grad_(False)
    reads_text = hasattr(model, "text_model")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True) if reads_text else None
    return with_preparation(str(folder), model, tokenize_with(tokenizer, model) if reads_text else None, folder)
