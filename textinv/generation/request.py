"""What is asked for and what comes back: a `GenerateRequest`, the caller's `Ticket`, and its `GeneratedImage`s.

Owns their fields, ranges, the hand-over between the engine's thread and the caller's, and how a request is told in an
infotext and read from one. Does not know how a picture is made.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textinv.errors import InputError, RequestError, TextinvError
from textinv.generation.infotext import Infotext, write_infotext, write_png
from textinv.generation.prompts import Bases, Mount, has_attention_weights
from textinv.generation.told_sizes import ToldSizes, sizes_in
from textinv.models.process import find_scheduler_kind
from textinv.placeholders import ConceptRef, check_brackets, expand_aliases, refs_in

MAX_PROMPT_CHARS = 32_000
MAX_STEPS = 150
MAX_GUIDANCE = 100.0
MAX_IMAGES = 64
MAX_CLIP_SKIP = 99
"""Base models have fewer layers, and say so."""
MAX_SEED = 2**63 - 1
# A1111's short hash of an embedding is the start of its sha256.
_SHORT_HASH = 12
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_WHOLE = re.compile(r"\d{1,19}")
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?")

Size = tuple[int, int]
"""Height and width of a picture in pixels."""
Work = tuple[Size, int]
"""What is left of a picture: its size and inference steps."""


@dataclass(frozen=True, eq=False)
class GenerateRequest:
    """Pictures to draw. Image k is drawn from `seed + k`.

    `init_image` (H, W, 3) makes it an edit: `strength` in [0, 1] says how much of it may change, and `mask` (H, W),
    255 where the picture may change, keeps the rest. Sizes default to the init image's, else to the base model's,
    and so do steps, guidance and noise scheduler.
    `preview_every` steps a preview is made (0: none). `deadline_s` counts from submission. `caller` is whose turn it
    takes; what follows its first slash is a user of that caller, who shares its turns. With `attention_weights`,
    A1111's `(word:1.2)` and `[word]` are syntax, else plain text. `bases` says whether concepts of another base model
    of the same family may be drawn (`kin`) or not (`exact`); None: only those whose base nobody knows.
    `guidance_rescale` in [0, 1] takes back as much of
    the contrast that guidance adds: 0.7 for a base model with zero terminal SNR (Lin et al. 2023, arXiv 2305.08891).
    `clip_skip` says which layer of the text encoder is read: 1 the one that the UNet was trained with, 2 the one before
    it; None: the base model's. `sizes` are what a base model that takes them is told; None: those of the picture.
    With `instruction` the text encoder reads the base model's own before the prompt; the negative prompt stays without.
    `given` are concepts that come with the request; the others are looked up where concepts are stored.
    """

    prompt: str
    negative_prompt: str = ""
    width_px: int | None = None
    height_px: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    guidance_rescale: float = 0.0
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
    bases: Bases | None = None
    clip_skip: int | None = None
    sizes: ToldSizes | None = None
    instruction: bool = False
    given: Mapping[ConceptRef, Mount] = field(default_factory=dict)

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
        if self.num_inference_steps is not None:
            _check_range("num_inference_steps", self.num_inference_steps, 1, MAX_STEPS)
        if self.guidance_scale is not None:
            _check_range("guidance_scale", self.guidance_scale, 0.0, MAX_GUIDANCE)
        _check_range("guidance_rescale", self.guidance_rescale, 0.0, 1.0)
        _check_range("num_images", self.num_images, 1, MAX_IMAGES)
        _check_range("seed", self.seed, 0, MAX_SEED - MAX_IMAGES)
        _check_range("preview_every", self.preview_every, 0, MAX_STEPS)
        _check_range("strength", self.strength, 0.0, 1.0)
        if self.deadline_s is not None:
            _check_range("deadline_s", self.deadline_s, 0.0, 86_400.0)
        if self.clip_skip is not None:
            _check_range("clip_skip", self.clip_skip, 1, MAX_CLIP_SKIP)
        if self.sizes is not None:
            self.sizes.check()
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
    learned_on: Mapping[str, str] = field(default_factory=dict)
    """The base models of the concepts that were learned on another one, by `name@version`."""
    notes: tuple[str, ...] = ()
    """What people are to be told of how it was drawn."""

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
            "CFG rescale": f"{request.guidance_rescale:g}" if request.guidance_rescale else None,
            "Seed": str(self.seed),
            "Size": f"{width_px}x{height_px}",
            **(request.sizes.settings() if request.sizes else {}),
            "Clip skip": None if request.clip_skip is None else str(request.clip_skip),
            "Instruction": "base model" if request.instruction else None,
            "Model": self.base_model or None,
            # A1111's word for brackets that are plain text.
            "Emphasis": "None" if request.has_literal_brackets else None,
            "Denoising strength": None if request.init_image is None else f"{request.strength:g}",
            "TI hashes": ", ".join(f"{name}: {digest[:_SHORT_HASH]}" for name, digest in self.concepts.items()) or None,
            "TI learned on": ", ".join(f"{name}: {base}" for name, base in self.learned_on.items()) or None,
            "Version": _program(),
        }
        said = {key: value for key, value in settings.items() if value is not None}
        return write_infotext(Infotext(request.prompt, request.negative_prompt, said))

    def png(self) -> bytes:
        """Encode as PNG that carries the infotext."""
        return write_png(self.pixels, self.infotext)


class Preview(NamedTuple):
    """A picture under way: which of the request's, after how many of its inference steps, and its pixels (H, W, 3)."""

    image: int
    step: int
    num_steps: int
    pixels: NDArray[np.uint8]


