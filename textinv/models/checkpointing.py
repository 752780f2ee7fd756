"""Gradients at the price of time: inner activations are forgotten, and computed again on the way back.

Owns switching it on in networks of diffusers and transformers, layer by layer. Does not know when that is worth it.
Only forwards with a gradient are different by it, in memory and time alone: nothing is drawn at random in them.
"""

import functools
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

_AGAIN = functools.partial(checkpoint, use_reentrant=False, preserve_rng_state=False)


def checkpoint_layers(network: torch.nn.Module) -> bool:
    """Have all layers of a network that can do so forget their activations; whether one did not yet.

    The layers of transformers do so in training only, and what is in training drops out: of the layers themselves alone
    that is said, since all that drops out is in their parts.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer  # slow to import

    found = False
    for module in network.modules():
        if getattr(module, "gradient_checkpointing", True):
            continue  # it does, or it is no such layer
        switched: Any = module
        switched._gradient_checkpointing_func, switched.gradient_checkpointing, found = _AGAIN, True, True
        if isinstance(module, GradientCheckpointingLayer):
            module.training = True
    config: Any = getattr(network, "config", None)
    if found and getattr(config, "use_cache", False):
        config.use_cache = False  # language models keep keys and values for a next word, which never comes
    return found
