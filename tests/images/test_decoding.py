"""What people have as pictures is decoded upright, or refused by name with what to do."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from textinv.errors import ImageError
from textinv.images import decode_picture

RED, BLUE = (255, 0, 0), (0, 0, 255)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def half_red_half_blue(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (40, 20), RED)
    image.paste(BLUE, (20, 0, 40, 20))
    return image.convert(mode)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_a_picture_of_any_usual_format_is_decoded(format: str) -> None:
    picture = decode_picture(encoded(half_red_half_blue(), format), "a")
    assert (picture.width_px, picture.height_px) == (40, 20)
    assert picture.alpha is None
    assert np.abs(picture.pixels[10, 5].astype(int) - RED).max() < 30


def test_a_photo_taken_sideways_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned a quarter: show it turned clockwise
    picture = decode_picture(encoded(half_red_half_blue(), "JPEG", exif=exif, quality=95), "a.jpg")
    assert (picture.width_px, picture.height_px) == (20, 40)
    assert picture.pixels[5, 10, 0] > 200
    assert picture.pixels[35, 10, 2] > 200


def test_transparency_is_kept_beside_the_colours() -> None:
    image = half_red_half_blue("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    picture = decode_picture(encoded(image), "a.png")
    assert picture.alpha is not None
    assert picture.alpha[0, 0] < picture.alpha[-1, 0]
    assert picture.pixels.shape == (20, 40, 3)


def test_a_picture_that_is_opaque_everywhere_has_no_alpha() -> None:
    assert decode_picture(encoded(half_red_half_blue("RGBA")), "a.png").alpha is None


def test_the_transparent_colour_of_a_palette_counts_as_transparency() -> None:
    image = half_red_half_blue().quantize(2)
    picture = decode_picture(encoded(image, transparency=image.getpixel((0, 0))), "a.png")
    assert picture.alpha is not None
    assert picture.alpha[10, 5] == 0
    assert picture.alpha[10, 35] == 255


def test_sixteen_bit_gray_keeps_its_shades() -> None:
    gray = Image.fromarray(np.full((20, 20), 0x8000, dtype=np.uint16))
    assert decode_picture(encoded(gray), "a.png").pixels[0, 0].tolist() == [128, 128, 128]


def test_the_digest_is_that_of_the_file_not_of_the_pixels() -> None:
    first = decode_picture(encoded(half_red_half_blue(), compress_level=1), "a.png")
    second = decode_picture(encoded(half_red_half_blue(), compress_level=9), "a.png")
    assert np.array_equal(first.pixels, second.pixels)
    assert first.digest != second.digest
    assert len(first.digest) == 64


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"a photo of a fox\n" * 40, "it looks like text"),
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html></html>", "it looks like a web page"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "it looks like SVG or XML"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(100), "it looks like HEIC"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(100), "it looks like AVIF or a video"),
        (bytes(range(256)) * 4, "its format is unknown"),
    ],
)
def test_what_is_no_picture_is_refused_by_name_and_with_what_it_looks_like(data: bytes, hint: str) -> None:
    with pytest.raises(ImageError, match=r"fox\.png is not a picture") as caught:
        decode_picture(data, "fox.png")
    assert hint in caught.value.message
    assert caught.value.details == {"file": "fox.png"}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_truncated_picture_is_refused(format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), format)
    with pytest.raises(ImageError, match=r"fox\.jpg is (damaged|not a picture)"):
        decode_picture(data[: len(data) // 2], "fox.jpg")


@pytest.mark.parametrize("side", [10_500, 60_000], ids=["just too many pixels", "billions"])
def test_a_small_file_that_claims_a_huge_picture_is_refused_before_it_is_decoded(side: int) -> None:
    data = bytearray(encoded(Image.new("1", (8, 8))))
    data[16:24] = side.to_bytes(4, "big") * 2  # width and height in the header
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(ImageError, match="larger than 100 million pixels"):
        decode_picture(bytes(data), "bomb.png")


def test_a_picture_that_is_transparent_everywhere_is_refused() -> None:
    with pytest.raises(ImageError, match="transparent everywhere"):
        decode_picture(encoded(Image.new("RGBA", (8, 8))), "empty.png")


def test_a_picture_that_is_transparent_everywhere_is_one_where_nothing_is_learned_from_it() -> None:
    picture = decode_picture(encoded(Image.new("RGBA", (8, 8))), "empty.png", to_learn=False)
    assert picture.alpha is not None
    assert not picture.alpha.any()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_damage_anywhere_never_surfaces_as_an_error_of_the_image_library(format: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), format)
    refused = 0
    for place in range(0, len(data), max(1, len(data) // 60)):
        try:
            decode_picture(data[:place] + b"\xff\x00\xff" + data[place + 3 :], "a")
        except ImageError:
            refused += 1
    assert refused > 0
