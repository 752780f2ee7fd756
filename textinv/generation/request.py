"""What is asked for and what comes back: `GenerateRequest` and `GeneratedImage`.

Owns their fields, ranges and the infotext that a picture carries. Does not know how a picture is made.
"""

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from textinv.errors import InputError, RequestError
from textinv.generation.attention_weights import has_attention_weights
from textinv.generation.infotext import Infotext, write_infotext, write_png
from textinv.generation.noise_schedulers import find_scheduler_kind
from textinv.generation.prompt_aliases import expand_aliases
from textinv.placeholders import ConceptRef, refs_in

MAX_PROMPT_CHARS = 32_000
MAX_STEPS = 150
MAX_GUIDANCE = 100.0
MAX_IMAGES = 64
MAX_SEED = 2**63 - 1
# A1111's short hash of an embedding is the start of its sha256.
_SHORT_HASH = 12


@dataclass(frozen=True, eq=False)
class GenerateRequest:
    """Pictures to draw. Image k is drawn from `seed + k`.

    `init_image` (H, W, 3) makes it an edit: `strength` in [0, 1] says how much of it may change, and `mask` (H, W),
    255 where the picture may change, keeps the rest. Sizes default to the init image's, else to the base model's.
    `preview_every` steps a preview is made (0: none). `deadline_s` counts from submission. `caller` is whose turn it
    takes; what follows its first slash is a user of that caller, who shares its turns. With `attention_weights`,
    A1111's `(word:1.2)` and `[word]` are syntax, else plain text.
    """

    prompt: str
    negative_prompt: str = ""
    width_px: int | None = None
    height_px: int | None = None
    num_inference_steps: int = 25
    guidance_scale: float = 4.0
    seed: int = 0
    noise_scheduler: str | None = None
    num_images: int = 1
    init_image: NDArray[np.uint8] | None = None
    mask: NDArray[np.uint8] | None = None
    strength: float = 0.75
    attention_weights: bool = False
    preview_every: int = 0
    deadline_s: float | None = None
    caller: str = ""

    @property
    def refs(self) -> list[ConceptRef]:
        """The concepts that both prompts name, in order of first appearance.

        Raises:
            InputError: no version has as many digits as one of them asks for.
        """
        return list(dict.fromkeys(refs_in(expand_aliases(self.prompt)) + refs_in(expand_aliases(self.negative_prompt))))

    @property
    def has_literal_brackets(self) -> bool:
        """Whether brackets of the prompts are plain text that elsewhere would be attention weights."""
        return not self.attention_weights and any(map(has_attention_weights, (self.prompt, self.negative_prompt)))

    def check(self) -> None:
        """Check every field that needs no model to check.

        Raises:
            RequestError: a field is out of range; `param` names it.
        """
        _check_prompt("prompt", self.prompt)
        _check_prompt("negative_prompt", self.negative_prompt)
        _check_range("num_inference_steps", self.num_inference_steps, 1, MAX_STEPS)
        _check_range("guidance_scale", self.guidance_scale, 0.0, MAX_GUIDANCE)
        _check_range("num_images", self.num_images, 1, MAX_IMAGES)
        _check_range("seed", self.seed, 0, MAX_SEED - MAX_IMAGES)
        _check_range("preview_every", self.preview_every, 0, MAX_STEPS)
        _check_range("strength", self.strength, 0.0, 1.0)
        if self.deadline_s is not None:
            _check_range("deadline_s", self.deadline_s, 0.0, 86_400.0)
        find_scheduler_kind(self.noise_scheduler)
        if self.mask is not None and self.init_image is None:
            raise RequestError("a mask was sent without a picture to edit; send both, or none", param="mask")


@dataclass(frozen=True, eq=False)
class GeneratedImage:
    """A finished picture: pixels (H, W, 3), the seed it came from, the concepts used (name@version -> digest).

    `flagged` by the safety checker: its pixels are black.
    """

    pixels: NDArray[np.uint8]
    seed: int
    request: GenerateRequest
    concepts: Mapping[str, str] = field(default_factory=dict)
    base_model: str = ""
    flagged: bool = False

    @property
    def infotext(self) -> str:
        """How this picture was made, in A1111's layout."""
        request, kind = self.request, find_scheduler_kind(self.request.noise_scheduler)
        height_px, width_px = self.pixels.shape[:2]
        settings = {
            "Steps": str(request.num_inference_steps),
            "Sampler": kind.label,
            "Schedule type": kind.schedule_type,
            "CFG scale": f"{request.guidance_scale:g}",
            "Seed": str(self.seed),
            "Size": f"{width_px}x{height_px}",
            "Model": self.base_model or None,
            # A1111's word for brackets that are plain text.
            "Emphasis": "None" if request.has_literal_brackets else None,
            "Denoising strength": None if request.init_image is None else f"{request.strength:g}",
            "TI hashes": ", ".join(f"{name}: {digest[:_SHORT_HASH]}" for name, digest in self.concepts.items()) or None,
            "Version": _program(),
        }
        said = {key: value for key, value in settings.items() if value is not None}
        return write_infotext(Infotext(request.prompt, request.negative_prompt, said))

    def png(self) -> bytes:
        """Encode as PNG that carries the infotext."""
        return write_png(self.pixels, self.infotext)


@cache
def _program() -> str:
    return f"textinv {version('textinv')}"


def _check_prompt(param: str, prompt: str) -> None:
    if len(prompt) > MAX_PROMPT_CHARS:
        raise RequestError(
            f"{param} has {len(prompt)} characters; shorten it to {MAX_PROMPT_CHARS} at most", param=param
        )
    for char in prompt:
        if unicodedata.category(char) in {"Cc", "Cs"} and char not in "\t\n\r":
            raise RequestError(f"{param} holds the control character {char!r}; remove it", param=param)
    try:
        refs_in(expand_aliases(prompt))
    except InputError as error:
        raise RequestError(f"{param}: {error.message}", param=param) from error


def _check_range(param: str, value: float, low: float, high: float) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise RequestError(f"{param} is {value}; choose a value from {low:g} to {high:g}", param=param)
