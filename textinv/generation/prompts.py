"""Prompts as the UNet takes them: prepared when a request comes in, encoded when it joins, remembered by what they say.

Owns the cache of text-encoder outputs by (prompt, concept digests). Does not know how a prompt is tokenised: the base
model does.

Shapes: B prompts, L tokens, R rows of all concepts, D width of a text encoder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textinv.generation.mounts import Mount, embedding_of
from textinv.generation.prompt_aliases import expand_aliases
from textinv.generation.recently_used import RecentlyUsed
from textinv.models.base import BaseModel, Conditioning, Tokens
from textinv.placeholders import ConceptRef, refs_in

DEFAULT_CACHE_BYTES = 256 * 2**20

Key = tuple[str, bool, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class PreparedPrompt:
    """A prompt that can be encoded: its tokens (1, L) and the rows (R, D) they point to, by text encoder."""

    key: Key
    tokens: Mapping[str, Tokens]
    rows: Mapping[str, Tensor]


class PromptEncoder:
    """Encodes prompts on one base model. `prepare` from any thread, `encode` in the one that owns the model."""

    def __init__(self, model: BaseModel, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._model = model
        self._encoded: RecentlyUsed[Key, Conditioning] = RecentlyUsed(max_bytes, _size_bytes)

    def prepare(self, prompt: str, mounts: Mapping[ConceptRef, Mount], weighted: bool) -> PreparedPrompt:
        """Tokenise a prompt.

        Raises:
            PromptError: it does not fit, or a concept has more vectors than fit.
        """
        text = expand_aliases(prompt)
        refs = refs_in(text)
        embeddings = [embedding_of(mounts[ref]) for ref in refs]
        rows_of: dict[ConceptRef, range] = {}
        start = 0
        for ref, embedding in zip(refs, embeddings, strict=True):
            rows_of[ref] = range(start, start + embedding.num_vectors)
            start += embedding.num_vectors
        tokens = self._model.tokenize([text], rows_of)
        rows = {name: torch.cat([one.rows[name] for one in embeddings]) for name in self._model.encoder_names if refs}
        return PreparedPrompt((text, weighted, tuple(one.digest for one in embeddings)), tokens, rows)

    def encode(self, prompts: Sequence[PreparedPrompt]) -> list[Conditioning]:
        """Encode prompts, those not remembered one by one."""
        return [self._remembered(prompt) for prompt in prompts]

    def _remembered(self, prompt: PreparedPrompt) -> Conditioning:
        known = self._encoded.get(prompt.key)
        if known is None:
            known = self._model.encode_text(prompt.tokens, prompt.rows)
            self._encoded.put(prompt.key, known)
        return known


def _size_bytes(conditioning: Conditioning) -> int:
    parts = (conditioning.hidden_BLD, conditioning.pooled_BD, conditioning.mask_BL)
    return sum(part.numel() * part.element_size() for part in parts if part is not None)
