"""The base model's own CLIP: the two towers that measure how well pictures and words agree.

Owns loading them. Does not know how scores are made of their features.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from textinv.errors import BaseModelError, in_a_line
from textinv.models.quiet import UNLOADABLE, quiet


@dataclass(frozen=True)
class Clip:
    """A frozen CLIPModel, the tokenizer of its text tower, and the folder that it came from."""

    model: Any
    tokenizer: Any
    folder: Path


def has_clip(folder: Path) -> bool:
    """Whether there is a CLIP in a folder, as far as can be seen without loading it."""
    return (folder / "config.json").is_file()


def load_clip(folder: Path, tokenizer: Any, device: torch.device) -> Clip | None:
    """Load the CLIP in a folder, in float32 on the device; None when there is no such folder.

    Raises:
        BaseModelError: the folder holds no CLIP.
    """
    if not has_clip(folder):
        return None
    from transformers import CLIPModel

    try:
        with quiet():
            model = CLIPModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    except UNLOADABLE as error:
        raise BaseModelError(
            f"the CLIP in {folder} cannot be loaded: {in_a_line(error)}; correct or remove it"
        ) from error
    # A tokenizer remembers how it last padded; a shared one would change under another thread's feet.
    tokenizer = copy.deepcopy(tokenizer)
    return Clip(model.to(device).eval().requires_grad_(False), tokenizer, folder)
