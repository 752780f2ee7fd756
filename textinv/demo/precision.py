"""In which precision the parts of the demo base are trained: bfloat16 where the machine computes in it, else float32.

A CPU without units for bfloat16 emulates it: one step of the UNet then takes over ten times as long.
"""

import torch


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster there than in float32."""
    if device.type == "cpu":
        return torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return True


def reduced_precision(device: torch.device) -> torch.autocast:
    """The context of a training's forward."""
    return torch.autocast(device.type, torch.bfloat16, enabled=computes_in_bfloat16(device))
