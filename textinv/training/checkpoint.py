"""A checkpoint: the resumable state of an unfinished concept, a few KB.

Owns its bytes: a safetensors file whose metadata holds the counters and the looks at the fixed batch as JSON. Draws are
pure functions of the step, so no random state is stored. Does not know where checkpoints are kept.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from textinv.errors import CorruptObjectError

FORMAT = "textinv-checkpoint-1"
_BEST = "best."
"""Before the names of the best rows, which lie among the other tensors of the file."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name (CPU, float32) and plain JSON counters of one concept with a given fingerprint."""

    fingerprint: str
    counters: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    """What the next step begins with: rows and the optimizer's state."""
    best_rows: Mapping[str, Tensor] = field(default_factory=dict)
    """Per text encoder (N, D): those that would be kept if the training ended here."""

    @property
    def rows(self) -> dict[str, Tensor]:
        """Those that the next step begins with, by name."""
        return {name.removeprefix("rows."): each for name, each in self.tensors.items() if name.startswith("rows.")}

    def to_bytes(self) -> bytes:
        """Serialise."""
        state = {"format": FORMAT, "fingerprint": self.fingerprint, "counters": dict(self.counters)}
        named = {**self.tensors, **{f"{_BEST}{encoder}": rows_ND for encoder, rows_ND in self.best_rows.items()}}
        tensors = {name: tensor.contiguous() for name, tensor in named.items()}
        return bytes(save(tensors, metadata={"state": json.dumps(state)}))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Checkpoint":
        """Parse what `to_bytes` wrote.

        Raises:
            CorruptObjectError: the bytes are something else.
        """
        try:
            header_size = int.from_bytes(data[:8], "little")
            state = json.loads(json.loads(data[8 : 8 + header_size])["__metadata__"]["state"])
            tensors = load(data)
            if state["format"] != FORMAT:
                raise KeyError(state["format"])
            best = {name.removeprefix(_BEST): tensors.pop(name) for name in list(tensors) if name.startswith(_BEST)}
            return cls(state["fingerprint"], state["counters"], tensors, best)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CorruptObjectError(
                f"{len(data)} bytes are not a {FORMAT} ({error}): delete the checkpoint to start the concept from "
                "the beginning"
            ) from error
