"""The same networks in less memory, at the price of time.

Owns two ways. Layers forget their inner activations and compute them again on the way back: only forwards with a
gradient are different by it, in memory and time alone, as nothing is drawn at random in them. A VAE takes small
pictures together; larger ones one after the other (slices), which changes nothing but rounding; those above the base
model's native size in tiles of it, whose seams are blended: a tile sees its own pixels only, so there pictures differ
slightly from those of a VAE that takes them whole. Does not know when either is worth it, nor latents' scale.
"""

import copy
import functools
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from textinv.native_size import scale_of

TOGETHER_PX = 256
"""Pictures of more than this side's square go through alone: one fills a device, and its largest layers take 64 MB in
float32 each (256 channels)."""
Way = tuple[float, Any]
"""The most pixels of a picture, and the VAE as it takes those."""
_AGAIN = functools.partial(checkpoint, use_reentrant=False, preserve_rng_state=False)


def checkpoint_layers(network: torch.nn.Module, on: bool = True) -> bool:
    """Have all layers of a network that can do so forget their activations, or keep them; whether that changes one.

    The layers of transformers do so in training only, and what is in training drops out: of the layers themselves alone
    that is said, since all that drops out is in their parts.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer  # seconds, and a front loads no network

    found = False
    for module in network.modules():
        if getattr(module, "gradient_checkpointing", on) == on:
            continue  # it does so, or it is no such layer
        switched: Any = module
        switched._gradient_checkpointing_func, switched.gradient_checkpointing, found = _AGAIN, on, True
        if isinstance(module, GradientCheckpointingLayer):
            module.training = on
    config: Any = getattr(network, "config", None)
    if found and getattr(config, "use_cache", False):
        config.use_cache = False  # language models keep keys and values for a next word, which never comes
    return found


def vaes_by_size(vae: Any, native_px: int) -> tuple[Way, ...]:
    """The same VAE, weights and all, in each way, small pictures first; the first that fits is meant.

    By area: a long picture of the native square's area is whole. Copies, as diffusers switches a whole VAE at once, and
    any thread may run it at any size.
    """
    side_px = max(native_px, TOGETHER_PX)
    return (TOGETHER_PX**2, vae), (side_px**2, _sliced(vae)), (float("inf"), _tiled(vae, side_px))


def _sliced(vae: Any) -> Any:
    """One picture after the other; all of them where its class knows nothing else."""
    found = copy.copy(vae)
    if hasattr(vae, "use_slicing"):
        found.enable_slicing()
    return found


def _tiled(vae: Any, side_px: int) -> Any:
    """Squares of a side, one after the other; whole pictures where its class knows nothing else."""
    found, scale_px = _sliced(vae), scale_of(vae.config)
    if hasattr(vae, "tile_sample_min_size"):  # of AutoencoderKL, which overlaps by a quarter
        found.tile_sample_min_size, found.tile_latent_min_size = side_px, side_px // scale_px
        found.enable_tiling()
    elif hasattr(vae, "use_tiling"):  # of AutoencoderDC
        stride_px = side_px * 3 // 4 // scale_px * scale_px
        found.enable_tiling(side_px, side_px, stride_px, stride_px)
    return found
