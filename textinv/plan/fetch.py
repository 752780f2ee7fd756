"""The pictures of a spec, read back from wherever they were put.

Owns verifying their digests and laying masks over them. Does not know the store: the caller reads.
"""

import hashlib
from collections.abc import Callable

from textinv.errors import CorruptObjectError
from textinv.images import Picture, decode_picture, with_mask
from textinv.spec import TrainSpec


def fetch_pictures(spec: TrainSpec, read: Callable[[str], bytes]) -> list[Picture]:
    """Read, verify and decode a spec's pictures, in the spec's order; `read` gives bytes by digest.

    Raises:
        CorruptObjectError: bytes are not those that the spec was made from.
        ImageError: a mask does not fit its picture.
    """
    pictures = []
    for ref in spec.pictures:
        picture = _decoded(ref.digest, ref.name, read)
        if ref.mask_digest is not None:
            picture = with_mask(picture, _decoded(ref.mask_digest, f"mask of {ref.name}", read))
        pictures.append(picture)
    return pictures


def _decoded(digest: str, name: str, read: Callable[[str], bytes]) -> Picture:
    data = read(digest)
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise CorruptObjectError(
            f"{name} has SHA-256 {found[:12]}..., but the spec was made from {digest[:12]}...: upload it again"
        )
    return decode_picture(data, name)
