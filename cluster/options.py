"""How a driver is started: what `textinv submit` may say of workers.

Owns these options and their defaults for a machine. Does not start anything.
"""

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from textinv.jobs.fleet import FleetSettings


class DriverOptions(BaseModel):
    """Options of a driver."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(default=1, ge=1)
    """Most workers that there may be at a time."""
    crew_size: int | None = Field(default=None, ge=1)
    """Workers that come and go together; None: all."""
    threads_per_worker: int | None = Field(default=None, ge=1)
    """CPU threads of a worker; None: this machine's, shared among the workers."""
    use_gpu: bool | None = None
    """Whether each worker has a GPU; None: when the cluster has any."""
    num_slots: int | Literal["auto"] | None = None
    """Concepts that a worker trains at once; None: measured on a GPU, few on a CPU."""
    lease_s: float = Field(default=30.0, gt=0)
    """A worker that is silent for so long is dead."""
    checkpoint_every_s: float = Field(default=15.0, gt=0)
    """Seconds between checkpoints of a concept."""

    @property
    def threads(self) -> int:
        """CPU threads of a worker."""
        return self.threads_per_worker or max(1, (os.cpu_count() or 1) // self.workers)

    @property
    def fleet(self) -> FleetSettings:
        """The fleet that these options ask for."""
        return FleetSettings(max_workers=self.workers, crew_size=self.crew_size or self.workers)
