"""Prompts as the UNet takes them: mounts checked, attention weights read, text encoded and remembered by what it says.

Owns A1111's syntax of attention weights (`(more)`, `[less]`, `(word:1.2)`, `\\(` for a plain bracket, `BREAK` for a new
window), the checks that an embedding fits the base model, and the cache of text-encoder outputs by (prompt, concept
digests). Does not know tokenizers, for the base model cuts a prompt into chunks, nor where embeddings come from.

Shapes: B chunks, L tokens, D width.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from textinv.embedding import Embedding
from textinv.errors import BaseModelMismatchError, PromptError, UnknownConceptError
from textinv.generation.blending import Blended, Ingredient, at_strength, ingredient_of, mixed
from textinv.generation.prompt_schedule import texts_over_steps
from textinv.models.base import BaseModel, Conditioning
from textinv.models.prompt import INSTRUCTED, NEW_WINDOW, TokenBatch, TokenizedPrompt, batch_prompts, with_outputs
from textinv.placeholders import ConceptRef, Mention, concepts_of, expand_aliases, mentions_in
from textinv.spec import OUTPUT

Bases = Literal["exact", "kin"]
"""Whether rows that were learned on one base model may be drawn by another of its family."""
UNKNOWN_BASE = "an unknown base model"
DEFAULT_CACHE_BYTES = 256 * 2**20
# Attention over the text costs as much as its chunks; what follows the first few is hardly heeded.
MAX_CHUNKS = 8
ROUND_FACTOR = 1.1
SQUARE_FACTOR = 1 / 1.1
MIN_WEIGHT, MAX_WEIGHT = -10.0, 10.0
# Deeper brackets are plain text, so that a hostile prompt costs linear time.
MAX_DEPTH = 32

_BREAK = re.compile(r"\s*\bBREAK\b\s*")
_MARK = re.compile(r"\\[()\[\]\\]|\\|\(|\[|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)|\)|\]|[^\\()\[\]:]+|:")


class Learned(Protocol):
    """What knows the base model that it was learned on."""

    @property
    def base_revision(self) -> str: ...
    @property
    def family(self) -> str | None: ...


class StoredConcept(Learned, Protocol):
    """A published version of a concept, as the registry reads it."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def base_model(self) -> str: ...
    @property
    def embedding(self) -> Embedding: ...
    @property
    def digest(self) -> str: ...
    @property
    def record(self) -> Mapping[str, Any]: ...


Mount = Embedding | StoredConcept
"""What stands for a placeholder: rows, published or not."""
Key = tuple[str, bool, int, bool, tuple[str, ...]]


class WeightedText(NamedTuple):
    """A stretch of a prompt and the factor of its words' attention."""

    text: str
    weight: float


def parse_attention_weights(prompt: str) -> list[WeightedText]:
    """Split a prompt into stretches of equal weight; unclosed brackets reach to the end, stray ones are plain text."""
    pieces: list[WeightedText] = []
    opened: list[tuple[str, int]] = []
    for match in _MARK.finditer(prompt):
        mark = match.group()
        if mark in "([" and len(opened) < MAX_DEPTH:
            opened.append((mark, len(pieces)))
        elif match.group(1) is not None and opened and opened[-1][0] == "(":
            _scale(pieces, opened.pop()[1], float(match.group(1)))
        elif mark in ")]" and opened and opened[-1][0] == {")": "(", "]": "["}[mark]:
            _scale(pieces, opened.pop()[1], ROUND_FACTOR if mark == ")" else SQUARE_FACTOR)
        else:
            plain = mark[1:] if len(mark) == 2 and mark[0] == "\\" else mark
            pieces += _around_breaks(plain)
    for mark, start in opened:
        _scale(pieces, start, ROUND_FACTOR if mark == "(" else SQUARE_FACTOR)
    return _merge(pieces)


def _around_breaks(text: str) -> Iterator[WeightedText]:
    """A stretch of plain text, parted where `BREAK` begins a new window."""
    first, *others = _BREAK.split(text)
    yield WeightedText(first, 1.0)
    for other in others:
        yield from (WeightedText(*NEW_WINDOW), WeightedText(other, 1.0))


def has_attention_weights(prompt: str) -> bool:
    """Whether the syntax changes what a prompt says: without any it means the same as plain text."""
    return parse_attention_weights(prompt) not in ([], [WeightedText(prompt, 1.0)])


