"""The side of the pictures that a base model draws natively, read from its configs.

Owns the one rule for it. Needs no library that loads models, so that a manifest is checked in a moment.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NETWORKS = ("unet", "transformer")
VAES = ("vae", "vqvae")
SILENT_SIDE = 128


def native_px_of(network: Mapping[str, Any], vae: Mapping[str, Any]) -> int | None:
    """The side in pixels by the configs of a UNet or transformer and its VAE; None when they do not say."""
    silent = "sample_size" not in network and "Transformer" not in str(network.get("_class_name"))
    return None if silent or not _blocks(vae) else side_of(network) * scale_of(vae)


def side_of(network: Mapping[str, Any]) -> int:
    """Latents along a side of a native picture, as diffusers' pipelines take it where a transformer does not say."""
    side = network.get("sample_size") or SILENT_SIDE
    return side if isinstance(side, int) else int(side[0])


def scale_of(vae: Mapping[str, Any]) -> int:
    """Pixels per latent, along a side."""
    return 1 << len(_blocks(vae)) - 1


def _blocks(vae: Mapping[str, Any]) -> Sequence[int]:
    return vae.get("block_out_channels") or vae.get("encoder_block_out_channels") or ()


def native_px_on_disk(folder: Path) -> int | None:
    """The side for a folder in diffusers' layout; None when there is no such folder, or it does not say."""
    network = next((found for name in NETWORKS if (found := _json(folder / name / "config.json"))), {})
    return next((px for vae in VAES if (px := native_px_of(network, _json(folder / vae / "config.json")))), None)


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return {}
