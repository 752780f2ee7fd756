"""Encoders that scores are taken with: any CLIP or DINO folder, beside the base model's own CLIP.

Owns loading a folder and saying what is wrong with it. Does not know concepts, nor how features are made.
"""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from textinv.errors import SettingsError
from textinv.models.picture_encoder import PictureEncoder, own_encoder, tokenize_with, with_preparation
from textinv.models.quiet import quiet

__all__ = ["PictureEncoder", "load_encoder", "own_encoder"]


def load_encoder(folder: Path, device: torch.device | str = "cpu") -> PictureEncoder:
    """Load a CLIP or DINO folder, in float32 on a device, and try it.

    Raises:
        SettingsError: there is no such folder, or it does not hold one.
    """
    if not folder.is_dir():
        raise SettingsError(f"the encoder {folder} is no folder on this machine: name a CLIP or DINO folder")
    try:
        encoder = _loaded(folder, device)
        encoder.pictures([np.zeros((encoder.size_px, encoder.size_px, 3), np.uint8)])
        if encoder.reads_text:
            encoder.prompts(["a"])
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever transformers and the files' readers let through
        reason = f"{type(error).__name__}: {error}"
        raise SettingsError(f"{folder} holds no CLIP or DINO that transformers can load: {reason}") from error
    return encoder


def _loaded(folder: Path, device: torch.device | str) -> PictureEncoder:
    with quiet():
        model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    model = model.to(device).eval().requires_grad_(False)
    reads_text = hasattr(model, "text_model")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True) if reads_text else None
    return with_preparation(str(folder), model, tokenize_with(tokenizer, model) if reads_text else None, folder)