def embedding_of(mount: Mount) -> Embedding:
    """The rows of a mount."""
    return mount if isinstance(mount, Embedding) else mount.embedding


def _ingredient(ref: ConceptRef, mount: Mount) -> Ingredient:
    return ingredient_of(str(ref), embedding_of(mount), {} if isinstance(mount, Embedding) else mount.record)


def may_draw(base_revision: str, family: str, learned: Learned, bases: Bases | None) -> bool:
    """Whether a base model may draw what was learned on another; `bases` None: what holds where nobody says.

    Embeddings of Stable Diffusion 1.5 and XL are used across all their fine-tuned checkpoints every day, and do less
    well the further these are from where they were learned. Of what was learned here kin is refused unless it is asked
    for; of what was imported, and whose base nobody knows, it is allowed unless it is refused.
    """
    if learned.base_revision == base_revision:
        return True
    if not learned.base_revision:
        return bases != "exact"
    return bases == "kin" and learned.family == family


def check_mounts(
    model: BaseModel, refs: Iterable[ConceptRef], mounts: Mapping[ConceptRef, Mount], bases: Bases | None = None
) -> dict[str, str]:
    """Check that every named concept is mounted and belongs to this base model, or may be drawn by it as its kin.

    Returned are the base models of those that were learned on another one, by `name@version`.

    Raises:
        UnknownConceptError: a named concept has no mount.
        BaseModelMismatchError: an embedding was learned on another base model, or has other widths.
    """
    elsewhere = {}
    for ref in refs:
        mount = mounts.get(ref)
        if mount is None:
            raise UnknownConceptError(
                f"the concept {ref} is not mounted; learn it first or correct its name", concept=str(ref)
            )
        if not isinstance(mount, Embedding) and not may_draw(model.revision, model.family, mount, bases):
            raise BaseModelMismatchError(
                f"the concept {ref} was learned on {mount.base_model or UNKNOWN_BASE!r} (revision "
                f"{mount.base_revision[:12]}), but this is {model.id!r} (revision {model.revision[:12]}); learn it on "
                f"this base model{_kin_hint(model, mount, bases)}",
                concept=str(ref),
                learned_on=mount.base_model,
                base_model=model.id,
            )
        _check_widths(model, ref, embedding_of(mount))
        if not isinstance(mount, Embedding) and mount.base_revision != model.revision:
            elsewhere[str(ConceptRef(mount.name, mount.version))] = mount.base_model or UNKNOWN_BASE
    return elsewhere


def _kin_hint(model: BaseModel, mount: StoredConcept, bases: Bases | None) -> str:
    may_be_kin = bases is None and may_draw(model.revision, model.family, mount, "kin")
    return ", or allow its kin (bases: kin)" if may_be_kin else ""


def used_concepts(refs: Iterable[ConceptRef], mounts: Mapping[ConceptRef, Mount]) -> dict[str, str]:
    """The digests of the concepts used, by `name@version` (by `name` for embeddings that were never published)."""
    used: dict[str, str] = {}
    for ref in refs:
        mount = mounts[ref]
        name = str(ref if isinstance(mount, Embedding) else ConceptRef(mount.name, mount.version))
        used[name] = mount.digest
    return used


@dataclass(frozen=True, eq=False)
class PreparedPrompt:
    """A prompt that can be encoded: its chunks, and the rows that its placeholders stand for."""

    key: Key
    """What the encoding depends on: the text, whether it is weighted, the layer that is read, whether it is read behind
    an instruction, the concepts' digests."""
    clip_skip: int
    tokenized: TokenizedPrompt
    mounts: Mapping[Mention, Embedding]
    notes: tuple[str, ...] = ()
    """What people are to be told of it."""


class Script(NamedTuple):
    """A prompt over the inference steps of a picture: its texts, and which of them holds in each step."""

    texts: tuple[PreparedPrompt, ...]
    at: tuple[int, ...] = ()
    """Empty where it says one thing all the time."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What people are to be told of it."""
        return tuple(dict.fromkeys(note for text in self.texts for note in text.notes))


class Said(NamedTuple):
    """A script as the UNet is told it."""

    texts: tuple[Conditioning, ...]
    at: tuple[int, ...] = ()

    def now(self, position: int) -> Conditioning:
        """What holds when so many steps are behind."""
        return self.texts[self.at[position] if self.at else 0]

    def changed(self, change: Callable[[Conditioning], Conditioning]) -> "Said":
        """The same, each of its texts changed."""
        return Said(tuple(change(one) for one in self.texts), self.at)


