"""The body of `POST /v1/images/generations`: OpenAI's fields, all of them, and ours.

Owns what each field may hold. A field of OpenAI's that cannot be honoured here is accepted at its default and is
otherwise an error that names it. Source: openai/openai-openapi, openapi.yaml, v2.3.0, CreateImageRequest.
"""

import secrets
from typing import Literal

from pydantic import ConfigDict, Field

from services.api.bodies import Body, Int
from services.api.images.pictures import PictureFormat
from textinv.errors import RequestError
from textinv.generation.request import MAX_CLIP_SKIP, MAX_SEED, MAX_STEPS, GenerateRequest

# Seeds of 32 bits survive every client: JavaScript keeps 53 bits, A1111 32.
RANDOM_SEED_BELOW = 2**32
_MAX_LISTED = 64
_MAX_DEADLINE_S = 86_400.0


class DrawFields(Body):
    """Fields that generations and edits share."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(min_length=1, max_length=32_000, examples=["a watercolour of <dotty-fox> on a hill"])
    """What to draw; `<name>` and `<name@version>` stand for stored concepts."""
    model: str | None = None
    """Which base model draws; this service has one. `base:concept` is the same as listing the concept in `concepts`."""
    n: Int = Field(default=1, ge=1, le=64)
    """How many pictures; picture k is drawn from `seed + k`."""
    size: str = Field(default="auto", max_length=40, examples=["auto"])
    """`auto` (the base model's native size) or `WIDTHxHEIGHT`."""
    response_format: Literal["b64_json", "url"] = "b64_json"
    """Whether pictures come in the answer or as URLs that work for a while."""
    output_format: PictureFormat = "png"
    """File format of the pictures."""
    output_compression: Int = Field(default=100, ge=0, le=100)
    """Quality of JPEG and WebP; PNG has only 100."""
    quality: Literal["auto", "standard"] = "auto"
    """Accepted at its default; take more inference steps for more quality."""
    background: Literal["auto", "opaque"] = "auto"
    """Accepted unless it is `transparent`, which the base model cannot draw."""
    moderation: Literal["auto"] = "auto"
    """Accepted at its default."""
    style: Literal["vivid"] = "vivid"
    """Accepted at its default; say the style in the prompt."""
    stream: bool = False
    """Whether to answer with server-sent events."""
    partial_images: Int = Field(default=0, ge=0, le=3)
    """How many previews of each picture a stream carries."""
    user: str | None = Field(default=None, max_length=512)
    """Whose request it is: callers take turns."""
    seed: Int | None = Field(default=None, ge=0, le=MAX_SEED - 64)
    """The same seed gives the same picture; none: a random one, which the answer tells."""
    negative_prompt: str = Field(default="", max_length=32_000)
    """What not to draw; may name concepts too."""
    num_inference_steps: Int | None = Field(default=None, ge=1, le=MAX_STEPS)
    """Inference steps: more take longer and look better up to a point; none: the base model's (`GET /v1/models`)."""
    guidance_scale: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    """How closely the picture follows the prompt; 1 turns guidance off; none: the base model's."""
    guidance_rescale: float = Field(default=GenerateRequest.guidance_rescale, ge=0, le=1, allow_inf_nan=False)
    """How much of the contrast that guidance adds is taken back; 0.7 for base models with zero terminal SNR."""
    noise_scheduler: str | None = Field(default=None, max_length=64)
    """Noise scheduler by name, as `euler`, `ddim`, `dpmpp-2m`; none: the base model's."""
    clip_skip: Int | None = Field(default=None, ge=1, le=MAX_CLIP_SKIP)
    """Which layer of the text encoder is read: 1 the one that the UNet was trained with, 2 the one before it, and so
    on; none: the base model's own."""
    instruction: bool = False
    """Whether the text encoder reads the base model's own instruction ("complex human instruction" in diffusers) before
    the prompt, where it has one; concepts are learned, and negative prompts read, without."""
    original_size: str | None = Field(default=None, max_length=40)
    """For SDXL: the size, WIDTHxHEIGHT, that a picture like this had before it was scaled; none: the one drawn."""
    crop_top_left: str | None = Field(default=None, max_length=40)
    """For SDXL: `TOP,LEFT`, the pixels that were cut off there; none: `0,0`, which draws what is centred."""
    target_size: str | None = Field(default=None, max_length=40)
    """For SDXL: the size, WIDTHxHEIGHT, that it was scaled for; none: the one drawn."""
    attention_weights: bool = False
    """Whether A1111's `(word:1.2)`, `(word)` and `[word]` in the prompts weigh words; else brackets are plain text."""
    deadline_s: float | None = Field(default=None, gt=0, le=_MAX_DEADLINE_S, allow_inf_nan=False)
    """Seconds in which the pictures are to be done, from when the engine takes the request (its concepts are there
    then). One that by the estimate takes longer is refused at once, and one that is late all the same is given up: 429
    with the code `deadline` and `Retry-After`, in a stream that has begun an event `error`. One that takes longer even
    while nobody else asks is a 400 that names this field. None: it takes its time."""
    bases: Literal["exact", "kin"] | None = None
    """`kin`: concepts that were learned on another base model of the same family may be drawn; `exact`: none may. None:
    as the operator chose. The answer's `learned_on` names their base models."""
    concepts: list[str] = Field(default_factory=list, max_length=_MAX_LISTED)
    """Concepts whose bare names in the prompt are placeholders; `name@version` pins the version."""

    def choose_seed(self) -> int:
        """The caller's seed, or a random one."""
        return secrets.randbelow(RANDOM_SEED_BELOW) if self.seed is None else self.seed

    def check_together(self, max_num_images: int) -> None:
        """Check what no field says alone.

        Raises:
            RequestError: two fields do not go together, or more pictures are asked for than the operator allows.
        """
        if self.n > max_num_images:
            raise RequestError(f"n is {self.n}; this service draws {max_num_images} at most per request", param="n")
        if self.output_format == "png" and self.output_compression != 100:
            raise RequestError(
                "output_compression is for jpeg and webp; leave it out for png", param="output_compression"
            )
        if self.stream and self.response_format == "url":
            raise RequestError("a stream carries b64_json; leave response_format out", param="response_format")
        if self.partial_images and not self.stream:
            raise RequestError("partial_images needs stream: true", param="partial_images")


class GenerationsBody(DrawFields):
    """Body of `POST /v1/images/generations`."""
