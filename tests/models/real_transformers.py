"""The parts of base models of real size whose network is a transformer, on the meta device: shapes and no bytes.

The configs are those of the repositories on the hub that `real_bases` names, `transformer/config.json` and so on. These
lie behind logins or were out of reach; what is written here is what diffusers' own `scripts/convert_*_to_diffusers.py`
and the defaults of its classes say of them, and for text encoders `config.json` of google/t5-v1_1-xxl,
google/gemma-2-2b-it (the defaults of transformers' `Gemma2Config`) and Qwen/Qwen3-4B.
"""

from collections.abc import Mapping
from typing import Any

import diffusers
import torch
import transformers

TRANSFORMERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "sd3.5-medium": (
        "SD3Transformer2DModel",
        {
            "num_layers": 24,
            "num_attention_heads": 24,
            "caption_projection_dim": 1536,
            "pos_embed_max_size": 384,
            "dual_attention_layers": tuple(range(13)),
            "qk_norm": "rms_norm",
        },
    ),
    "sd3.5-large": (
        "SD3Transformer2DModel",
        {
            "num_layers": 38,
            "num_attention_heads": 38,
            "caption_projection_dim": 2432,
            "pos_embed_max_size": 192,
            "qk_norm": "rms_norm",
        },
    ),
    "sana-1.6b": ("SanaTransformer2DModel", {"sample_size": 32}),
    "pixart-sigma": (
        "PixArtTransformer2DModel",
        {"sample_size": 128, "caption_channels": 4096, "interpolation_scale": 2, "use_additional_conditions": False},
    ),
    "flux.1-dev": ("FluxTransformer2DModel", {"guidance_embeds": True}),
    "z-image": ("ZImageTransformer2DModel", {}),
}
"""The class of diffusers, and what is not its default."""
_SANA_BLOCKS = ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3


def transformer_of(name: str) -> Any:
    """The transformer."""
    kind, config = TRANSFORMERS[name]
    with torch.device("meta"):
        return getattr(diffusers, kind)(**config)


def vae_of_16_channels() -> Any:
    """The VAE of SD 3, of FLUX.1 and of Z-Image: SDXL's but for its channels."""
    with torch.device("meta"):
        return diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=16,
            sample_size=1024,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )


def vae_of_sana() -> Any:
    """mit-han-lab/dc-ae-f32c32-sana-1.0, as `scripts/convert_dcae_to_diffusers.py` makes it."""
    with torch.device("meta"):
        return diffusers.AutoencoderDC(
            encoder_block_types=_SANA_BLOCKS,
            decoder_block_types=_SANA_BLOCKS,
            downsample_block_type="conv",
            upsample_block_type="interpolate",
            scaling_factor=0.41407,
        )


def t5_xxl() -> Any:
    """The encoder of T5 v1.1 XXL."""
    config = transformers.T5Config(
        d_model=4096, d_ff=10240, num_layers=24, num_heads=64, feed_forward_proj="gated-gelu", tie_word_embeddings=False
    )
    with torch.device("meta"):
        return transformers.T5EncoderModel(config)


def gemma_2_2b() -> Any:
    """Gemma 2 with two billion weights."""
    with torch.device("meta"):
        return transformers.Gemma2Model(transformers.Gemma2Config())


def qwen3_4b() -> Any:
    """Qwen3 with four billion weights."""
    config = transformers.Qwen3Config(
        hidden_size=2560,
        intermediate_size=9728,
        num_hidden_layers=36,
        num_key_value_heads=8,
        max_position_embeddings=40960,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        return transformers.Qwen3Model(config)
