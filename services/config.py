"""What an operator chooses for a service, in one typed object: `ServiceConfig`.

Owns the fields and their defaults; `services/deploy/serve.yaml` gives them as `args`. Host and port are Serve's own
settings and not the application's.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from textinv.settings import Settings, StoreSettings, load_settings

MIB = 2**20
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")


class ServiceConfig(BaseModel):
    """One service: one base model, one store, any number of replicas."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    base_model: str = "emoji"
    """The base model that draws: an alias of the settings, a hub id, a folder or a file."""
    store: StoreSettings | None = None
    """Where concepts lie; none: what the settings of the replica's environment say (`TEXTINV_STORE_...`)."""
    home: Path | None = None
    """Folder for local state; none: as the settings say."""
    device: str = "auto"
    """Device of the studio: auto, cpu, cuda."""
    dtype: str = "auto"
    """Number format of the base model: auto, float32, float16, bfloat16."""
    max_batch: Literal["auto"] | int = Field(default="auto", union_mode="left_to_right")
    """Pictures per inference step; auto measures where throughput stops growing, at start-up for the native size and
    `warm_sizes`. For any other size the limit is scaled by area from the measured size that is nearest in area."""
    warm_sizes: tuple[str, ...] = ()
    """Sizes beside the native one that are measured at start-up, as `WIDTHxHEIGHT`: those that are asked for most. Each
    takes up to about 4 s more, on slow machines longer."""
    max_waiting: int = Field(default=256, ge=1)
    """Pictures that may wait per replica before callers are sent away with 429; at least `max_num_images`."""
    max_wait_s: float | None = Field(default=None, gt=0)
    """Seconds that a picture may wait for its place, by the replica's estimate, before callers are sent away with 429;
    unlike `max_waiting` it follows the machine's speed and what is asked for. None: no bound but `max_waiting`."""
    cache_mib: int = Field(default=512, ge=1)
    """Memory for embeddings per replica, in MiB."""
    min_replicas: int = Field(default=1, ge=0)
    """Studio replicas that are always there; 0 frees the GPU when nobody asks."""
    max_replicas: int = Field(default=1, ge=1)
    """Studio replicas at most."""
    idle_s: float = Field(default=120.0, ge=0)
    """Seconds without need for a studio replica after which it is taken away."""
    target_ongoing: float = Field(default=16.0, gt=0)
    """Requests per studio replica beyond which another one is started."""
    num_cpus: float = Field(default=1.0, ge=0)
    """CPUs that Ray sets aside for each studio replica."""
    num_gpus: float = Field(default=0.0, ge=0)
    """GPUs that Ray sets aside for each studio replica."""
    gpus: str | None = Field(default=None, pattern=r"^(\d+(,\d+)*)?$")
    """GPUs that a service of this machine may use, as CUDA numbers them: `0` or `0,1`; None: all. Learning on the same
    machine has a Ray of its own that knows nothing of this one: give it the others (`driver_options: {gpus: "1"}`)."""
    num_fronts: int = Field(default=1, ge=1)
    """Front replicas; each answers several hundred small requests a second. What keys may use, progress and interrupts
    hold across all of them."""
    bases: Literal["exact", "kin"] | None = None
    """Whether concepts that were learned on another base model of the same family are drawn where a request does not
    say (`kin`) or refused (`exact`). None: only imported ones are drawn, whose base nobody knows."""
    safety_checker: bool = True
    """Whether pictures pass the base model's own safety checker, where it has one; what it flags comes out black."""
    drain_s: float = Field(default=120.0, ge=0)
    """Seconds that a replica which is to go may take to finish what it has accepted."""
    keys: bool = True
    """Whether callers need an API key; `textinv serve up` turns it off on loopback."""
    resize: bool = False
    """Whether a size that the base model cannot draw is drawn at a native size and resized, instead of refused."""
    url_expires_s: int = Field(default=3600, ge=60, le=7 * 86_400)
    """Seconds that a URL of a picture works (`response_format: url`); an answer that is given again for its
    `Idempotency-Key` has new ones. Such pictures are stored for a day more."""
    max_body_bytes: int = Field(default=32 * MIB, ge=1024)
    """Bytes of a request's body; more is refused with 413 before it is read."""
    max_upload_px: int = Field(default=16_777_216, ge=4096)
    """Pixels of an uploaded picture."""
    max_num_images: int = Field(default=10, ge=1, le=64)
    """Pictures per request."""
    ray_address: str | None = None
    """Jobs address of the Ray cluster whose fleet learns; none: as the settings say, else a fleet of this machine."""
    driver_options: Mapping[str, int | float | str | bool] = Field(default_factory=dict)
    """Options of the fleet's driver when it is started here, as `workers` and `threads_per_worker`."""
    picture_prefixes: tuple[str, ...] = ()
    """`s3://bucket/prefix/` of pictures that submitted manifests may name; none by default."""
    preview_every: int = Field(default=50, ge=0, le=100_000)
    """Steps between preview pictures of submitted concepts that do not say it; 0: none."""
    ray_dashboard_url: str | None = None
    """Where operators find Ray's dashboard; none: at `ray_address`, if there is one."""
    grafana_url: str | None = None
    """Where operators find Grafana."""
    cors_origins: tuple[str, ...] = ()
    """Web pages that may call the service from a browser, as `https://page.example`; none by default."""
    hosts: tuple[str, ...] = ()
    """Names by which the service is asked for, as `draw.example`; none: with keys any, without keys only addresses and
    `localhost`, lest a page elsewhere lets its own name mean this machine."""
    log_prompts: bool = False
    """Whether prompts are written to the log, beside what it says of every request."""

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas is {self.max_replicas}, fewer than min_replicas ({self.min_replicas})")
        if self.max_waiting < self.max_num_images:
            raise ValueError(
                f"max_waiting is {self.max_waiting}, fewer than max_num_images ({self.max_num_images}): a request "
                "for so many pictures could never be taken; raise the one or lower the other"
            )
        return self

    @field_validator("warm_sizes")
    @classmethod
    def _sizes_are_read(cls, sizes: tuple[str, ...]) -> tuple[str, ...]:
        for size in sizes:
            if not _SIZE.fullmatch(size):
                raise ValueError(f"{size!r} is not of the form WIDTHxHEIGHT in pixels, as 512x768")
        return sizes

    @field_validator("picture_prefixes")
    @classmethod
    def _prefixes_end(cls, prefixes: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in prefixes:
            if not (prefix.startswith("s3://") and prefix.endswith("/")):
                raise ValueError(f"{prefix!r} is not of the form s3://bucket/prefix/, with a slash at its end")
        return prefixes

    def settings(self) -> Settings:
        """Settings of this process, with what this config says about the store, the cluster and the home folder."""
        settings = load_settings({"home": self.home, "ray_address": self.ray_address}).settings
        return settings if self.store is None else settings.model_copy(update={"store": self.store})
