"""Embeddings that AUTOMATIC1111's web UI keeps inside pictures.

Owns the PNG text chunk `sd-ti-embedding`: base64 of JSON in which {"TORCHTENSOR": nested lists} stands for a tensor.
The hidden border that repeats it is not read.
"""

import base64
import binascii
import io
import json
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError

from textinv.errors import EmbeddingFormatError

_CHUNK = "sd-ti-embedding"


def read_web_ui_picture(data: bytes, source: str) -> Any:
    """Read what the picture carries.

    Raises:
        EmbeddingFormatError: it carries no embedding.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            chunk = picture.info.get(_CHUNK)
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
