"""Tiny base models with random transformers, one per family, each with a tokenizer of the right class."""

from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from tests.models import tiny_bases

WORDS = "a photo of red blue apple fox cup on grass the in snow two and by style it is good great nice".split()
WORD = "apple"
"""One token for every tokenizer."""
SIDE = {"sd3": 32}
"""Of pictures that are learned and drawn, in pixels."""
CALLED: dict[str, dict[str, Any]] = {"sd3": {}}
"""What each pipeline is told beside what all are told."""
ENCODERS = {
    "sd3": {
        "clip_l": ("text_encoder", "tokenizer"),
        "clip_g": ("text_encoder_2", "tokenizer_2"),
        "t5xxl": ("text_encoder_3", "tokenizer_3"),
    },
}
"""The component and the tokenizer of each text encoder."""
LETTERS = "abcdefghijklmnopqrstuvwxyz-,."


def make_transformer_base(family: str, folder: Path) -> Path:
    """Save a tiny model of a family as a diffusers folder."""
    torch.manual_seed(sum(map(ord, family)))
    pipeline = _MAKERS[family]()
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            _spread_out(part)
    pipeline.save_pretrained(folder)
    return folder


def _spread_out(part: torch.nn.Module) -> None:
    """Gates and last layers begin at zero: then no text is ever heard."""
    for parameter in part.parameters():
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)


def _sd3() -> Any:
    return diffusers.StableDiffusion3Pipeline(
        vae=_vae(shift_factor=0.06, scaling_factor=1.5, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=tiny_bases._clip("quick_gelu", projected=True),
        text_encoder_2=tiny_bases._clip("gelu", width=48, projected=True),
        text_encoder_3=_t5(96),
        tokenizer=tiny_bases._clip_tokenizer("<|endoftext|>"),
        tokenizer_2=tiny_bases._clip_tokenizer("!"),
        tokenizer_3=_t5_tokenizer(),
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=96,
            caption_projection_dim=32,
            pooled_projection_dim=80,
            pos_embed_max_size=16,
        ).eval(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def _vae(**fields: Any) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        latent_channels=4,
        sample_size=32,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        **fields,
    ).eval()


def _t5(width: int) -> Any:
    config = transformers.T5Config(
        vocab_size=len(_t5_tokenizer()),
        d_model=width,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
    )
    return transformers.T5EncoderModel(config).eval()


def _t5_tokenizer() -> Any:
    pieces = ["<pad>", "</s>", "<unk>", "▁", *[f"▁{word}" for word in WORDS], *LETTERS]
    vocabulary = [(piece, 0.0 if place < 3 else -1.0 - len(piece) * 0.01) for place, piece in enumerate(pieces)]
    return transformers.T5Tokenizer(vocab=vocabulary, extra_ids=2, model_max_length=256)


_MAKERS = {"sd3": _sd3}
