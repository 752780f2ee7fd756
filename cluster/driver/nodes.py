"""The nodes of the Ray that a driver runs on: their CPUs, their GPUs, and how full the GPUs' memory is.

Owns what Ray tells of them: counts and types by its list of nodes, memory by the metrics page of each node that has a
GPU. Memory is only shown, so a page that does not answer is no failure. Numbers of GPUs are those that Ray hands out.
"""

import http.client
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import ray
from ray.exceptions import RayError

from textinv.threads import beside

EVERY_S = 5.0
_PAGE_S = 2.0
_NUM_THREADS = 16
_TYPE = "accelerator_type:"
# Ray counts them in MiB, whatever its help text says.
_MEMORY = re.compile(r"^ray_node_gram_(used|available)\{[^}]*\} ([\d.eE+-]+)$", re.MULTILINE)
_MIB = 2**20
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class NodeFacts:
    """A node. The type and memory of its GPUs are None where Ray does not know them, or there are none."""

    node: str
    """Its id, as workers name it."""
    address: str
    cpus: float
    gpus: float
    gpu_type: str | None = None
    gpu_memory_bytes: int | None = None
    """Of all its GPUs."""
    gpu_memory_used_bytes: int | None = None


class NodeWatch:
    """Looks at the nodes of the Ray that this process is connected to; at their memory beside whoever asks."""

    def __init__(
        self, rows: Callable[[], Iterable[Mapping[str, Any]]] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`rows` None: those of Ray."""
        self._rows, self._clock = rows or ray.nodes, clock
        self._looked = float("-inf")
        self._nodes: list[NodeFacts] = []
        self._ports: dict[str, int] = {}
        self._memory: dict[str, tuple[int, int]] = {}
        self._reading: threading.Thread | None = None

    def __call__(self) -> list[dict[str, Any]]:
        """The nodes, looked at anew every few seconds; memory as it was last read, without waiting for it."""
        if self._clock() - self._looked >= EVERY_S:
            self._looked = self._clock()
            self._look()
            if any(one.gpus for one in self._nodes) and not (self._reading and self._reading.is_alive()):
                self._reading = beside(self.read_memory, "textinv-nodes")
                self._reading.start()
        return [asdict(self._with_memory(one)) for one in self._nodes]

    def read_memory(self) -> None:
        """Read the metrics pages of the nodes that have GPUs."""
        nodes, ports = [one for one in self._nodes if one.gpus], self._ports
        with ThreadPoolExecutor(_NUM_THREADS) as threads:
            found = list(threads.map(lambda one: _memory_of(one, ports.get(one.node, 0)), nodes))
        self._memory = {one.node: memory for one, memory in zip(nodes, found, strict=True) if memory is not None}

    def _look(self) -> None:
        with suppress(RayError, RuntimeError, OSError):
            rows = [row for row in self._rows() if row["Alive"]]
            self._ports = {row["NodeID"]: row["MetricsExportPort"] for row in rows}
            self._nodes = sorted(map(_node, rows), key=lambda one: (one.address, one.node))

    def _with_memory(self, node: NodeFacts) -> NodeFacts:
        total, used = self._memory.get(node.node, (None, None))
        return replace(node, gpu_memory_bytes=total, gpu_memory_used_bytes=used)


def _node(row: Mapping[str, Any]) -> NodeFacts:
    resources: Mapping[str, float] = row["Resources"]
    gpus = resources.get("GPU", 0.0)
    types = sorted(name.removeprefix(_TYPE) for name in resources if name.startswith(_TYPE))
    return NodeFacts(
        node=row["NodeID"],
        address=row["NodeManagerAddress"],
        cpus=resources.get("CPU", 0.0),
        gpus=gpus,
        gpu_type=", ".join(types) if gpus and types else None,
    )


def _memory_of(node: NodeFacts, port: int) -> tuple[int, int] | None:
    """Bytes of all GPUs of a node together, and of these in use; None when its metrics page does not say."""
    try:
        with _DIRECT.open(f"http://{node.address}:{port}/metrics", timeout=_PAGE_S) as reply:
            lines = _MEMORY.findall(reply.read().decode(errors="replace"))
    except (OSError, ValueError, http.client.HTTPException):
        return None
    found = {"used": 0.0, "available": 0.0}
    for kind, value in lines:
        found[kind] += float(value)
    return (int(sum(found.values()) * _MIB), int(found["used"] * _MIB)) if lines else None
