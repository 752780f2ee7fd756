"""Copies are told from other pictures of the same thing."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from textinv.images import decode_picture, near_duplicates

PICTURES = Path(__file__).resolve().parents[2] / "manifests" / "pictures"


def photo(seed: int) -> Image.Image:
    """Smooth shapes, as photographs have."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((300, 200), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str = "PNG", **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def test_a_recompressed_and_a_scaled_copy_look_the_same() -> None:
    original = decode_picture(encoded(photo(1)), "original.png")
    worse = decode_picture(encoded(photo(1), "JPEG", quality=60), "worse.jpg")
    smaller = decode_picture(encoded(photo(1).resize((150, 100))), "smaller.png")
    other, twin = decode_picture(encoded(photo(2)), "other.png"), decode_picture(encoded(photo(1)), "twin.png")
    found = near_duplicates([original, worse, other, smaller, twin])
    assert ("original.png", "worse.jpg") in found
    assert ("original.png", "smaller.png") in found
    assert ("original.png", "twin.png") in found
    assert not any("other.png" in pair for pair in found)


def test_different_pictures_of_the_same_thing_are_no_duplicates() -> None:
    for folder in PICTURES.iterdir():
        pictures = [decode_picture(file.read_bytes(), file.name) for file in folder.glob("*.png")]
        assert len(pictures) >= 3
        assert near_duplicates(pictures) == []
