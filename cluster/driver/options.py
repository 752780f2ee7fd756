"""How a driver is started: what `textinv submit` may say of workers.

Owns these options and their defaults for a machine. Does not start anything.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from textinv.jobs.fleet import FleetSettings

Nodes = Sequence[Mapping[str, Any]]
"""Rows as `ray.nodes` gives them."""


class DriverOptions(BaseModel):
    """Options of a driver."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(default=1, ge=1)
    """Most workers that there may be at a time, those of all base models together."""
    crew_size: int | None = Field(default=None, ge=1)
    """Workers that come and go together; None: the GPUs of the node that has most of them, without GPUs as many as have
    room on one node, and one where no node is there yet."""
    threads_per_worker: int | None = Field(default=None, ge=1)
    """CPU threads of a worker; None: its share of the CPUs of the nodes that there are."""
    use_gpu: bool | None = None
    """Whether each worker has a GPU; None: when the cluster has any."""
    num_slots: int | Literal["auto"] | None = None
    """Concepts that a worker trains at once; None: measured on a GPU, few on a CPU."""
    compiled: bool = False
    """Whether workers compile the UNet for their packs, which takes minutes before the first step."""
    lease_s: float = Field(default=30.0, gt=0)
    """A worker that is silent for so long is dead."""
    checkpoint_every_s: float = Field(default=15.0, gt=0)
    """Seconds between checkpoints of a concept."""

    gpus: str | None = Field(default=None, pattern=r"^(\d+(,\d+)*)?$")
    """GPUs of this machine that learning may use, as CUDA numbers them: `1` or `1,2`; None: all. A service on the same
    machine has a Ray of its own, which knows nothing of this one. On a cluster Ray hands them out."""

    def threads_on(self, nodes: Nodes) -> int:
        """CPU threads of a worker: what was asked for, else its share of a node, of the nodes that there are."""
        living = [node["Resources"] for node in nodes if node["Alive"]]
        with_gpu = [has for has in living if has.get("GPU", 0) >= 1 and has.get("CPU", 0) >= 1]
        cpus = [int(has["CPU"]) for has in living if has.get("CPU", 0) >= 1]
        if self.threads_per_worker is not None:
            return self.threads_per_worker
        if with_gpu and self.use_gpu is not False:
            return max(1, min(int(has["CPU"] // min(has["GPU"], self.workers)) for has in with_gpu))
        return max(1, min(max(cpus), sum(cpus) // self.workers)) if cpus else 1

    @property
    def threads_here(self) -> int:
        """CPU threads of a worker, of this machine's."""
        return self.threads_per_worker or max(1, (os.cpu_count() or 1) // self.workers)

    def fleet(self, nodes: Nodes) -> FleetSettings:
        """The fleet that these options ask for on these nodes."""
        crew_size = self.crew_size or min(self.workers, self._on_one_node(nodes))
        return FleetSettings(max_workers=self.workers, crew_size=crew_size)

    def _on_one_node(self, nodes: Nodes) -> int:
        """How many workers have room on the largest living node, one at least."""
        living = [node["Resources"] for node in nodes if node["Alive"]]
        gpus = 0 if self.use_gpu is False else max((int(has.get("GPU", 0)) for has in living), default=0)
        cpus = 0 if self.use_gpu else max((int(has.get("CPU", 0)) for has in living), default=0)
        return max(1, gpus or cpus // self.threads_on(nodes))
