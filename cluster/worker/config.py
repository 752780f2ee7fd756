"""What a worker is told: everything that it needs and does not find in the store.

Owns this message. It is pickled by Ray, so it holds plain values only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cluster.queue.messages import BaseModelRef
from textinv.settings import StoreSettings, load_settings


@dataclass(frozen=True)
class PackSettings:
    """How workers pack and how often they speak up."""

    num_slots: int | Literal["auto"] | None = None
    """Concepts in training at once; None: measured on a GPU, few on a CPU."""
    threads: int = 1
    """CPU threads of a worker."""
    device: str = "auto"
    compiled: bool = False
    """Whether packs use a compiled UNet."""
    lease_s: float = 30.0
    checkpoint_every_s: float = 20.0
    guess_turn_s: float = 600.0
    """A worker trains a guess for so long before it lets work go first that nobody has."""

    @property
    def beat_s(self) -> float:
        """Seconds between heartbeats: five may be lost before a lease is."""
        return self.lease_s / 6


@dataclass(frozen=True)
class WorkerConfig:
    """What the workers of a crew are told."""

    fleet: str
    crew: str
    base: BaseModelRef
    store: StoreSettings
    pack: PackSettings = field(default_factory=PackSettings)
    base_models: Mapping[str, str] = field(default_factory=dict)
    """Aliases that somebody stated; the worker adds those of its own installation."""
    encoders: tuple[str, ...] = ()
    """Folders of the encoders that score what was learned."""

    def store_here(self) -> StoreSettings:
        """The store, with the keys of this process's settings where none were sent along: on a cluster a message of
        Ray's is no place for them."""
        if self.store.access_key is not None:
            return self.store
        own = load_settings().settings.store
        return self.store.model_copy(update={"access_key": own.access_key, "secret_key": own.secret_key})
