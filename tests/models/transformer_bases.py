"""Tiny base models with random transformers, one per family, each with a tokenizer of the right class."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import diffusers
import tokenizers
import torch
import transformers

from tests.models import tiny_bases

WORDS = "a photo of red blue apple fox cup on grass the in snow two and by style it is good great nice".split()
WORD = "apple"
"""One token for every tokenizer."""
SIDE = {"sd3": 32, "sana": 32, "pixart": 32}
"""Of pictures that are learned and drawn, in pixels."""
CALLED: dict[str, dict[str, Any]] = {
    "sd3": {},
    "sana": {"use_resolution_binning": False, "complex_human_instruction": None},
    "pixart": {"use_resolution_binning": False},
}
"""What each pipeline is told beside what all are told."""
ENCODERS = {
    "sd3": {
        "clip_l": ("text_encoder", "tokenizer"),
        "clip_g": ("text_encoder_2", "tokenizer_2"),
        "t5xxl": ("text_encoder_3", "tokenizer_3"),
    },
    "sana": {"gemma": ("text_encoder", "tokenizer")},
    "pixart": {"t5xxl": ("text_encoder", "tokenizer")},
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


def _sana() -> Any:
    vae = diffusers.AutoencoderDC(
        latent_channels=4,
        encoder_block_out_channels=(8, 8, 16),
        decoder_block_out_channels=(8, 8, 16),
        encoder_layers_per_block=(1, 1, 1),
        decoder_layers_per_block=(1, 1, 1),
        encoder_qkv_multiscales=((), (), ()),
        decoder_qkv_multiscales=((), (), ()),
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        scaling_factor=0.41,
    )
    config = transformers.Gemma2Config(
        vocab_size=len(_gemma_tokenizer()),
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=12,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    transformer = diffusers.SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=4,
        attention_head_dim=8,
        num_layers=2,
        num_cross_attention_heads=4,
        cross_attention_head_dim=8,
        cross_attention_dim=32,
        caption_channels=48,
        sample_size=8,
    )
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return diffusers.SanaPipeline(
        tokenizer=_gemma_tokenizer(),
        text_encoder=transformers.Gemma2Model(config).eval(),
        vae=vae.eval(),
        transformer=transformer.eval(),
        scheduler=scheduler,
    )


def _pixart() -> Any:
    transformer = diffusers.PixArtTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=32,
        sample_size=8,
        patch_size=2,
        caption_channels=32,
        use_additional_conditions=False,
    )
    scheduler = diffusers.DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
    return diffusers.PixArtSigmaPipeline(
        tokenizer=_t5_tokenizer(), text_encoder=_t5(32), vae=_vae(), transformer=transformer.eval(), scheduler=scheduler
    )


def _flux(guidance_embeds: bool) -> Any:
    text_encoder = tiny_bases._clip("quick_gelu")
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        pooled_projection_dim=32,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 4, 8),
    )
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(
        shift=3.0 if guidance_embeds else 1.0, use_dynamic_shifting=guidance_embeds
    )
    return diffusers.FluxPipeline(
        scheduler=scheduler,
        vae=_vae(shift_factor=0.12, scaling_factor=0.36, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=text_encoder,
        tokenizer=tiny_bases._clip_tokenizer("<|endoftext|>"),
        text_encoder_2=_t5(48),
        tokenizer_2=_t5_tokenizer(),
        transformer=transformer.eval(),
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


def _gemma_tokenizer() -> Any:
    vocabulary, merges = _byte_pairs("▁", ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"])
    tokenizer = transformers.GemmaTokenizer(vocab=vocabulary, merges=merges, model_max_length=512)
    # The file of the real one says so.
    begin = tokenizers.processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    tokenizer.backend_tokenizer.post_processor = begin
    return tokenizer


def _byte_pairs(space: str, special: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of the words, each alone and behind a space, and the merges that lead to them."""
    merges: dict[tuple[str, str], None] = {}
    for word in (*[space + word for word in WORDS], *WORDS):
        merges |= {(word[:k], word[k]): None for k in range(1, len(word))}
    pieces = dict.fromkeys([*special, space, *LETTERS, *[a + b for a, b in merges]])
    return {piece: number for number, piece in enumerate(pieces)}, list(merges)


_MAKERS: dict[str, Callable[[], Any]] = {
    "sd3": _sd3,
    "sana": _sana,
    "pixart": _pixart,
}
