"""Base models of their real sizes on the meta device: shapes and no bytes.

The configs are those of the repositories on the hub: `unet/config.json`, `vae/config.json` and the text encoders'.
"""

from collections.abc import Mapping
from typing import Any

import diffusers
import torch
import transformers

SOURCES = {
    "sd1": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "sd2": "stabilityai/stable-diffusion-2-1",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0",
}
"""Whose configs these are."""
_CROSS, _PLAIN = "CrossAttn", ""
_CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
_CLIP_H = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "projection_dim": 512,
}
_CLIP_BIG_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}


def unet_of(family: str) -> Any:
    """The UNet."""
    config: Mapping[str, Any] = {
        "sd1": {
            "sample_size": 64,
            "cross_attention_dim": 768,
            "attention_head_dim": 8,
            "block_out_channels": (320, 640, 1280, 1280),
            **_blocks(_CROSS, _CROSS, _CROSS, _PLAIN),
        },
        "sd2": {
            "sample_size": 96,
            "cross_attention_dim": 1024,
            "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
            "block_out_channels": (320, 640, 1280, 1280),
            **_blocks(_CROSS, _CROSS, _CROSS, _PLAIN),
        },
        "sdxl": {
            "sample_size": 128,
            "cross_attention_dim": 2048,
            "attention_head_dim": (5, 10, 20),
            "use_linear_projection": True,
            "block_out_channels": (320, 640, 1280),
            "transformer_layers_per_block": (1, 2, 10),
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
            **_blocks(_PLAIN, _CROSS, _CROSS),
        },
    }[family]
    with torch.device("meta"):
        return diffusers.UNet2DConditionModel(**config)


def _blocks(*kinds: str) -> dict[str, Any]:
    return {
        "down_block_types": tuple(f"{kind}DownBlock2D" for kind in kinds),
        "up_block_types": tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
    }


def vae_of(family: str) -> Any:
    """The VAE, of one size in all three."""
    with torch.device("meta"):
        return diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            sample_size=1024 if family == "sdxl" else 512,
            scaling_factor=0.13025 if family == "sdxl" else 0.18215,
        )


def text_encoders_of(family: str) -> list[Any]:
    """The text encoders."""
    if family == "sd2":
        with torch.device("meta"):
            return [transformers.CLIPTextModel(transformers.CLIPTextConfig(**_CLIP_H))]
    return [clip_l(), clip_big_g()] if family == "sdxl" else [clip_l()]


def clip_l(*, projected: bool = False) -> Any:
    """OpenAI's CLIP ViT-L/14, its text tower."""
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    with torch.device("meta"):
        return kind(transformers.CLIPTextConfig(**_CLIP_L))


def clip_big_g() -> Any:
    """OpenCLIP's ViT-bigG/14, its text tower."""
    with torch.device("meta"):
        return transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**_CLIP_BIG_G))
