"""Whose rows a tensor of a file holds: by its key, and by what the base model's family calls its text encoders.

Owns the keys of files of one or two CLIPs, in which Stable Diffusion's rows lie, and refusing what has no place. The
keys of all other text encoders are a family's to state, and are given. A key that ends in `_out` holds rows that are
written into what an encoder says. What it reads in their place is zeros, as with OneTrainer, whose ending it is
(Nerogar/OneTrainer@0860bdc7, modules/model/BaseModel.py), unless the file has rows for that, too. Does not know files,
nor base models.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from textinv.errors import EmbeddingFormatError
from textinv.spec import OUTPUT

FileKeys = Mapping[str, Sequence[str]]
"""Of text encoders that go by what they are, the keys of their rows: the one that is written, OneTrainer's, others."""
NO_KEYS: FileKeys = MappingProxyType({})
CLIPS_BY_PLACE = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
ENCODER_NAMES = tuple(CLIPS_BY_PLACE)
_FIRST = {"text_encoder", "clip_l", "emb_params", "emp_params"}
_SECOND = {"text_encoder_2", "clip_g"}
_CLIPS = set(CLIPS_BY_PLACE.values())
_LORA = ("lora_", "lora.", "lokr_", "hada_")
_BUNDLED = "bundle_emb."
"""Before what a LoRA file carries of an embedding: `bundle_emb.NAME.KEY`."""


def by_encoder(tensors: Mapping[str, Tensor], source: str, keys: FileKeys, only: bool) -> dict[str, Tensor]:
    """The rows by text encoder.

    `keys` are those of the text encoders that there may be rows of; with `only` the base model is known to have just
    these, else CLIPs alone are those of Stable Diffusion.

    Raises:
        EmbeddingFormatError: it is no embedding, or a tensor is of no text encoder.
    """
    if any(key.startswith(_BUNDLED) for key in tensors):
        tensors = _unbundled(tensors, source)
    if any(sign in key.lower() for key in tensors for sign in _LORA):
        raise EmbeddingFormatError(f"{source} is a LoRA, which changes the network's weights, not an embedding")
    if any(key.startswith("model.diffusion_model.") for key in tensors):
        raise EmbeddingFormatError(f"{source} is a whole base model, not an embedding")
    if "IN01" in tensors or "MID" in tensors:
        raise EmbeddingFormatError(f"{source} has rows per UNet layer (XTI), which no base model here supports")
    named = _encoders_of({key.removesuffix(OUTPUT) for key in tensors}, source, keys, only)
    _check_outputs(tensors, source, keys)
    rows = {}
    for key, tensor in tensors.items():
        encoder = named[key.removesuffix(OUTPUT)]
        rows[encoder + (OUTPUT if key.endswith(OUTPUT) else "")] = two_dimensional(tensor)
    unread = {name.removesuffix(OUTPUT): torch.zeros_like(rows_ND) for name, rows_ND in rows.items()}
    return {**unread, **rows}


def _encoders_of(found: set[str], source: str, keys: FileKeys, only: bool) -> dict[str, str]:
    """The text encoder of each key of a file."""
    names = {key: encoder for encoder, written in keys.items() for key in (encoder, *written)}
    if only and keys and len(found) == len(keys) == 1:
        return dict(zip(found, keys, strict=True))
    if (only and keys) or (names.keys() - _CLIPS) & found:
        return _by_name(found, source, names if only else {**names, **{clip: clip for clip in _CLIPS}})
    return _of_clips(found, source)


def _check_outputs(tensors: Mapping[str, Tensor], source: str, keys: FileKeys) -> None:
    known = _FIRST | _SECOND | set(keys) | {key for written in keys.values() for key in written}
    strange = sorted(key for key in tensors if key.endswith(OUTPUT) and key.removesuffix(OUTPUT) not in known)
    if strange:
        raise EmbeddingFormatError(
            f"{source} has the key {strange[0]!r}, which is either a concept's name or means rows for the output of "
            f"{strange[0].removesuffix(OUTPUT)!r}, which is not a known text encoder: name the key after a known "
            "one (clip_l, clip_l_out, ...)"
        )


def _of_clips(found: set[str], source: str) -> dict[str, str]:
    """Text encoders of Stable Diffusion."""
    first, second = _FIRST & found, _SECOND & found
    if found == first | second and len(first) <= 1 and len(second) <= 1 and found:
        places = zip(ENCODER_NAMES, (first, second), strict=True)
        return {key: encoder for encoder, held in places for key in held}
    if len(found) == 1:
        return dict.fromkeys(found, "text_encoder")
    raise EmbeddingFormatError(
        f"{source} holds {len(found)} tensors ({sorted(found)[:5]}); an embedding file holds one"
    )


def _by_name(found: set[str], source: str, names: Mapping[str, str]) -> dict[str, str]:
    if strange := sorted(found - names.keys()):
        known = ", ".join(sorted(set(names)))
        raise EmbeddingFormatError(
            f"{source} has rows of {strange}, which is not a known text encoder: keys may be {known}"
        )
    if len({names[key] for key in found}) < len(found):
        raise EmbeddingFormatError(f"{source} has two tensors for one text encoder: {sorted(found)}")
    return {key: names[key] for key in found}


def _unbundled(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """What a LoRA file carries of the one embedding in it."""
    parts = [(key.removeprefix(_BUNDLED), tensor) for key, tensor in tensors.items() if key.startswith(_BUNDLED)]
    named = {tuple(key.rsplit(".", 1)): tensor for key, tensor in parts if "." in key}
    if len(names := sorted({one[0].removesuffix(".string_to_param") for one in named})) != 1:
        raise EmbeddingFormatError(f"{source} carries {len(names)} embeddings ({names}); a file must hold just one")
    return {"emb_params" if key == "*" else key: tensor for (_, key), tensor in named.items()}


def two_dimensional(tensor: Tensor) -> Tensor:
    """Rows, where there may be one alone."""
    return tensor[None] if tensor.dim() == 1 else tensor
