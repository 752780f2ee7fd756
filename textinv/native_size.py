"""The side of the pictures that a base model draws natively, read from its configs.

Owns the one rule for it. Needs no library that loads models, so that a manifest is checked in a moment.
"""

import json
from pathlib import Path
from typing import Any

VAES = ("vae", "vqvae")


def native_px_of(unet: dict[str, Any], vae: dict[str, Any]) -> int | None:
    """The side in pixels by the configs of a UNet and its VAE; None when they do not say."""
    sample_size, blocks = unet.get("sample_size"), vae.get("block_out_channels")
    if sample_size is None or blocks is None:
        return None
    side = sample_size if isinstance(sample_size, int) else sample_size[0]
    return int(side) << len(blocks) - 1


def native_px_on_disk(folder: Path) -> int | None:
    """The side for a folder in diffusers' layout; None when there is no such folder, or it does not say."""
    unet = _json(folder / "unet/config.json")
    return next((px for vae in VAES if (px := native_px_of(unet, _json(folder / vae / "config.json")))), None)


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return {}
