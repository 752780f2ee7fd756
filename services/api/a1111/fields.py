"""Bodies of A1111's `txt2img` and `img2img`.

Owns which of A1111's fields mean something here. All others are taken and, unless they hold A1111's default or nothing,
listed in the header `x-textinv-ignored`; of `override_settings` those that differ from what holds here, as
`override_settings.NAME`. Source: A1111 `modules/processing.py` and `modules/api/models.py`.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from services.api.bodies import Body, Int
from textinv.generation.request import MAX_SEED, MAX_STEPS

IGNORED_DEFAULTS: Mapping[str, Any] = {
    "styles": [],
    "subseed": -1,
    "subseed_strength": 0,
    "seed_resize_from_h": -1,
    "seed_resize_from_w": -1,
    "eta": None,
    "s_min_uncond": None,
    "s_churn": None,
    "s_tmax": None,
    "s_tmin": None,
    "s_noise": None,
    "restore_faces": False,
    "tiling": False,
    "comments": None,
    "disable_extra_networks": False,
    "override_settings": {},
    "override_settings_restore_afterwards": True,
    "refiner_checkpoint": None,
    "refiner_switch_at": None,
    "firstpass_image": None,
    "do_not_save_samples": False,
    "do_not_save_grid": False,
    "enable_hr": False,
    "firstphase_width": 0,
    "firstphase_height": 0,
    "hr_scale": 2.0,
    "hr_upscaler": None,
    "hr_second_pass_steps": 0,
    "hr_resize_x": 0,
    "hr_resize_y": 0,
    "hr_checkpoint_name": None,
    "hr_sampler_name": None,
    "hr_scheduler": None,
    "hr_prompt": "",
    "hr_negative_prompt": "",
    "hr_cfg": 1.0,
    "distilled_cfg_scale": 3.5,
    "hr_distilled_cfg": 3.5,
    "hr_additional_modules": None,
    "script_name": None,
    "script_args": [],
    "alwayson_scripts": {},
    "save_images": False,
    "infotext": None,
    "resize_mode": 0,
    "image_cfg_scale": None,
    "mask_blur": None,
    "mask_blur_x": 4,
    "mask_blur_y": 4,
    "mask_round": True,
    "inpainting_fill": 0,
    "inpainting_mask_invert": 0,
    "inpaint_full_res": True,
    "inpaint_full_res_padding": 0,
    "initial_noise_multiplier": None,
    "latent_mask": None,
    "include_init_images": False,
    "denoising_strength": 0.75,
}

_Text = Annotated[str, Field(max_length=32_000)]
MAX_TASK_ID = 200
_Side = Annotated[Int, Field(ge=8, le=16_384)]


class Txt2ImgBody(Body):
    """Body of `POST /sdapi/v1/txt2img`."""

    model_config = ConfigDict(extra="allow")

    prompt: _Text = ""
    """What to draw; stored names work with and without brackets (new ones without after some seconds), and so does
    `(word:1.2)`."""
    negative_prompt: _Text = ""
    """What not to draw."""
    seed: Int = Field(default=-1, ge=-1, le=MAX_SEED - 64)
    """-1: a random one."""
    sampler_name: str | None = Field(default=None, max_length=64)
    """Noise scheduler by A1111's name."""
    sampler_index: str | None = Field(default=None, max_length=64)
    """Older spelling of `sampler_name`."""
    scheduler: str | None = Field(default=None, max_length=64)
    """Schedule type, as `Karras`; one that the sampler does not have here is ignored."""
    steps: Int | None = Field(default=None, ge=1, le=MAX_STEPS)
    """Inference steps; none: the base model's."""
    cfg_scale: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    """How closely the picture follows the prompt; none: the base model's."""
    width: _Side | None = None
    """Width in pixels; none: the base model's native size."""
    height: _Side | None = None
    """Height in pixels."""
    batch_size: Int = Field(default=1, ge=1, le=64)
    """Pictures; picture k is drawn from `seed + k`."""
    n_iter: Int = Field(default=1, ge=1, le=64)
    """Multiplies `batch_size`."""
    send_images: bool = True
    """Whether the answer holds the pictures."""
    force_task_id: str | None = Field(default=None, max_length=MAX_TASK_ID)
    """What the caller calls this request when it asks `/internal/progress` for it."""

    @model_validator(mode="after")
    def _can_be_echoed(self) -> Self:
        try:
            json.dumps(self.model_extra, allow_nan=False)
        except ValueError:
            raise ValueError("the body holds NaN or Infinity, which is not JSON; leave it out") from None
        return self

    @property
    def sampler(self) -> str | None:
        """The sampler, in whichever field it was sent."""
        return self.sampler_name or self.sampler_index

    @property
    def ignored(self) -> list[str]:
        """Fields that were sent to some effect which there is not here; `override_settings` has its own rules."""
        sent = self.model_extra or {}
        return sorted(
            name
            for name, value in sent.items()
            if name != "override_settings" and value not in (IGNORED_DEFAULTS.get(name), None, "", [], {})
        )


class Img2ImgBody(Txt2ImgBody):
    """Body of `POST /sdapi/v1/img2img`."""

    init_images: list[str] = Field(default_factory=list, max_length=16)
    """The picture to start from, as base64 or data URL; one."""
    mask: str | None = None
    """What is white in it may change."""
    inpainting_mask_invert: Int = Field(default=0, ge=0, le=1)
    """1: what is black may change."""
    denoising_strength: float = Field(default=0.75, ge=0, le=1, allow_inf_nan=False)
    """How much may change."""
