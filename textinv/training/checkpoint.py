"""A checkpoint: the resumable state of an unfinished concept, a few KB.

Owns its bytes: a safetensors file whose metadata holds the counters and the evaluation history as JSON. Draws are pure
functions of the step, so no random state is stored. Does not know where checkpoints are kept.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from textinv.errors import CorruptObjectError

FORMAT = "textinv-checkpoint-1"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name (CPU, float32) and plain JSON counters of one concept with a given fingerprint."""

    fingerprint: str
    counters: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def to_bytes(self) -> bytes:
        """Serialise."""
        state = {"format": FORMAT, "fingerprint": self.fingerprint, "counters": dict(self.counters)}
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
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
            return cls(state["fingerprint"], state["counters"], tensors)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CorruptObjectError(
                f"{len(data)} bytes are not a {FORMAT} ({error}): delete the checkpoint to start the concept anew"
            ) from error
