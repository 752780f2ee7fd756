"""In how many bits the frozen parts are kept, where that is said: half of bfloat16's for `int8`.

Owns diffusers' and transformers' own configs for torchao, which round the weights of linear layers to
256 steps for each output while they are loaded; what is computed with them stays in the placement's dtype, and
gradients pass. Other layers, embeddings and the VAE stay as they are. Does not know who asks.
"""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import torch

from textinv.errors import BaseModelError
from textinv.models.placement import Placement


def placement_for(weights: str, placement: Placement) -> Placement:
    """Where and in which precision parts run whose weights are kept so."""
    return Placement(placement.device, torch.bfloat16) if weights == "bfloat16" else placement


def loading_options(name: str, weights: str, network: str, text_encoders: Iterable[str]) -> dict[str, Any]:
    """What a pipeline is told when it loads a base model whose parts are these.

    Raises:
        BaseModelError: it takes a package that is not installed.
    """
    if weights != "int8":
        return {}
    if find_spec("torchao") is None:
        raise BaseModelError(
            f"the base model {name!r} is to keep its weights in int8, which takes torchao, and that is not installed: "
            "`pip install 'textinv[int8]'`, or leave `weights` out"
        )
    import diffusers
    import transformers
    from torchao.quantization import Int8WeightOnlyConfig

    rounded = Int8WeightOnlyConfig()
    configs = {network: diffusers.TorchAoConfig(rounded)}
    configs |= {part: transformers.TorchAoConfig(rounded) for part in text_encoders}
    return {"quantization_config": diffusers.PipelineQuantizationConfig(quant_mapping=configs)}
