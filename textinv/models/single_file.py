"""What one file of weights holds: a whole base model, or something else that people have in the same folder.

Owns telling them apart by the names and shapes of their tensors, read without loading any, and the markers that authors
put into a file to say how it predicts. Does not know configs, nor where files lie.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from textinv.errors import BaseModelError

_UNET = "model.diffusion_model."
_FIRST_CONVOLUTION = f"{_UNET}input_blocks.0.0.weight"
_LORA = ("lora_", ".lora", "hada_w", "lokr_w", ".oft_", "dora_scale")
_TEXT = ("cond_stage_model.", "conditioner.embedders.", "text_encoders.")
_VAE = ("first_stage_model.", "vae.")


@dataclass(frozen=True)
class Markers:
    """What a file says of its own noise process: empty tensors with these names, as NoobAI's and others' carry."""

    v_pred: bool = False
    ztsnr: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """What they change in the config of a noise scheduler."""
        changed: dict[str, Any] = {"prediction_type": "v_prediction"} if self.v_pred else {}
        if self.ztsnr:
            changed |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        return changed


def read_markers(file: Path) -> Markers:
    """Check that a file holds a whole base model, and read its markers.

    Raises:
        BaseModelError: it holds something else, which is named, or cannot be read.
    """
    shapes = _shapes(file)
    found = _other_kind(shapes)
    if found is not None:
        raise BaseModelError(f"{file} {found}")
    return Markers("v_pred" in shapes, "ztsnr" in shapes)


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as opened:
                return {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118
        state: Any = torch.load(file, map_location="meta", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise BaseModelError(f"{file} is cut off or damaged: {error}; get the file again") from error
    except Exception as error:  # a pickle may fail in any way that its bytes spell
        raise BaseModelError(
            f"{file} would run code when it is loaded, or is damaged: get it as .safetensors"
        ) from error
    if "string_to_param" in state:
        return {"string_to_param": (0,)}
    tensors: Mapping[str, Any] = state.get("state_dict", state)
    return {key: tuple(getattr(value, "shape", ())) for key, value in tensors.items()}


def _other_kind(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Say what the tensors are when they are no whole base model that draws from text."""

    def has(*starts: str) -> bool:
        return any(key.startswith(starts) for key in shapes)

    if any(mark in key for key in shapes for mark in _LORA):
        return "is a LoRA: it changes a base model and is not one itself; name the base model that it was made for"
    if has("control_model.", "controlnet_"):
        return "is a ControlNet: it steers a base model and is not one itself; name the base model"
    if not has(_UNET):
        return _without_unet(shapes)
    channels = shapes.get(_FIRST_CONVOLUTION, (0, 4))[1]
    if channels == 9:
        return (
            "is an inpainting model (its UNet takes 9 channels); name the base model that it was made from: every "
            "base model can edit pictures"
        )
    if channels == 8:
        return "edits pictures by instruction (its UNet takes 8 channels); name the base model that it was made from"
    if has("conditioner.embedders.0.model.") and not has("conditioner.embedders.1."):
        return "is SDXL's refiner, which has no first text encoder; name SDXL's base"
    missing = [part for part, starts in (("text encoder", _TEXT), ("VAE", _VAE)) if not has(*starts)]
    if missing:
        return f"holds a UNet and no {' and no '.join(missing)}; get the whole checkpoint, or a diffusers folder"
    return None


def _without_unet(shapes: Mapping[str, tuple[int, ...]]) -> str:
    if {"string_to_param", "emb_params", "clip_g", "clip_l"} & set(shapes) or (
        shapes and all(len(shape) <= 2 for shape in shapes.values()) and len(shapes) <= 4
    ):
        return "is an embedding: rows learned on a base model; name the base model, and add the rows as a concept"
    if shapes and all(key.split(".")[0] in _VAE_PARTS for key in shapes):
        return "is a VAE: one part of a base model; name the whole base model"
    return (
        f"holds no {_UNET}* tensors: it is not Stable Diffusion 1, 2 or XL in the original layout; name such a "
        "file, or "
        "a diffusers folder"
    )


_VAE_PARTS = frozenset({"encoder", "decoder", "quant_conv", "post_quant_conv", "first_stage_model", "vae", "loss"})
