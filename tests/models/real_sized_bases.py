"""Base models of SD 1.5's and of SDXL's own architecture and size, with made-up weights, saved as diffusers folders.

Configs are those of the published models; weights are a block of random numbers over and over, scaled to keep what
passes through them about as large as it was: drawing a billion numbers would take longer than using them.
"""

import math
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from tests.models.clip_vocabulary import write_vocabulary

BLOCK = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def make_sd15(folder: Path) -> Path:
    """Stable Diffusion 1.5: 1.0 billion weights, 2 GB in float16."""
    pipeline = diffusers.StableDiffusionPipeline(
        vae=_made(diffusers.AutoencoderKL, **_vae(512, 0.18215)),
        text_encoder=_made(transformers.CLIPTextModel, _clip(768, 12, "quick_gelu")),
        tokenizer=_tokenizer(folder),
        unet=_made(diffusers.UNet2DConditionModel, sample_size=64, cross_attention_dim=768),
        scheduler=diffusers.PNDMScheduler(skip_prk_steps=True, set_alpha_to_one=False, **NOISE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def make_sdxl(folder: Path) -> Path:
    """Stable Diffusion XL: 3.5 billion weights, 7 GB in float16."""
    unet = _made(
        diffusers.UNet2DConditionModel,
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
        use_linear_projection=True,
    )
    pipeline = diffusers.StableDiffusionXLPipeline(
        vae=_made(diffusers.AutoencoderKL, **_vae(1024, 0.13025)),
        text_encoder=_made(transformers.CLIPTextModel, _clip(768, 12, "quick_gelu")),
        text_encoder_2=_made(transformers.CLIPTextModelWithProjection, _clip(1280, 32, "gelu")),
        tokenizer=_tokenizer(folder),
        tokenizer_2=_tokenizer(folder, pad_token="!"),
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(**NOISE),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def _made(kind: Any, *config: Any, **fields: Any) -> Any:
    """A part with weights in float16; nothing is drawn for weights that are written over at once."""
    with torch.device("meta"):
        part = kind(*config, **fields)
    part = part.half().to_empty(device="cpu").eval()
    for name, weight in part.named_parameters():
        if weight.ndim == 1:
            weight.data.fill_(float(name.endswith("weight")))
        else:
            spread = 0.02 if "embedding" in name else 1 / math.sqrt(weight[0].numel())
            scaled = (BLOCK * spread).half()
            weight.data.copy_(scaled.repeat(-(-weight.numel() // len(scaled)))[: weight.numel()].view_as(weight))
    return part


def _vae(side_px: int, scaling_factor: float) -> dict[str, Any]:
    return {
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "sample_size": side_px,
        "scaling_factor": scaling_factor,
    }


def _clip(width: int, num_layers: int, activation: str) -> Any:
    return transformers.CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=num_layers,
        num_attention_heads=width // 64,
        max_position_embeddings=77,
        hidden_act=activation,
        projection_dim=width,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=49407,
    )


def _tokenizer(folder: Path, **special: str) -> Any:
    words = folder / "words"
    words.mkdir(parents=True, exist_ok=True)
    write_vocabulary(words)
    return transformers.CLIPTokenizer.from_pretrained(words, model_max_length=77, **special)
