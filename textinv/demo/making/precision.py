"""In which precision the parts of the demo base are trained: bfloat16 where the machine computes in it, else float32.

A CPU that emulates bfloat16 takes over ten times as long for a step of the UNet (measured with AVX2).
"""

import torch


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 need not be emulated there; of CPUs, those with AVX-512 are trusted with it."""
    if device.type == "cpu":
        return torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return True


def reduced_precision(device: torch.device) -> torch.autocast:
    """The context of a training's forward."""
    return torch.autocast(device.type, torch.bfloat16, enabled=computes_in_bfloat16(device))
