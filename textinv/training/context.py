"""The context term: the words around the placeholder should mean what they mean around the class word.

Wu et al. 2025, "Core Context Regularization", arXiv:2408.15914, text part only: the mean over the other tokens of
1 - cos(E(prompt with the concept)_i, E(prompt with the class word)_i), up to the end of the prompt. It needs no pass
through the UNet: the prompts ride along in the step's one text-encoder pass.

Owns the prompts and the reference encodings; the term itself is in `batch`. Shapes: P prompts, L window, D hidden
width, N vectors of the concept, n tokens of the class word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textinv.models.base import BaseModel, Tokens
from textinv.models.prompt import HIDDEN
from textinv.training.captions import tokenize_captions, tokenize_texts

CONTEXT_PROMPTS = (
    "a {} on a white background",
    "a {} on a red background",
    "a blue {}",
    "a small {} in the snow",
    "a {} on the beach",
    "a {} in the forest at night",
    "a painting of a {}",
    "a pencil drawing of a {}",
    "a {} and a tree",
    "a {} next to a cup",
    "two {} side by side",
    "a {} made of wood",
    "a {} with a hat",
    "a {} in a city street",
    "a close up of a {}",
    "a toy {} on a table",
)
"""What the context term compares: ordinary sentences about backgrounds, colours, styles and company. They share no line
with those of `textinv.evaluation`, so that nothing is trained on what it is scored by."""


@dataclass(frozen=True)
class References:
    """Encodings of the prompts with the class word, moved to the positions of the prompts with the placeholder."""

    hidden_PLD: Tensor
    mask_PL: Tensor
    """True where a position is compared."""
    tensor: str = HIDDEN
    """Which of a conditioning's tensors is compared: the one in which the first text encoder speaks."""

    @staticmethod
    def cat(parts: Sequence["References"]) -> "References":
        """Those of several concepts, one after the other."""
        hidden_PLD, mask_PL = (
            torch.cat(each) for each in zip(*[(one.hidden_PLD, one.mask_PL) for one in parts], strict=True)
        )
        return References(hidden_PLD, mask_PL, parts[0].tensor)


@torch.no_grad()
def encode_references(model: BaseModel, class_word: str, num_vectors: int) -> References:
    """Encode every context prompt with the class word in the concept's place."""
    texts = [prompt.replace("{}", class_word) for prompt in CONTEXT_PROMPTS]
    tokens = tokenize_texts(model, texts)
    encoder, span = next(iter(model.spans().items()))
    length = len(model.token_rows(encoder, class_word))
    source_PL, mask_PL = aligned(
        tokenize_captions(model, CONTEXT_PROMPTS, num_vectors)[encoder], tokens[encoder], length
    )
    hidden_PLD = model.encode_text(tokens, {})[span.tensor]
    source_PL, mask_PL = _among_all(hidden_PLD, span.across, source_PL, mask_PL)
    moved_PLD = torch.gather(hidden_PLD, 1, source_PL[:, :, None].expand_as(hidden_PLD))
    return References(moved_PLD, mask_PL, span.tensor)


def _among_all(hidden_PLD: Tensor, across: slice, source_PL: Tensor, mask_PL: Tensor) -> tuple[Tensor, Tensor]:
    """The same, where an encoder's hidden states are some of the positions (`across`): the others are not compared."""
    position_L = torch.arange(hidden_PLD.shape[1], device=hidden_PLD.device)
    sources_PL = position_L.repeat(len(hidden_PLD), 1)
    sources_PL[:, across] = position_L[across][source_PL]
    masks_PL = torch.zeros_like(sources_PL, dtype=torch.bool)
    masks_PL[:, across] = mask_PL
    return sources_PL, masks_PL


def aligned(placed: Tokens, worded: Tokens, length: int) -> tuple[Tensor, Tensor]:
    """Where each position of prompts with the placeholder lies in those with the class word of `length` tokens.

    Returns source positions (P, L) and whether a position is compared (P, L): all but the placeholder's, up to the end
    of the shorter prompt.
    """
    window = placed.ids_BL.shape[1]
    position_L = torch.arange(window, device=placed.ids_BL.device)
    learned_PL = placed.row_BL >= 0
    first_P1 = learned_PL.int().argmax(1, keepdim=True)
    shift_P1 = torch.where(position_L > first_P1, length - learned_PL.sum(1, keepdim=True), 0)
    source_PL = (position_L + shift_P1).clamp(0, window - 1)
    mask_PL = ~learned_PL & (position_L <= _ends(placed.ids_BL)) & (source_PL <= _ends(worded.ids_BL))
    return source_PL, mask_PL


def _ends(ids_BL: Tensor) -> Tensor:
    """Last position of each prompt (B, 1): where the run of equal ids that fills the window begins."""
    changes_BL = ids_BL[:, 1:] != ids_BL[:, :-1]
    position_L = torch.arange(1, ids_BL.shape[1], device=ids_BL.device)
    return (changes_BL * position_L).amax(1, keepdim=True)
