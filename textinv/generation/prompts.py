"""Prompts as the UNet takes them: prepared when a request comes in, encoded when it joins, remembered by what they say.

Owns the cache of text-encoder outputs by (prompt, concept digests), and attention weights on them. Does not know
tokenizers: the base model cuts a prompt into chunks.

Shapes: B chunks, L tokens, D width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from textinv.embedding import Embedding
from textinv.errors import PromptError
from textinv.generation.attention_weights import parse_attention_weights
from textinv.generation.mounts import Mount, embedding_of
from textinv.generation.prompt_aliases import expand_aliases
from textinv.generation.recently_used import RecentlyUsed
from textinv.models.base import BaseModel, Conditioning
from textinv.models.prompt import TokenBatch, TokenizedPrompt, batch_prompts
from textinv.placeholders import ConceptRef, refs_in

DEFAULT_CACHE_BYTES = 256 * 2**20
# Attention over the text costs as much as its chunks; what follows the first few is hardly heeded.
MAX_CHUNKS = 8

Key = tuple[str, bool, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class PreparedPrompt:
    """A prompt that can be encoded: its chunks, and the embeddings that its placeholders stand for."""

    key: Key
    tokenized: TokenizedPrompt
    mounts: Mapping[ConceptRef, Embedding]


class PromptEncoder:
    """Encodes prompts on one base model. `prepare` from any thread, `encode` in the one that owns the model."""

    def __init__(self, model: BaseModel, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.hits = 0
        self.misses = 0
        self._model = model
        self._encoded: RecentlyUsed[Key, Conditioning] = RecentlyUsed(max_bytes, _size_bytes)

    def prepare(self, prompt: str, mounts: Mapping[ConceptRef, Mount], weighted: bool) -> PreparedPrompt:
        """Cut a prompt into chunks; with `weighted`, A1111's attention weights are syntax.

        Raises:
            PromptError: it takes too many chunks, or a concept has more vectors than one holds.
        """
        text = expand_aliases(prompt)
        used = {ref: embedding_of(mounts[ref]) for ref in refs_in(text)}
        counts = {ref: embedding.num_vectors for ref, embedding in used.items()}
        pieces = [(piece.text, piece.weight) for piece in parse_attention_weights(text)] if weighted else text
        tokenized = self._model.tokenize_prompt(pieces, counts)
        if tokenized.num_chunks > MAX_CHUNKS:
            raise PromptError(
                f"the prompt takes {tokenized.num_chunks} windows of {self._model.window - 2} tokens; "
                f"shorten it to {MAX_CHUNKS}",
                num_chunks=tokenized.num_chunks,
            )
        return PreparedPrompt((text, weighted, tuple(one.digest for one in used.values())), tokenized, used)

    def encode(self, prompts: Sequence[PreparedPrompt]) -> list[Conditioning]:
        """Encode prompts (one text each), those not remembered together."""
        found = {prompt.key: known for prompt in prompts if (known := self._encoded.get(prompt.key)) is not None}
        new = {prompt.key: prompt for prompt in prompts if prompt.key not in found}
        for together in _without_clashes(list(new.values())):
            for prompt, conditioning in zip(together, self._encode_new(together), strict=True):
                found[prompt.key] = conditioning
                self._encoded.put(prompt.key, conditioning)
        self.misses += len(new)
        self.hits += len(prompts) - len(new)
        return [found[prompt.key] for prompt in prompts]

    def _encode_new(self, prompts: Sequence[PreparedPrompt]) -> list[Conditioning]:
        rows_of = {ref: embedding.rows for prompt in prompts for ref, embedding in prompt.mounts.items()}
        batch = batch_prompts([prompt.tokenized for prompt in prompts], rows_of)
        encoded = self._model.encode_text(batch.tokens, batch.rows)
        return batch.split(_weigh(encoded, batch, self._model.encoder_widths))


def _without_clashes(prompts: Sequence[PreparedPrompt]) -> Iterator[list[PreparedPrompt]]:
    """Part prompts so that within a part a name means one embedding: a head may have moved between two requests."""
    together: list[PreparedPrompt] = []
    meant: dict[ConceptRef, str] = {}
    for prompt in prompts:
        digests = {ref: embedding.digest for ref, embedding in prompt.mounts.items()}
        if any(meant.get(ref, digest) != digest for ref, digest in digests.items()):
            yield together
            together, meant = [], {}
        together.append(prompt)
        meant |= digests
    if together:
        yield together


def _weigh(encoded: Conditioning, batch: TokenBatch, widths: Mapping[str, int]) -> Conditioning:
    """Scale what the encoders say about each token; hidden states of several encoders lie side by side along D."""
    if all(bool((weights_BL == 1).all()) for weights_BL in batch.weights.values()):
        return encoded
    parts: list[Tensor] = [
        weights_BL[..., None].expand(-1, -1, widths[encoder]) for encoder, weights_BL in batch.weights.items()
    ]
    factors_BLD = torch.cat(parts, dim=-1)[..., : encoded.hidden_BLD.shape[-1]].to(encoded.hidden_BLD)
    return replace(encoded, hidden_BLD=encoded.hidden_BLD * factors_BLD)


def _size_bytes(conditioning: Conditioning) -> int:
    parts = (conditioning.hidden_BLD, conditioning.pooled_BD, conditioning.mask_BL)
    return sum(part.numel() * part.element_size() for part in parts if part is not None)