@dataclass(eq=False)
class Ticket:
    """A submitted request. Safe to use from any thread; `future` fits `asyncio.wrap_future`."""

    request: GenerateRequest
    concepts: Mapping[str, str] = field(default_factory=dict)
    """The concepts that it uses: name@version -> digest."""
    learned_on: Mapping[str, str] = field(default_factory=dict)
    """The base models of those that were learned on another one."""
    notes: tuple[str, ...] = ()
    """What people are to be told of how it is drawn."""
    future: Future[list[GeneratedImage]] = field(default_factory=Future)
    previews: list[Preview] = field(default_factory=list)
    steps_done: int = 0
    steps_total: int = 1
    _images: dict[int, GeneratedImage] = field(default_factory=dict)
    _watchers: list[Callable[[Preview], None]] = field(default_factory=list)

    def picture(self, pixels: NDArray[np.uint8], seed: int, base_model: str, flagged: bool) -> GeneratedImage:
        """One of its pictures, finished."""
        return GeneratedImage(
            pixels, seed, self.request, self.concepts, base_model, flagged, self.learned_on, self.notes
        )

    def result(self, timeout: float | None = None) -> list[GeneratedImage]:
        """Wait for the pictures, in order of their seeds.

        Raises:
            TextinvError: the request failed.
            concurrent.futures.CancelledError: it was cancelled.
            TimeoutError: `timeout` seconds have passed.
        """
        return self.future.result(timeout)

    def cancel(self) -> bool:
        """Leave; at most one more inference step is spent on it. False when it was already done."""
        return self.future.cancel()

    def cancelled(self) -> bool:
        """Whether the caller left."""
        return self.future.cancelled()

    def done(self) -> bool:
        """Whether it is finished, failed or cancelled."""
        return self.future.done()

    def add_done_callback(self, callback: Callable[["Ticket"], None]) -> None:
        """Call `callback` when it is done, in the engine's thread (at once when it already is)."""
        self.future.add_done_callback(lambda _: callback(self))

    def on_preview(self, callback: Callable[[Preview], None]) -> None:
        """Call `callback` with each preview, in the engine's thread; it must not block."""
        self._watchers.append(callback)

    @property
    def progress(self) -> float:
        """How much is done, from 0 to 1."""
        return 1.0 if self.done() else min(self.steps_done / self.steps_total, 1.0)

    # The engine's half.

    def show(self, preview: Preview) -> None:
        """Hand over a preview; each picture's latest is kept."""
        self.previews = [kept for kept in self.previews if kept.image != preview.image] + [preview]
        for watcher in self._watchers:
            watcher(preview)

    def deliver(self, index: int, image: GeneratedImage) -> None:
        """Hand over the request's picture number `index`; the last one finishes it."""
        self._images[index] = image
        if len(self._images) == self.request.num_images:
            self._settle(lambda: self.future.set_result([self._images[k] for k in sorted(self._images)]))

    def fail(self, error: TextinvError) -> None:
        """Finish with an error."""
        self._settle(lambda: self.future.set_exception(error))

    def _settle(self, settle: Callable[[], None]) -> None:
        try:
            settle()
        except InvalidStateError:  # the caller left a moment ago, or another of its pictures failed
            return


def read_request(infotext: Infotext) -> GenerateRequest:
    """Make the request that an infotext tells of; what it does not say, or says in words unknown, stays at its default.

    Brackets in a prompt are attention weights, unless it says otherwise (`Emphasis: None`). The pictures of an edit are
    not in an infotext: its request has none.

    Raises:
        RequestError: it names a noise scheduler that there is none of.
    """
    said = infotext.settings
    weighted = said.get("Emphasis") != "None" and any(
        map(has_attention_weights, (infotext.prompt, infotext.negative_prompt))
    )
    request = GenerateRequest(infotext.prompt, infotext.negative_prompt, attention_weights=weighted)
    if _WHOLE.fullmatch(said.get("Steps", "")):
        request = replace(request, num_inference_steps=int(said["Steps"]))
    if _WHOLE.fullmatch(said.get("Seed", "")):
        request = replace(request, seed=int(said["Seed"]))
    if _NUMBER.fullmatch(said.get("CFG scale", "")):
        request = replace(request, guidance_scale=float(said["CFG scale"]))
    if _NUMBER.fullmatch(said.get("CFG rescale", "")):
        request = replace(request, guidance_rescale=float(said["CFG rescale"]))
    if size := _SIZE.fullmatch(said.get("Size", "")):
        request = replace(request, width_px=int(size[1]), height_px=int(size[2]))
    if _WHOLE.fullmatch(said.get("Clip skip", "")):
        request = replace(request, clip_skip=int(said["Clip skip"]))
    if said.get("Instruction") == "base model":
        request = replace(request, instruction=True)
    if sizes := sizes_in(said):
        request = replace(request, sizes=sizes)
    if sampler := said.get("Sampler"):
        request = replace(request, noise_scheduler=find_scheduler_kind(sampler, said.get("Schedule type")).name)
    return request


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
        check_brackets(prompt)
    except InputError as error:
        raise RequestError(f"{param}: {error.message}", param=param) from error


def _check_range(param: str, value: float, low: float, high: float) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise RequestError(f"{param} is {value}; choose a value from {low:g} to {high:g}", param=param)
