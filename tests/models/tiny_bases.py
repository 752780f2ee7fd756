"""Tiny base models with random weights, one per family, saved as diffusers folders."""

from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel

from textinv.demo import WEIGHTS

WINDOW = 32
WORDS = "photo of red blue apple fox cup on grass the in snow two and".split()


def make_base(family: str, folder: Path, prediction_type: str = "epsilon") -> Path:
    """Save a tiny model: 32 px pictures, latents 4 times smaller along a side.

    `family` is `sd1`, `sd2`, `sdxl`, `ldm`, `vq` (an LDM whose latents have no distribution) or
    `pooling` (an SD1 whose UNet pools the text into its timestep).
    """
    torch.manual_seed(sum(map(ord, family)))
    pipeline = {"sd1": _sd1, "sd2": _sd2, "sdxl": _sdxl, "ldm": _ldm, "vq": _vq, "pooling": _pooling}[family](
        folder, _scheduler(prediction_type)
    )
    pipeline.save_pretrained(folder)
    return folder


def _sd1(_folder: Path, scheduler: Any) -> Any:
    return _stable(_clip("quick_gelu"), _clip_tokenizer("<|endoftext|>"), scheduler)


def _sd2(_folder: Path, scheduler: Any) -> Any:
    return _stable(_clip("gelu"), _clip_tokenizer("!"), scheduler)


def _pooling(_folder: Path, scheduler: Any) -> Any:
    pooled = {"addition_embed_type": "text", "addition_embed_type_num_heads": 4}
    return _stable(_clip("quick_gelu"), _clip_tokenizer("<|endoftext|>"), scheduler, **pooled)


def _stable(text_encoder: Any, tokenizer: Any, scheduler: Any, **unet_fields: Any) -> Any:
    return diffusers.StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=_unet(cross_attention_dim=32, **unet_fields),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl(_folder: Path, scheduler: Any) -> Any:
    unet = _unet(
        cross_attention_dim=80,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 40,
    )
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_clip("quick_gelu"),
        text_encoder_2=_clip("gelu", width=48, projected=True),
        tokenizer=_clip_tokenizer("<|endoftext|>"),
        tokenizer_2=_clip_tokenizer("!"),
        unet=unet,
        scheduler=scheduler,
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )


def _vq(folder: Path, scheduler: Any) -> Any:
    torch.manual_seed(0)
    pipeline = _ldm(folder, scheduler)
    pipeline.register_modules(
        vqvae=diffusers.VQModel(
            block_out_channels=(8, 8, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            norm_num_groups=4,
            latent_channels=4,
            num_vq_embeddings=16,
            sample_size=32,
        )
    )
    return pipeline


def _ldm(folder: Path, scheduler: Any) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocab.txt"
    letters = [f"{mark}{letter}" for letter in "abcdefghijklmnopqrstuvwxyz" for mark in ("", "##")]
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *WORDS, "-", ","]))
    tokenizer = transformers.BertTokenizer(str(vocabulary), model_max_length=77)
    bert = LDMBertModel(
        LDMBertConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=77,
            encoder_layers=2,
            encoder_ffn_dim=64,
            encoder_attention_heads=4,
            head_dim=8,
            d_model=32,
        )
    )
    return diffusers.LDMTextToImagePipeline(
        vqvae=_vae(), bert=bert, tokenizer=tokenizer, unet=_unet(cross_attention_dim=32), scheduler=scheduler
    )


def _clip_tokenizer(pad_token: str) -> Any:
    return transformers.CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer", pad_token=pad_token)


def _clip(hidden_act: str, width: int = 32, projected: bool = False) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=1818,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=WINDOW,
        hidden_act=hidden_act,
        projection_dim=40,
        bos_token_id=1816,
        eos_token_id=1817,
        pad_token_id=1817,
    )
    return (transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel)(config).eval()


def _unet(**fields: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        **fields,
    ).eval()


def _vae() -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        latent_channels=4,
        sample_size=32,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    ).eval()


def _scheduler(prediction_type: str) -> Any:
    return diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )
