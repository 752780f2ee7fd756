"""Where and in which precision the frozen parts run, and in how many bits they are kept.

Owns the choice of device, dtype, memory layout and attention per device, and diffusers' and transformers' own configs
for torchao and bitsandbytes: these round the weights of linear layers while they are loaded, to 256 steps for each
output (int8), or to 16 for each 64 weights (nf4: Dettmers et al. 2023, arXiv 2305.14314, section 3); what is computed
with them stays in the placement's dtype, and gradients pass. Other layers, embeddings and the VAE stay as they are.
Does not know families.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from textinv.errors import BaseModelError

_DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class Placement:
    """A device and the dtype of UNet and text encoders."""

    device: torch.device
    dtype: torch.dtype

    def place(self, module: Any) -> Any:
        """Freeze a module and move it."""
        module = module.to(self.device)
        is_rounded = getattr(module, "is_quantized", False)
        if module.dtype != self.dtype and not is_rounded:  # loaders have cast, and kept in float32 what a module wants
            module = module.to(self.dtype)
        return module.eval().requires_grad_(False)

    def place_unet(self, unet: Any) -> Any:
        """Freeze the UNet and move it, with the attention and the memory layout that are fastest there.

        Measured on the demo base, forwards of 2 to 32 rows by turns: in float32 on a CPU both kinds of attention are
        equal, and with the channels last a forward takes 0.88 of its time (2 % to 9 % less with its backward); in
        bfloat16 on a CPU the fused attention is the slower one.
        """
        on_cpu = self.device.type == "cpu"
        if on_cpu and self.dtype == torch.bfloat16:
            from diffusers.models.attention_processor import AttnProcessor

            unet.set_attn_processor(AttnProcessor())
        placed = self.place(unet)
        return placed.to(memory_format=torch.channels_last) if on_cpu and self.dtype == torch.float32 else placed

    def without_half(self) -> "Placement":
        """The same device, in float32 where float16 would overflow."""
        return Placement(self.device, torch.float32) if self.dtype == torch.float16 else self

    def place_vae(self, vae: Any) -> Any:
        """Freeze the VAE and move it; in float32 where float16 would overflow."""
        overflows = self.dtype == torch.float16 and vae.config.get("force_upcast", False)
        placed = Placement(self.device, torch.float32 if overflows else self.dtype).place(vae)
        # Encodes a quarter faster on a CPU, decodes as fast.
        return placed.to(memory_format=torch.channels_last) if self.device.type == "cpu" else placed


def choose_placement(device: str, dtype: str) -> Placement:
    """Resolve `auto`: the GPU when there is one, bfloat16 (else float16) on it and float32 on a CPU.

    Raises:
        BaseModelError: no such device or dtype.
    """
    try:
        chosen = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise BaseModelError(f"the device {device!r} cannot be used: {error}; write auto, cpu or cuda") from error
    if dtype != "auto":
        if dtype not in _DTYPES:
            raise BaseModelError(f"the dtype {dtype!r} is unknown; write auto, {', '.join(_DTYPES)}")
        return Placement(chosen, _DTYPES[dtype])
    if chosen.type != "cuda":
        return Placement(chosen, torch.float32)
    return Placement(chosen, torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16)


def placement_for(weights: str, placement: Placement) -> Placement:
    """Where and in which precision parts run whose weights are kept so."""
    return Placement(placement.device, torch.bfloat16) if weights == "bfloat16" else placement


ROUNDS = {"int8": "torchao", "nf4": "bitsandbytes"}
"""What rounds, by the extra of the same name that installs it."""


def loading_options(
    name: str, weights: str, placement: Placement, network: str, text_encoders: Iterable[str]
) -> dict[str, Any]:
    """What a pipeline is told when it loads a base model whose parts are these.

    Raises:
        BaseModelError: it takes a package that is not installed, or another device.
    """
    if weights not in ROUNDS:
        return {}
    if weights == "nf4" and placement.device.type != "cuda":
        raise BaseModelError(
            f"the base model {name!r} is set to weights=nf4, which needs a GPU, but it is to run on "
            f"{placement.device}: write int8, which works on any device, or leave `weights` out"
        )
    if find_spec(ROUNDS[weights]) is None:
        raise BaseModelError(
            f"the base model {name!r} is set to weights={weights}, which needs {ROUNDS[weights]}, and that is not "
            f"installed: `pip install 'textinv[{weights}]'`, or leave `weights` out"
        )
    import diffusers

    configs = dict.fromkeys([network], _rounding("diffusers", weights, placement.dtype))
    # Language models compute in float32 where the network does in float16.
    configs |= dict.fromkeys(text_encoders, _rounding("transformers", weights, placement.without_half().dtype))
    return {"quantization_config": diffusers.PipelineQuantizationConfig(quant_mapping=configs)}


def _rounding(library: str, weights: str, dtype: torch.dtype) -> Any:
    """A library's config for it; what is computed is in this dtype."""
    of = import_module(library)
    if weights == "nf4":
        return of.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    from torchao.quantization import Int8WeightOnlyConfig

    return of.TorchAoConfig(Int8WeightOnlyConfig())
