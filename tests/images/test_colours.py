"""Colours are those that a picture shows, whatever its profile and its number of bits."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from textinv.errors import ImageError
from textinv.images import decode_picture


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def wide_gamut() -> bytes:
    """An RGB profile whose red and green are swapped against sRGB's, with the same curve: easy to see."""
    plain = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", plain, 128)[0]
    for number in range(count):
        place = 132 + 12 * number
        tag = bytes(plain[place : place + 4])
        if tag in (b"rXYZ", b"gXYZ"):
            plain[place : place + 4] = b"gXYZ" if tag == b"rXYZ" else b"rXYZ"
        if tag == b"desc":
            offset, size = struct.unpack_from(">II", plain, place + 4)
            body = bytes(plain[offset : offset + size])
            plain[offset : offset + size] = body.replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))
    return bytes(plain)


def test_colours_are_taken_from_their_profile() -> None:
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    assert decode_picture(encoded(red), "a.png").pixels[0, 0].tolist() == [255, 0, 0]
    shown = decode_picture(encoded(red, icc_profile=wide_gamut()), "a.png").pixels[0, 0]
    assert np.abs(shown.astype(int) - [0, 255, 0]).max() <= 2


def test_a_transparent_picture_with_a_profile_keeps_its_transparency() -> None:
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    picture = decode_picture(encoded(half, icc_profile=wide_gamut()), "a.png")
    assert picture.alpha is not None
    assert int(picture.alpha[0, 0]) == 128
    assert int(picture.pixels[0, 0, 1]) >= 253


def test_a_profile_of_srgb_changes_no_pixel_and_a_broken_one_is_noted() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8))
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode_picture(encoded(noise, icc_profile=own), "a").pixels, np.asarray(noise))
    broken = decode_picture(encoded(noise, icc_profile=b"no profile"), "a.png")
    assert np.array_equal(broken.pixels, np.asarray(noise))
    assert "profile that cannot be used" in broken.notes[0]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (np.array([[0, 0x8000, 0xFFFF]], np.uint16), [0, 128, 255]),
        (np.array([[0, 2048, 4095]], np.uint16), [0, 128, 255]),
        (np.array([[0, 128, 255]], np.uint16), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 128, 255]], np.float32), [0, 128, 255]),
    ],
    ids=["16 bits", "12 of 16 bits", "8 of 16 bits", "floats to 1", "floats to 255"],
)
def test_gray_of_any_number_of_bits_is_as_bright_as_it_was_meant(values: Any, shown: list[int]) -> None:
    pixels = decode_picture(encoded(Image.fromarray(values), "TIFF"), "a.tif").pixels
    assert pixels[0, :, 0].tolist() == shown


@pytest.mark.parametrize("value", [float("nan"), -1.0, 1e9])
def test_floats_that_are_no_brightness_are_refused_by_name(value: float) -> None:
    data = encoded(Image.fromarray(np.array([[0, value]], np.float32)), "TIFF")
    with pytest.raises(ImageError, match=r"the pixel values of a\.tif do not lie within"):
        decode_picture(data, "a.tif")


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_it_is_said_that_one_frame_is_taken(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    assert decode_picture(data, "a").notes == ("has 3 frames: only the first is used",)
    assert decode_picture(encoded(frames[0], format), "a").notes == ()


def test_avif_is_read_where_pillow_reads_it() -> None:
    pixels = decode_picture(encoded(Image.new("RGB", (16, 16), (200, 40, 10)), "AVIF", quality=100), "a.avif").pixels
    assert np.abs(pixels[8, 8].astype(int) - [200, 40, 10]).max() <= 3


def test_heic_is_read_with_the_extra() -> None:
    pytest.importorskip("pillow_heif")
    pixels = decode_picture(encoded(Image.new("RGB", (64, 64), (200, 40, 10)), "HEIF", quality=100), "a.heic").pixels
    assert np.abs(pixels[8, 8].astype(int) - [200, 40, 10]).max() <= 4
