"""The learned vectors of one concept and their canonical bytes.

Owns the `Embedding` value and the one safetensors layout that its digest is taken over. Does not know other programs'
files (`formats`), names, versions or base models.

Shapes: N vectors, D width of a text encoder.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import safetensors.torch
import torch
from torch import Tensor

from textinv.errors import EmbeddingFormatError
from textinv.spec import OUTPUT, RowPlace

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""Of a text encoder: its place among the base model's (`text_encoder_2`), or what it is (`t5xxl`)."""
# Far above anything a prompt window can hold (77 tokens); a bound against hostile files.
MAX_VECTORS = 256
MAX_WIDTH = 16384


@dataclass(frozen=True, eq=False)
class Embedding:
    """All learned vectors of one concept: encoder name -> rows (N, D), fp32 on the CPU.

    Rows that are written into what an encoder says go by its name and `OUTPUT`; beside them are always those that it
    reads in their place. The rows are copied, so later changes of the tensors that were passed in do not reach the
    embedding.

    Raises:
        EmbeddingFormatError: no rows, an unknown encoder, unequal numbers of vectors, or rows that are not finite
            two-dimensional floating-point numbers.
    """

    rows: Mapping[str, Tensor]
    num_vectors: int = field(init=False)
    """Number of vectors per text encoder, N."""
    widths: dict[str, int] = field(init=False)
    """Width of each text encoder's rows, D."""

    def __post_init__(self) -> None:
        if not self.rows:
            raise EmbeddingFormatError("an embedding needs the rows of at least one text encoder; none were given")
        rows = {encoder: _checked_rows(encoder, self.rows[encoder]) for encoder in sorted(self.rows)}
        counts = {encoder: len(tensor) for encoder, tensor in rows.items()}
        if len(set(counts.values())) > 1:
            raise EmbeddingFormatError(f"every text encoder needs the same number of vectors; these have {counts}")
        for encoder, rows_ND in rows.items():
            beside = rows.get(encoder.removesuffix(OUTPUT))
            if beside is None or beside.shape != rows_ND.shape:
                raise EmbeddingFormatError(
                    f"rows of {encoder} need rows of the encoder itself beside them, of the same width"
                )
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "num_vectors", len(next(iter(rows.values()))))
        object.__setattr__(self, "widths", {encoder: rows_ND.shape[1] for encoder, rows_ND in rows.items()})

    @property
    def size_bytes(self) -> int:
        """Bytes that the rows take in memory."""
        return sum(rows_ND.numel() * rows_ND.element_size() for rows_ND in self.rows.values())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes, in hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def outputs(self) -> list[str]:
        """The text encoders into what these say rows are written."""
        return [encoder.removesuffix(OUTPUT) for encoder in self.rows if encoder.endswith(OUTPUT)]

    def misfit(self, wanted: Mapping[str, int], base_model: str, whole: Collection[str] = ()) -> str | None:
        """Why these rows do not fit a base model, whose widths by text encoder are `wanted`; None when they do.

        Of `whole` encoders it hears one vector of the whole text, into which no row can be written.
        """
        widths = widths_by_encoder(self.widths)
        if unheard := sorted(set(self.outputs) & set(whole)):
            return f"it has rows for what {unheard[0]} says of single words, and {base_model} hears it say one thing"
        if widths == dict(wanted):
            return None
        has = f"its rows are {_said(widths)} wide, but those of {base_model} {_said(wanted)}"
        if sorted(widths.values()) == sorted(wanted.values()):
            return f"the rows of its two text encoders are swapped: {has}"
        if missing := sorted(wanted.keys() - widths.keys()):
            return f"it has no rows for {' and '.join(missing)}: {has}"
        return has

    def unlearned(self, place: RowPlace) -> str | None:
        """Why these rows are no start for rows of that place; None when they are."""
        if place == "input" and self.outputs:
            return f"it has rows for what {' and '.join(self.outputs)} says: learn with rows: output to start from them"
        return None

    def to_bytes(self) -> bytes:
        """Write the canonical safetensors: keyed by encoder, in order, no metadata; equal rows give equal bytes."""
        return write_safetensors(self.rows, {})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Embedding":
        """Read canonical bytes.

        Raises:
            EmbeddingFormatError: `data` is not a safetensors of rows by encoder name.
        """
        try:
            return cls(safetensors.torch.load(data))
        except (safetensors.SafetensorError, ValueError, KeyError) as error:
            raise EmbeddingFormatError(f"these {len(data)} bytes are not a safetensors embedding: {error}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Embedding) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def widths_by_encoder(widths: Mapping[str, int]) -> dict[str, int]:
    """Of widths of rows, those by text encoder: rows that are written into what it says are as wide."""
    return {encoder: width for encoder, width in widths.items() if not encoder.endswith(OUTPUT)}


def write_safetensors(rows: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Write fp32 tensors as safetensors, keys in sorted order.

    The library's own writer may order or pad differently in another release, and a digest has to stay.
    Layout: https://github.com/huggingface/safetensors, "Format".
    """
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    bodies: list[bytes] = []
    start = 0
    for key in sorted(rows):
        body = rows[key].to(torch.float32).contiguous().numpy().astype("<f4").tobytes()
        end = start + len(body)
        header[key] = {"dtype": "F32", "shape": list(rows[key].shape), "data_offsets": [start, end]}
        bodies.append(body)
        start = end
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + b"".join(bodies)


def _said(widths: Mapping[str, int]) -> str:
    if list(widths) == ["text_encoder"]:
        return str(widths["text_encoder"])
    return " and ".join(f"{width} ({encoder})" for encoder, width in sorted(widths.items()))


def _checked_rows(encoder: str, tensor: Tensor) -> Tensor:
    if not _NAME.fullmatch(encoder):
        raise EmbeddingFormatError(
            f"{encoder!r} is not a valid name of a text encoder: use small letters, digits and _"
        )
    if tensor.dim() != 2 or not tensor.is_floating_point():
        raise EmbeddingFormatError(
            f"rows of {encoder} must be floating-point (N, D); got {tensor.dtype} {tuple(tensor.shape)}"
        )
    num_vectors, width = tensor.shape
    if not (1 <= num_vectors <= MAX_VECTORS and 1 <= width <= MAX_WIDTH):
        raise EmbeddingFormatError(
            f"rows of {encoder} are {num_vectors} x {width}; the limit is {MAX_VECTORS} vectors of width {MAX_WIDTH}"
        )
    rows_ND = tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
    if not bool(torch.isfinite(rows_ND).all()):
        raise EmbeddingFormatError(f"rows of {encoder} contain values that are not finite")
    return rows_ND
