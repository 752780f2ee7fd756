"""How much memory the process that draws uses, as A1111's `memory` tells it: in bytes, of the machine and of the GPU.

Source of the names: A1111 `modules/api/api.py`, `get_memory`.
"""

import psutil
import torch

from services.drawing.studio import StudioMemory

_STATISTICS = {
    "active": "active_bytes.all",
    "allocated": "allocated_bytes.all",
    "reserved": "reserved_bytes.all",
    "inactive": "inactive_split_bytes.all",
}


def read_memory(device: torch.device) -> StudioMemory:
    """Read what this process uses, and what anybody could still have."""
    machine, used = psutil.virtual_memory(), psutil.Process().memory_info().rss
    return StudioMemory(
        {"free": machine.available, "used": used, "total": machine.total},
        _of_gpu(device) if device.type == "cuda" else None,
    )


def _of_gpu(device: torch.device) -> dict[str, dict[str, int]]:
    free, total = torch.cuda.mem_get_info(device)
    known = torch.cuda.memory_stats(device)
    found = {"system": {"free": free, "used": total - free, "total": total}}
    for name, key in _STATISTICS.items():
        found[name] = {"current": known.get(f"{key}.current", 0), "peak": known.get(f"{key}.peak", 0)}
    return found | {"events": {"retries": known.get("num_alloc_retries", 0), "oom": known.get("num_ooms", 0)}}
