"""Prompts that editability is judged by: {} is where the concept goes.

Data only. Shares no line with the prompts that training uses.
"""

from typing import Literal

FIDELITY: dict[Literal["object", "style"], str] = {"object": "a photo of {}", "style": "a picture in the style of {}"}

OBJECT = (
    "a {} on a blue background",
    "a {} on a green background",
    "a red {}",
    "a tiny {}",
    "a sketch of a {}",
    "a pixel art of a {}",
    "two {}",
    "a {} and a banana",
)

STYLE = (
    "a fox in {} style",
    "a house in {} style",
    "a rose in {} style",
    "a banana in {} style on a blue background",
)

EDITABILITY: dict[Literal["object", "style"], tuple[str, ...]] = {"object": OBJECT, "style": STYLE}
