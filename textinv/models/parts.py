"""Whether a base model's parts are ones that rows can be learned and drawn with, or what they are instead.

Owns the kinds of models that look like a Stable Diffusion and are not: each is refused by what it is, with what would
work. Does not load anything, and does not know noise: that is `process`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textinv.errors import BaseModelError

_OTHER_PIPELINES = {
    "Inpaint": "draws into masked pictures; name the base model that it was made from: pictures are edited with any",
    "InstructPix2Pix": "edits pictures by instruction; name the base model that it was made from",
    "ControlNet": "is steered by a second network; name the base model without it",
    "Upscale": "enlarges pictures; name a base model that draws from text",
}


_LONE_PARTS = {
    "AutoencoderKL": "a VAE",
    "VQModel": "a VAE",
    "UNet2DConditionModel": "a UNet",
    "ControlNetModel": "a ControlNet",
    "CLIPTextModel": "a text encoder",
    "CLIPTextModelWithProjection": "a text encoder",
}
_HELD = {
    "*lora*.safetensors": "holds a LoRA: it changes a base model and is not one itself; name the base model that it "
    "was made for",
    "learned_embeds*": "holds an embedding: rows learned on a base model; name the base model, and add the rows as a "
    "concept",
}


def explain_folder(folder: Path) -> str:
    """Say what a folder is that is no whole pipeline of diffusers'."""
    held = next((said for pattern, said in _HELD.items() if any(folder.glob(pattern))), None)
    if held is not None:
        return held
    config = folder / "config.json"
    try:
        known = json.loads(config.read_text()) if config.is_file() else {}
    except ValueError:
        known = {}
    names = [known.get("_class_name"), *(known.get("architectures") or [])] if isinstance(known, dict) else []
    if part := next((_LONE_PARTS[name] for name in names if name in _LONE_PARTS), None):
        return f"is {part}: one part of a base model; name the folder of the whole base model"
    return "has no model_index.json: it is not a diffusers folder; name one that save_pretrained wrote"


def check_named(name: str, index: Mapping[str, Any], parts: Sequence[str]) -> None:
    """Check that none of the parts is left out on purpose in a folder's `model_index.json`.

    Raises:
        BaseModelError: one is, as a large text encoder often is, to save memory.
    """
    if absent := [part for part in parts if index.get(part) == [None, None]]:
        raise BaseModelError(
            f"the base model {name!r} was saved without {' and '.join(absent)}: learning and drawing need all "
            "parts; get a copy that has it (if memory is short, ?weights=int8 after its name halves what it takes)"
        )


def explain_pipeline(index: Mapping[str, Any], text_config: Mapping[str, Any]) -> str:
    """Say what a folder of no known family is."""
    found = str(index.get("_class_name"))
    if found.startswith("StableDiffusionXL") and not text_config and "Inpaint" not in found:
        return (
            f"is a {found} without its first text encoder: SDXL's refiner, or an incomplete folder; name SDXL's base, "
            "or get all files again"
        )
    for part, said in _OTHER_PIPELINES.items():
        if part in found:
            return f"is a {found}, which {said}"
    return f"is a {found}"


def check_complete(name: str, components: Mapping[str, Any], needed: Sequence[str]) -> None:
    """Check that all parts are there.

    Raises:
        BaseModelError: one is not.
    """
    missing = [part for part in needed if components.get(part) is None]
    if missing:
        raise BaseModelError(f"the base model {name!r} has no {' and no '.join(missing)}; get all its files again")


def check_unet(name: str, components: Mapping[str, Any], vae_name: str) -> None:
    """Check that the UNet takes latents, a time and text, and nothing else.

    Raises:
        BaseModelError: it does not; it says what the base model is.
    """
    unet, vae = components["unet"].config, components[vae_name].config
    _check_channels(name, int(unet.in_channels), int(unet.out_channels), int(vae.latent_channels))
    if unet.get("time_cond_proj_dim") is not None:
        raise BaseModelError(
            f"the base model {name!r} takes its guidance scale as an input (time_cond_proj_dim): it is a distilled "
            "latent consistency model; name the base model that it was made from"
        )
    for field in ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type"):
        if unet.get(field) is not None:
            raise BaseModelError(
                f"the UNet of the base model {name!r} takes more than text ({field} is {unet[field]!r}), as upscalers "
                "and unCLIP do; name a base model that draws from text alone"
            )
    if unet.get("addition_embed_type") not in (None, "text", "text_time"):
        raise BaseModelError(
            f"the UNet of the base model {name!r} takes {unet['addition_embed_type']!r} beside its text; name a base "
            "model that draws from text alone"
        )


def check_text_width(name: str, unet: Any, width: int) -> None:
    """Check that the UNet attends to hidden states as wide as those that the text encoders give.

    Raises:
        BaseModelError: it does not.
    """
    said = unet.config.cross_attention_dim
    wanted = {said} if isinstance(said, int) else set(said)
    if wanted != {width}:
        raise BaseModelError(
            f"the UNet of the base model {name!r} attends to text of width {', '.join(map(str, sorted(wanted)))}, and "
            f"its text encoders give {width}: these are parts of different models; get all its files again"
        )


def _check_channels(name: str, taken: int, given: int, latents: int) -> None:
    if taken == given == latents:
        return
    said = f"the UNet of the base model {name!r} takes {taken} channels and gives {given}, and latents have {latents}"
    if taken == 2 * latents + 1:
        raise BaseModelError(
            f"{said}: it is an inpainting model; name the base model that it was made from: every base model can "
            "edit pictures"
        )
    if taken == 2 * latents:
        raise BaseModelError(
            f"{said}: it edits pictures by instruction or enlarges them; name a base model that draws from text alone"
        )
    raise BaseModelError(f"{said}: these are parts of different models; get all its files again")
