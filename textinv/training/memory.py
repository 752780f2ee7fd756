"""What running out of memory looks like."""

import torch


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a GPU or the CPU has no memory for what was asked of it."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
