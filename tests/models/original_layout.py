"""Rewrites a diffusers pipeline's weights into one file in the layout of Stable Diffusion's original repositories."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
_VAE = {
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
_OPEN_CLIP = {
    "encoder.layers": "transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "final_layer_norm": "ln_final",
    "embeddings.token_embedding": "token_embedding",
    "embeddings.position_embedding.weight": "positional_embedding",
}


def save_original(pipeline: Any, file: Path, family: str) -> None:
    """Save the weights of an SD1, SD2 or SDXL pipeline as one file."""
    weights = {f"model.diffusion_model.{key}": value for key, value in _unet(pipeline.unet).items()}
    weights |= {f"first_stage_model.{key}": value for key, value in _vae(pipeline.vae).items()}
    texts = pipeline.text_encoder.state_dict()
    if family == "sd1":
        weights |= _clip(texts, "cond_stage_model.transformer.text_model.")
    elif family == "sd2":
        weights |= _open_clip(texts, torch.eye(pipeline.text_encoder.config.hidden_size), "cond_stage_model.model.")
    else:
        second = pipeline.text_encoder_2.state_dict()
        projection = second.pop("text_projection.weight").T
        weights |= _clip(texts, "conditioner.embedders.0.transformer.text_model.")
        weights |= _open_clip(second, projection, "conditioner.embedders.1.model.")
    save_file({key: value.contiguous() for key, value in weights.items()}, file)


def _unet(unet: Any) -> dict[str, Tensor]:
    per_block = unet.config.layers_per_block + 1
    attends = ["CrossAttn" in kind for kind in unet.config.up_block_types]

    def rename(key: str) -> str:
        if found := re.match(r"down_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", key):
            block, part, layer = int(found[1]) * per_block + int(found[3]) + 1, int(found[2] == "attentions"), found[4]
            return f"input_blocks.{block}.{part}.{_replaced(layer, {} if part else _RESNET)}"
        if found := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.*)", key):
            return f"input_blocks.{(int(found[1]) + 1) * per_block}.0.op.{found[2]}"
        if found := re.match(r"up_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", key):
            block, part, layer = int(found[1]) * per_block + int(found[3]), int(found[2] == "attentions"), found[4]
            return f"output_blocks.{block}.{part}.{_replaced(layer, {} if part else _RESNET)}"
        if found := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.(.*)", key):
            block = int(found[1])
            return f"output_blocks.{(block + 1) * per_block - 1}.{1 + attends[block]}.{found[2]}"
        renamed = _replaced(key, _UNET)
        return _replaced(renamed, _RESNET) if renamed.startswith(("middle_block.0", "middle_block.2")) else renamed

    return {rename(key): value for key, value in unet.state_dict().items()}


def _vae(vae: Any) -> dict[str, Tensor]:
    last = len(vae.config.block_out_channels) - 1

    def rename(key: str) -> str:
        key = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", key)
        key = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", key)
        key = re.sub(r"up_blocks\.(\d+)\.resnets", lambda found: f"up.{last - int(found[1])}.block", key)
        key = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda found: f"up.{last - int(found[1])}.upsample", key)
        return _replaced(key, _VAE)

    renamed = {rename(key): value for key, value in vae.state_dict().items()}
    # The original attention is made of 1 x 1 convolutions.
    is_matrix = re.compile(r"attn_1\.(q|k|v|proj_out)\.weight$")
    return {key: value[:, :, None, None] if is_matrix.search(key) else value for key, value in renamed.items()}


def _clip(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + key.removeprefix("text_model."): value for key, value in weights.items()}


def _open_clip(weights: Mapping[str, Tensor], projection: Tensor, prefix: str) -> dict[str, Tensor]:
    found = {"text_projection": projection}
    for key, value in weights.items():
        name = _replaced(key.removeprefix("text_model."), _OPEN_CLIP)
        if ".self_attn.q_proj." in key:
            parts = [weights[key.replace("q_proj", one)] for one in ("q_proj", "k_proj", "v_proj")]
            found[name.replace("self_attn.q_proj.", "attn.in_proj_")] = torch.cat(parts)
        elif "self_attn." not in name:
            found[name] = value
    return {prefix + name: value for name, value in found.items()}


def _replaced(key: str, names: Mapping[str, str]) -> str:
    for ours, theirs in names.items():
        key = re.sub(rf"(^|\.){re.escape(ours)}(?=\.|$)", rf"\g<1>{theirs}", key)
    return key
