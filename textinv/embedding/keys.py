"""Whose rows a tensor of a file holds: by its key, and by what the base model's family calls its text encoders.

Owns the keys of files of one or two CLIPs, in which Stable Diffusion's rows lie, and refusing what has no place. The
keys of all other text encoders are a family's to state, and are given. Does not know files, nor base models.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import Tensor

from textinv.errors import EmbeddingFormatError

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
        raise EmbeddingFormatError(f"{source} is a LoRA, which changes the network's weights: it is no embedding")
    if any(key.startswith("model.diffusion_model.") for key in tensors):
        raise EmbeddingFormatError(f"{source} is a whole base model, not an embedding")
    if "IN01" in tensors or "MID" in tensors:
        raise EmbeddingFormatError(f"{source} has rows per UNet layer (XTI), which no base model here takes")
    if any(key.endswith("_out") for key in tensors):
        raise EmbeddingFormatError(f"{source} was trained on the text encoder's output (*_out), which is not supported")
    names = {key: encoder for encoder, written in keys.items() for key in (encoder, *written)}
    if only and keys and len(tensors) == len(keys) == 1:
        return {encoder: two_dimensional(tensor) for encoder, tensor in zip(keys, tensors.values(), strict=True)}
    if (only and keys) or (names.keys() - _CLIPS) & tensors.keys():
        return _by_name(tensors, source, names if only else {**names, **{clip: clip for clip in _CLIPS}})
    return _of_clips(tensors, source)


def _of_clips(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Rows of Stable Diffusion's text encoders."""
    first, second = _FIRST & set(tensors), _SECOND & set(tensors)
    if set(tensors) == first | second and len(first) <= 1 and len(second) <= 1 and tensors:
        found = zip(ENCODER_NAMES, (first, second), strict=True)
        return {encoder: two_dimensional(tensors[key]) for encoder, held in found for key in held}
    if len(tensors) == 1:
        return {"text_encoder": two_dimensional(next(iter(tensors.values())))}
    raise EmbeddingFormatError(f"{source} holds {len(tensors)} tensors ({sorted(tensors)[:5]}); an embedding is one")


def _by_name(tensors: Mapping[str, Tensor], source: str, names: Mapping[str, str]) -> dict[str, Tensor]:
    if strange := sorted(tensors.keys() - names.keys()):
        known = ", ".join(sorted(set(names)))
        raise EmbeddingFormatError(
            f"{source} has rows of {strange}, which are no text encoder that is known here: keys may be {known}"
        )
    if len({names[key] for key in tensors}) < len(tensors):
        raise EmbeddingFormatError(f"{source} has two tensors for one text encoder: {sorted(tensors)}")
    return {names[key]: two_dimensional(tensor) for key, tensor in tensors.items()}


def _unbundled(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """What a LoRA file carries of the one embedding in it."""
    parts = [(key.removeprefix(_BUNDLED), tensor) for key, tensor in tensors.items() if key.startswith(_BUNDLED)]
    named = {tuple(key.rsplit(".", 1)): tensor for key, tensor in parts if "." in key}
    if len(names := sorted({one[0].removesuffix(".string_to_param") for one in named})) != 1:
        raise EmbeddingFormatError(f"{source} carries {len(names)} embeddings ({names}); one per file is read")
    return {"emb_params" if key == "*" else key: tensor for (_, key), tensor in named.items()}


def two_dimensional(tensor: Tensor) -> Tensor:
    """Rows, where there may be one alone."""
    return tensor[None] if tensor.dim() == 1 else tensor
