"""Whole base models of real size on the meta device, of our own families: what they take is counted, not measured.

Tokenizers are those of tiny base models, as only the length of a window matters here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
import transformers

from tests.models import real_sizes, transformer_bases
from tests.models.real_transformers import (
    gemma_2_2b,
    qwen3_4b,
    t5_xxl,
    transformer_of,
    vae_of_16_channels,
    vae_of_sana,
)
from textinv.demo import WEIGHTS
from textinv.models.base import BaseModel
from textinv.models.families import known_families
from textinv.models.placement import Placement

META = torch.device("meta")
_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
Parts = Mapping[str, Any]


@dataclass(frozen=True)
class RealBase:
    """A base model as it is published."""

    family: str
    repository: str
    """Of the hub, whose configs these are."""
    side_px: int
    parts: Callable[[], Parts]

    def on_meta(self) -> BaseModel:
        """The base model in bfloat16, without bytes."""
        family = next(each for each in known_families() if each.family == self.family)
        return family(self.repository, "real", {}, self.parts(), None, Placement(META, torch.bfloat16))


def _stable(family: str) -> Parts:
    encoders = real_sizes.text_encoders_of(family)
    parts: dict[str, Any] = {
        "unet": real_sizes.unet_of(family),
        "vae": real_sizes.vae_of(family),
        "scheduler": diffusers.DDIMScheduler(**_BETAS),
    }
    for network, behind in zip(encoders, ("", "_2"), strict=False):
        parts |= {f"text_encoder{behind}": network, f"tokenizer{behind}": _clip_tokenizer()}
    return parts


def _sd3(name: str) -> Parts:
    return {
        "transformer": transformer_of(name),
        "vae": vae_of_16_channels(),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        **{f"tokenizer{behind}": _clip_tokenizer() for behind in ("", "_2")},
        "tokenizer_3": transformer_bases._t5_tokenizer(),
        "text_encoder": real_sizes.clip_l(projected=True),
        "text_encoder_2": real_sizes.clip_big_g(),
        "text_encoder_3": t5_xxl(),
    }


def _flux() -> Parts:
    return {
        "transformer": transformer_of("flux.1-dev"),
        "vae": vae_of_16_channels(),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        "tokenizer": _clip_tokenizer(),
        "tokenizer_2": transformer_bases._t5_tokenizer(),
        "text_encoder": real_sizes.clip_l(),
        "text_encoder_2": t5_xxl(),
    }


def _alone(name: str, network: Any, tokenizer: Any, vae: Any, scheduler: Any) -> Parts:
    """With one text encoder."""
    parts = {"text_encoder": network, "tokenizer": tokenizer, "vae": vae, "scheduler": scheduler}
    return {"transformer": transformer_of(name), **parts}


def _clip_tokenizer() -> Any:
    return transformers.CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer", model_max_length=77)


def _sana() -> Parts:
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return _alone("sana-1.6b", gemma_2_2b(), transformer_bases._gemma_tokenizer(), vae_of_sana(), scheduler)


def _pixart() -> Parts:
    scheduler = diffusers.DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
    vae = real_sizes.vae_of("sdxl")
    return _alone("pixart-sigma", t5_xxl(), transformer_bases._t5_tokenizer(), vae, scheduler)


def _z_image() -> Parts:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    return _alone("z-image", qwen3_4b(), transformer_bases._qwen_tokenizer(), vae_of_16_channels(), scheduler)


REAL_BASES: Mapping[str, RealBase] = {
    "SD 1.5": RealBase("sd1", real_sizes.SOURCES["sd1"], 512, lambda: _stable("sd1")),
    "SD 2.1": RealBase("sd2", real_sizes.SOURCES["sd2"], 768, lambda: _stable("sd2")),
    "SDXL": RealBase("sdxl", real_sizes.SOURCES["sdxl"], 1024, lambda: _stable("sdxl")),
    "SD 3.5 medium": RealBase("sd3", "stabilityai/stable-diffusion-3.5-medium", 1024, lambda: _sd3("sd3.5-medium")),
    "SD 3.5 large": RealBase("sd3", "stabilityai/stable-diffusion-3.5-large", 1024, lambda: _sd3("sd3.5-large")),
    "Sana 1.6B": RealBase("sana", "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers", 1024, _sana),
    "PixArt-Sigma": RealBase("pixart", "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", 1024, _pixart),
    "FLUX.1 dev": RealBase("flux", "black-forest-labs/FLUX.1-dev", 1024, _flux),
    "Z-Image": RealBase("z-image", "Tongyi-MAI/Z-Image", 1024, _z_image),
}
"""By the name that people know."""
