"""Reading the embedding files of other programs.

Owns recognizing whose file it is and refusing what is not an embedding, in words that say why. A file is data from a
stranger: pickles are read by torch's weights-only reader, which builds tensors and plain containers and nothing else,
and sizes are looked at before memory is taken.
"""

import base64
import binascii
import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from textinv.embedding.embedding import Embedding
from textinv.embedding.keys import ENCODER_NAMES, NO_KEYS, FileKeys, by_encoder
from textinv.errors import EmbeddingFormatError

MAX_FILE_BYTES = 64 * 2**20
_PICTURES = {".png", ".webp"}
_PICKLES = {".pt", ".bin", ".pth", ".ckpt"}
_TEXT_CHUNK = "sd-ti-embedding"
"""Of a PNG: base64 of JSON in which {"TORCHTENSOR": nested lists} stands for a tensor. The hidden border that
repeats it is not read."""


class _ParameterDict(dict[str, Any]):
    """Stands in for torch's `ParameterDict` in old pickles, whose own code need not run for the values."""

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        parameters = state.get("_parameters") or {}
        self.update({key: value for key, value in (*parameters.items(), *state.items()) if isinstance(value, Tensor)})


def import_embedding(path: Path, keys: FileKeys = NO_KEYS, *, only: bool = False) -> Embedding:
    """Read an embedding that any known program wrote.

    Safetensors, `.pt`, `.bin`, a picture of the web UI's, or a folder of diffusers'. `keys` are those of the text
    encoders, other than Stable Diffusion's, that it may have rows of; with `only` it is known to be of just these.

    Raises:
        EmbeddingFormatError: the file holds something else, several embeddings, or something that is not read.
    """
    if path.is_dir():
        return _import_folder(path)
    return embedding_from(_read(path), path.name, keys, only=only)


def embedding_from(contents: Any, source: str, keys: FileKeys = NO_KEYS, *, only: bool = False) -> Embedding:
    """Find the rows in what a file holds; `source` names it in messages, the others are those of `import_embedding`.

    Raises:
        EmbeddingFormatError: there are none, or more than one embedding.
    """
    if isinstance(contents, Tensor):
        contents = {"emb_params": contents}
    if not isinstance(contents, Mapping):
        raise EmbeddingFormatError(f"{source} holds a {type(contents).__name__}, not an embedding")
    if isinstance(contents.get("string_to_param"), Mapping):
        contents = _only_entry(contents["string_to_param"], source)
    tensors = {str(key): value for key, value in contents.items() if isinstance(value, Tensor)}
    try:
        return Embedding(by_encoder(tensors, source, keys, only))
    except EmbeddingFormatError as error:
        message = error.message if error.message.startswith(source) else f"{source}: {error.message}"
        raise EmbeddingFormatError(message) from None


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise EmbeddingFormatError(
                f"{path.name} has {path.stat().st_size} bytes; an embedding file has thousands, at most "
                f"{MAX_FILE_BYTES}"
            )
        data = path.read_bytes()
    except OSError as error:
        raise EmbeddingFormatError(f"{path} cannot be read: {error.strerror}") from error
    _check_is_no_stand_in(data, path.name)
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return _read_safetensors(data, path.name)
    if suffix in _PICKLES:
        return _read_pickle(data, path.name)
    if suffix in _PICTURES:
        return _read_web_ui_picture(data, path.name)
    kinds = ", ".join(sorted({".safetensors"} | _PICKLES | _PICTURES))
    raise EmbeddingFormatError(f"{path.name} is not named like an embedding file; those end in {kinds}")


def _check_is_no_stand_in(data: bytes, source: str) -> None:
    start = data[:200].lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        raise EmbeddingFormatError(f"{source} is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`")
    if start.startswith((b"<!doctype", b"<html")):
        raise EmbeddingFormatError(f"{source} is a web page, not the file: use the page's download link")
    if not data:
        raise EmbeddingFormatError(f"{source} is empty: download it again")


def _read_safetensors(data: bytes, source: str) -> Any:
    try:
        return safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise EmbeddingFormatError(f"{source} is not a safetensors file: {error}") from error


def _read_pickle(data: bytes, source: str) -> Any:
    if not data.startswith((b"PK", b"\x80")):
        raise EmbeddingFormatError(f"{source} is not a torch file: download it again")
    _check_unpacked_size(data, source)
    stand_in: Any = (_ParameterDict, "torch.nn.modules.container.ParameterDict")
    try:
        with torch.serialization.safe_globals([stand_in]):
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise EmbeddingFormatError(
            f"{source} would run code when it is loaded, so it was not loaded: ask its author for a .safetensors file"
        ) from error
    except (RuntimeError, ValueError, EOFError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        raise EmbeddingFormatError(f"{source} is not a torch file that can be read: {error}") from error


def _check_unpacked_size(data: bytes, source: str) -> None:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile as error:
        raise EmbeddingFormatError(f"{source} is a damaged torch file: {error}") from error
    if size > MAX_FILE_BYTES:
        raise EmbeddingFormatError(f"{source} unpacks to {size} bytes; at most {MAX_FILE_BYTES} are read")


def _import_folder(folder: Path) -> Embedding:
    rows: dict[str, Tensor] = {}
    for encoder, stem in zip(ENCODER_NAMES, ("learned_embeds", "learned_embeds_2"), strict=True):
        found = [path for suffix in (".safetensors", ".bin") if (path := folder / (stem + suffix)).is_file()]
        if found:
            rows[encoder] = import_embedding(found[0]).rows["text_encoder"]
    if not rows:
        raise EmbeddingFormatError(f"{folder} has no learned_embeds.safetensors: name the file itself")
    return Embedding(rows)


def _only_entry(params: Mapping[Any, Any], source: str) -> Mapping[str, Any]:
    if len(params) != 1:
        raise EmbeddingFormatError(
            f"{source} holds {len(params)} embeddings ({list(params)}); a file must hold just one"
        )
    return {"emb_params": next(iter(params.values()))}


def _read_web_ui_picture(data: bytes, source: str) -> Any:
    """Read what the picture carries.

    Raises:
        EmbeddingFormatError: it carries no embedding.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            chunk = picture.info.get(_TEXT_CHUNK)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise EmbeddingFormatError(f"{source} is not a picture: {error}") from error
    if not isinstance(chunk, str):
        raise EmbeddingFormatError(f"{source} is a picture without an embedding in its text chunks")
    try:
        return json.loads(base64.b64decode(chunk), object_hook=_tensor)
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise EmbeddingFormatError(f"{source} carries an embedding that cannot be read: {error}") from error


def _tensor(value: dict[str, Any]) -> Any:
    return torch.tensor(value["TORCHTENSOR"], dtype=torch.float32) if "TORCHTENSOR" in value else value