class PromptEncoder:
    """Encodes prompts on one base model. `prepare` from any thread, `encode` in the one that owns the model."""

    def __init__(self, model: BaseModel, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.hits = 0
        self.misses = 0
        self._model = model
        self._max_bytes, self._num_bytes = max_bytes, 0
        self._encoded: dict[Key, Conditioning] = {}  # in the order of their last use

    def script(
        self,
        prompt: str,
        mounts: Mapping[ConceptRef, Mount],
        weighted: bool,
        clip_skip: int | None,
        num_steps: int,
        instructed: bool = False,
    ) -> Script:
        """Prepare a prompt for so many inference steps; with `weighted`, A1111's prompts that change are syntax.

        Raises:
            PromptError: as `prepare`, or it says too many different things.
        """
        if not weighted or "[" not in prompt:
            return Script((self.prepare(prompt, mounts, weighted, clip_skip, instructed),))
        over = texts_over_steps(prompt, num_steps)
        texts = tuple(self.prepare(text, mounts, weighted, clip_skip, instructed) for text in over.texts)
        return Script(texts, over.at)

    def say(self, scripts: Sequence[Script]) -> list[Said]:
        """Encode scripts, all their texts together."""
        encoded = iter(self.encode([text for script in scripts for text in script.texts]))
        return [Said(tuple(next(encoded) for _ in script.texts), script.at) for script in scripts]

    def prepare(
        self,
        prompt: str,
        mounts: Mapping[ConceptRef, Mount],
        weighted: bool,
        clip_skip: int | None = None,
        instructed: bool = False,
    ) -> PreparedPrompt:
        """Cut a prompt into chunks; with `weighted`, A1111's attention weights are syntax.

        Raises:
            PromptError: it takes too many chunks, or a concept has more vectors than one holds.
        """
        text = expand_aliases(prompt)
        found = {mention: self._rows_of(mention, mounts) for mention in mentions_in(text)}
        used = {mention: one.embedding for mention, one in found.items()}
        counts = {ref: embedding.num_vectors for ref, embedding in used.items()}
        parsed = parse_attention_weights(text) if weighted else [WeightedText(text, 1.0)]
        pieces = [*([INSTRUCTED] if instructed else []), *((piece.text, piece.weight) for piece in parsed)]
        tokenized = self._model.tokenize_prompt(pieces, counts)
        if tokenized.num_chunks > MAX_CHUNKS:
            raise PromptError(
                f"the prompt takes {tokenized.num_chunks} windows of {self._model.room} tokens; "
                f"shorten it to {MAX_CHUNKS}",
                num_chunks=tokenized.num_chunks,
            )
        skip, digests = clip_skip or self._model.clip_skip, tuple(one.digest for one in used.values())
        notes = tuple(note for one in found.values() for note in one.notes)
        return PreparedPrompt((text, weighted, skip, instructed, digests), skip, tokenized, used, notes)

    def _rows_of(self, mention: Mention, mounts: Mapping[ConceptRef, Mount]) -> Blended:
        """The rows that a placeholder stands for: those of a concept, or rows between."""
        if isinstance(mention, ConceptRef):
            return Blended(embedding_of(mounts[mention]))
        one, *others = (_ingredient(ref, mounts[ref]) for ref in concepts_of(mention))
        if others:
            return mixed(one, others[0], mention.parts[1][1])
        return at_strength(self._model, one, mention.parts[0][1])

    def encode(self, prompts: Sequence[PreparedPrompt]) -> list[Conditioning]:
        """Encode prompts (one text each), those not remembered together."""
        found = {prompt.key: self._encoded[prompt.key] for prompt in prompts if prompt.key in self._encoded}
        self._encoded |= {key: self._encoded.pop(key) for key in found}
        new = {prompt.key: prompt for prompt in prompts if prompt.key not in found}
        for together in _without_clashes(list(new.values())):
            for prompt, conditioning in zip(together, self._encode_new(together), strict=True):
                found[prompt.key] = conditioning
                self._remember(prompt.key, conditioning)
        self.misses += len(new)
        self.hits += len(prompts) - len(new)
        return [found[prompt.key] for prompt in prompts]

    def _remember(self, key: Key, conditioning: Conditioning) -> None:
        """Keep an encoding, and forget those used longest ago until all fit."""
        self._encoded[key] = conditioning
        self._num_bytes += conditioning.size_bytes
        while self._num_bytes > self._max_bytes:
            self._num_bytes -= self._encoded.pop(next(iter(self._encoded))).size_bytes

    def _encode_new(self, prompts: Sequence[PreparedPrompt]) -> list[Conditioning]:
        rows_of = {ref: embedding.rows for prompt in prompts for ref, embedding in prompt.mounts.items()}
        batch = batch_prompts([prompt.tokenized for prompt in prompts], rows_of)
        encoded = self._model.encode_text(batch.tokens, batch.rows, prompts[0].clip_skip)
        if any(name.endswith(OUTPUT) for name in batch.rows):
            encoded = with_outputs(encoded, self._model.spans(), batch.tokens, batch.rows)
        weighed = _weigh(self._model, encoded, batch)
        return [self._model.joined(weighed.index(torch.tensor(list(one)))) for one in batch.chunks]


def _scale(pieces: list[WeightedText], start: int, factor: float) -> None:
    for index in range(start, len(pieces)):
        text, weight = pieces[index]
        if pieces[index] != NEW_WINDOW:
            pieces[index] = WeightedText(text, min(max(weight * factor, MIN_WEIGHT), MAX_WEIGHT))


def _merge(pieces: list[WeightedText]) -> list[WeightedText]:
    merged: list[WeightedText] = []
    for piece in pieces:
        if merged and piece != NEW_WINDOW != merged[-1] and math.isclose(merged[-1].weight, piece.weight):
            merged[-1] = WeightedText(merged[-1].text + piece.text, piece.weight)
        else:
            merged.append(piece)
    return merged


def _check_widths(model: BaseModel, ref: ConceptRef, embedding: Embedding) -> None:
    if embedding.widths == dict(model.encoder_widths):
        return
    if problem := embedding.misfit(model.encoder_widths, repr(model.id), model.whole):
        raise BaseModelMismatchError(
            f"the embedding of {ref} does not fit: {problem}; learn it on this base model",
            concept=str(ref),
            base_model=model.id,
        )


def _without_clashes(prompts: Sequence[PreparedPrompt]) -> Iterator[list[PreparedPrompt]]:
    """Part prompts so that within a part one layer is read, all behind an instruction or none, and a name means one
    embedding: a head may have moved between two requests."""
    together: list[PreparedPrompt] = []
    meant: dict[Mention, str] = {}
    for prompt in sorted(prompts, key=_read_as):
        digests = {ref: embedding.digest for ref, embedding in prompt.mounts.items()}
        is_read_otherwise = bool(together) and _read_as(together[0]) != _read_as(prompt)
        if is_read_otherwise or any(meant.get(ref, digest) != digest for ref, digest in digests.items()):
            yield together
            together, meant = [], {}
        together.append(prompt)
        meant |= digests
    if together:
        yield together


def _read_as(prompt: PreparedPrompt) -> tuple[int, bool]:
    return prompt.clip_skip, prompt.tokenized.instructed


def _weigh(model: BaseModel, encoded: Conditioning, batch: TokenBatch) -> Conditioning:
    """Scale what the encoders say about each token, and each text back to its mean, as A1111 does.

    Each encoder's hidden states, where its span says, have their own mean.
    """
    if all(bool((weights_BL == 1).all()) for weights_BL in batch.weights.values()):
        return encoded
    weighed = {span.tensor: encoded[span.tensor].clone() for span in model.spans().values()}
    for encoder, (name, across, along) in model.spans().items():
        part_BLD = encoded[name][:, across, along]
        weights_BL1 = batch.weights[encoder][..., None].to(part_BLD)
        weighed[name][:, across, along] = _with_mean_of(part_BLD * weights_BL1, part_BLD)
    return encoded.told(**weighed)


def _with_mean_of(scaled_BLD: Tensor, before_BLD: Tensor) -> Tensor:
    wanted_B, found_B = (each.mean((1, 2), keepdim=True) for each in (before_BLD, scaled_BLD))
    # Where a text's mean is nothing but rounding, there is none to go back to.
    is_mean_B = torch.minimum(wanted_B.abs(), found_B.abs()) > 1e-4 * before_BLD.std((1, 2), keepdim=True)
    return torch.where(is_mean_B, scaled_BLD * (wanted_B / found_B), scaled_BLD)
