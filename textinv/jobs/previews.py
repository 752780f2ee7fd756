"""Preview pictures of concepts in training: where they lie in the store.

Owns their keys. They are derived: losing one loses nothing. Does not draw.
"""

from collections.abc import Iterator

from textinv.errors import ObjectNotFoundError
from textinv.store.protocol import ObjectInfo, ObjectStore

MEDIA_TYPE = "image/jpeg"
PREVIEW_FILE = "preview.jpg"
"""The picture beside a version's embedding: what is kept of it, drawn."""
_PREVIEWS = "previews/"


def preview_key(fingerprint: str, step: int) -> str:
    """Key of the preview of a spec after so many steps."""
    return f"{_PREVIEWS}{fingerprint}/{step:06d}.jpg"


def write_preview(store: ObjectStore, fingerprint: str, step: int, picture: bytes) -> None:
    """Keep a preview."""
    store.put(preview_key(fingerprint, step), picture, MEDIA_TYPE)


def read_preview(store: ObjectStore, fingerprint: str, step: int) -> bytes | None:
    """A preview; None when there is none."""
    try:
        return store.get(preview_key(fingerprint, step)).body
    except ObjectNotFoundError:
        return None


def preview_steps(store: ObjectStore, fingerprint: str) -> list[int]:
    """The steps of which there are previews, in order."""
    names = (info.key.rpartition("/")[2] for info in store.list(f"{_PREVIEWS}{fingerprint}/"))
    return [int(name.removesuffix(".jpg")) for name in names]


def list_previews(store: ObjectStore) -> Iterator[tuple[str, ObjectInfo]]:
    """All previews there are, each with the fingerprint of its spec."""
    return ((info.key.split("/")[1], info) for info in store.list(_PREVIEWS))


def drop_previews(store: ObjectStore, fingerprint: str) -> None:
    """Forget a spec's previews."""
    store.delete([info.key for info in store.list(f"{_PREVIEWS}{fingerprint}/")])
