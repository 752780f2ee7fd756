"""Concepts that somebody shares, with small pictures in the store."""

import hashlib
import io

import numpy as np
from PIL import Image

from textinv.guess.measuring import is_held_out
from textinv.registry.shares import Share, SharedPicture, give
from textinv.spec import image_key
from textinv.store.protocol import ObjectStore


def put_picture(store: ObjectStore, seed: int) -> str:
    """Put a picture into a store; its digest."""
    coarse = np.random.default_rng(seed).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((48, 40), Image.Resampling.BICUBIC).save(file, "PNG")
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    store.put(image_key(digest), file.getvalue())
    return digest


def share(store: ObjectStore, number: int, base_revision: str, tenant: str = "acme", num_pictures: int = 2) -> Share:
    """Share a concept of two pictures, one of which has a caption."""
    digests = [put_picture(store, 100 * number + place) for place in range(num_pictures)]
    captions = ["a {} in a box", *[None] * num_pictures]
    one = Share(
        concept=f"thing-{number}",
        kind="style" if number % 2 else "object",
        tenant=tenant,
        base_model="emoji",
        base_revision=base_revision,
        pictures=tuple(
            SharedPicture(digest=digest, caption=caption) for digest, caption in zip(digests, captions, strict=False)
        ),
    )
    give(store, one)
    return one


def shared_enough(store: ObjectStore, base_revision: str, of_each: int = 4) -> list[Share]:
    """Just enough to train and measure a guess."""
    names = [f"thing-{number}" for number in range(60)]
    held_out, trained = ([name for name in names if is_held_out(name) == wanted] for wanted in (True, False))
    numbers = [int(name.removeprefix("thing-")) for name in (*held_out[:of_each], *trained[:of_each])]
    return [share(store, number, base_revision) for number in numbers]
