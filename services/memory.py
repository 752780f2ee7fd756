"""How much memory the process that draws uses, as A1111's `memory` tells it: in bytes, of the machine and of the GPU.

Source of the names: A1111 `modules/api/api.py`, `get_memory`.
"""

import os
from pathlib import Path

import torch

from services.studio import StudioMemory

_STATISTICS = {
    "active": "active_bytes.all",
    "allocated": "allocated_bytes.all",
    "reserved": "reserved_bytes.all",
    "inactive": "inactive_split_bytes.all",
}


def read_memory(device: torch.device) -> StudioMemory:
    """Read what this process uses, and what anybody could still have."""
    of_machine = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free, total = (1024 * int(of_machine[name].split()[0]) for name in ("MemAvailable", "MemTotal"))
    used = os.sysconf("SC_PAGE_SIZE") * int(Path("/proc/self/statm").read_text().split()[1])  # resident pages
    return StudioMemory(
        {"free": free, "used": used, "total": total}, _of_gpu(device) if device.type == "cuda" else None
    )


def _of_gpu(device: torch.device) -> dict[str, dict[str, int]]:
    free, total = torch.cuda.mem_get_info(device)
    known = torch.cuda.memory_stats(device)
    found = {"system": {"free": free, "used": total - free, "total": total}}
    for name, key in _STATISTICS.items():
        found[name] = {"current": known.get(f"{key}.current", 0), "peak": known.get(f"{key}.peak", 0)}
    return found | {"events": {"retries": known.get("num_alloc_retries", 0), "oom": known.get("num_ooms", 0)}}
