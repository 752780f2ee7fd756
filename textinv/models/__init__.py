"""Base models: frozen diffusion components of several families behind one interface.

Owns loading them, tokenising prompts with placeholders, writing rows at call time, and running their parts. Does not
know concepts' pictures, training or serving. Open `base.py` first: the interface and its values; a new family is one
class in `families/`.
"""

from textinv.models.base import BaseModel, Conditioning, Tokens
from textinv.models.load import (
    base_revision,
    facts_of_family,
    file_keys_of,
    guess_file_of,
    load_base_model,
    load_words,
    look_up,
    native_size_px,
    readers_of,
    revisions_of,
)
from textinv.models.prompt import PromptPiece, TokenBatch, TokenizedPrompt, batch_prompts

__all__ = [
    "BaseModel",
    "Conditioning",
    "PromptPiece",
    "TokenBatch",
    "TokenizedPrompt",
    "Tokens",
    "base_revision",
    "batch_prompts",
    "facts_of_family",
    "file_keys_of",
    "guess_file_of",
    "load_base_model",
    "load_words",
    "look_up",
    "native_size_px",
    "readers_of",
    "revisions_of",
]
