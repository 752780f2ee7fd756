"""What the HTTP side needs of whoever draws: the protocol `Studio` and its values.

Owns the seam between HTTP and drawing. Knows neither Ray nor the engine: in a test, in one process, or behind a Serve
handle, a studio is the same thing.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from textinv.embedding.embedding import widths_by_encoder
from textinv.errors import TextinvError
from textinv.generation.prompts import Bases, may_draw
from textinv.generation.request import GenerateRequest
from textinv.generation.waiting_line import EngineLimits
from textinv.spec import Kind


@dataclass(frozen=True)
class StudioFacts:
    """What a studio draws with, and the sizes it can draw (sides are multiples of `grain_px`)."""

    base_model: str
    base_revision: str
    family: str
    native_px: int
    grain_px: int
    min_side_px: int
    max_image_px: int
    encoder_widths: Mapping[str, int]
    screened: bool = False
    """Whether pictures pass the base model's safety checker."""
    has_clip: bool = True
    """Whether the base model has a CLIP of its own, which scores what is learned on it."""
    takes_sizes: bool = False
    """Whether the base model is told sizes beside the text."""
    learns_shapes: bool = False
    """Whether pictures are learned in their own shape where nothing else is said."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """How concepts are learned on it where a manifest does not say."""
    num_inference_steps: int = 50
    """How it draws where a request does not say; likewise the next two."""
    guidance_scale: float = 7.5
    noise_scheduler: str | None = None
    skips_elsewhere: bool = True
    """Whether other programs heed "Clip skip" for such a base model."""
    clip_skip: int = 1
    """Which of its text encoder's layers the base model reads where a request does not say."""

    def draws(self, width_px: int, height_px: int) -> bool:
        """Whether the base model can draw this size."""
        fits = all(side % self.grain_px == 0 and side >= self.min_side_px for side in (width_px, height_px))
        return fits and width_px * height_px <= self.max_image_px

    def fits(self, learned: "LearnedOnBase", bases: Bases | None = None) -> bool:
        """Whether it was learned on the base model that draws, or on its kin where that is allowed."""
        fits = widths_by_encoder(learned.widths) == dict(self.encoder_widths)
        return fits and may_draw(self.base_revision, self.family, learned, bases)


class LearnedOnBase(Protocol):
    """What knows the base model that it was learned on: a version's entry, a line of the list."""

    @property
    def base_revision(self) -> str:
        """Revision of the base model."""
        ...

    @property
    def family(self) -> str | None:
        """The base model's family, where that is known."""
        ...

    @property
    def widths(self) -> Mapping[str, int]:
        """Width of the rows per text encoder."""
        ...


@dataclass(frozen=True)
class Waiting:
    """What waits at one studio (an id of its own): pictures, and seconds that one more of native size would wait."""

    studio: str
    limits: EngineLimits
    native_px: int
    num_waiting: int
    wait_s: float


@dataclass(frozen=True)
class Begun:
    """The request was accepted; `concepts` says which versions it uses: name@version -> digest.

    `learned_on`: the base models of those that were learned on another one than draws.
    """

    concepts: Mapping[str, str]
    waiting: Waiting | None = None
    learned_on: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What people are to be told of how it is drawn."""


@dataclass(frozen=True)
class Progress:
    """How much of the request is done, from 0 to 1."""

    share: float


@dataclass(frozen=True, eq=False)
class Sketch:
    """Picture number `image` of the request as it looks after `step` of its inference steps."""

    image: int
    step: int
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Drawing:
    """A finished picture: pixels (H, W, 3; black when `flagged` as unsafe), the seed it came from, and its infotext."""

    pixels: NDArray[np.uint8]
    seed: int
    infotext: str
    flagged: bool = False


@dataclass(frozen=True, eq=False)
class Drawn:
    """All pictures of a request, in order of their seeds."""

    drawings: tuple[Drawing, ...]
    waiting: Waiting | None = None


DrawEvent = Begun | Progress | Sketch | Drawn


@dataclass(frozen=True, eq=False)
class Refused:
    """What a replica sends in place of an error: Ray makes several milliseconds of work of an exception's way."""

    error: TextinvError
    waiting: Waiting | None = None


@dataclass(frozen=True)
class PromptRoom:
    """How much of the text encoder's windows a prompt takes; `num_windows` of `window` tokens each."""

    num_tokens: int
    window: int
    num_windows: int


@dataclass(frozen=True)
class StudioMemory:
    """Bytes of memory: what the process that draws uses of its machine's, and of its GPU's where it has one."""

    ram: Mapping[str, int]
    cuda: Mapping[str, Mapping[str, int]] | None = None


class Studio(Protocol):
    """Draws requests."""

    async def measure(self, prompt: str, num_vectors: Mapping[str, int]) -> PromptRoom:
        """Say how much room a prompt takes; `num_vectors` of each placeholder in it, by `name` or `name@version`.

        Raises:
            PromptError: a placeholder alone is longer than a window.
        """
        ...

    def draw(self, request: GenerateRequest, *, progress: bool = False) -> AsyncGenerator[DrawEvent, None]:
        """Draw a request: first `Begun`, then sketches (and progress, when asked for), last `Drawn`.

        Closing the generator early gives the request up.

        Raises:
            TextinvError: as `Engine.submit`, `Ticket.result` and `EmbeddingCache.resolve`.
        """
        ...

    async def facts(self) -> StudioFacts:
        """Say what is drawn with.

        Raises:
            NotReadyError: the base model is not there yet.
        """
        ...

    async def guess(self, digest: str, pictures: Sequence[bytes], kind: Kind, num_vectors: int) -> bytes:
        """Predict a concept's rows from its pictures' files with the guess of this digest: an embedding's bytes.

        Raises:
            OverloadedError: others wait for theirs.
            TextinvError: a picture, or the guess, cannot be used.
        """
        ...

    async def memory(self) -> StudioMemory:
        """Say how much memory is used; of several processes that draw, by one of them.

        Raises:
            NotReadyError: there is none.
        """
        ...
