"""Everything that routes about jobs and training pictures work with, in one object: `Learning`.

Owns the bundle: the job store, the fleet and the way to a cluster's jobs, facts of pictures, and the readers of running
jobs. Knows no HTTP; making sure that a driver runs is the matter of `textinv.jobs.fleet_driver`.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from services.config import ServiceConfig
from services.drawing.studio import StudioFacts
from services.teaching.job_list import JobList
from services.teaching.job_watch import JobWatch, JobWatches
from textinv.errors import RequestError
from textinv.jobs import JobRecord, JobStore, fleet_driver
from textinv.jobs.fleet import StoredFleet
from textinv.plan.guesses import Guesses
from textinv.plan.picture_facts import FactsCache
from textinv.plan.resolve import BaseFacts
from textinv.plan.shelf import Shelf, bucket_opener
from textinv.registry import Registry
from textinv.registry.guesses import guess_key, put_guess, read_guess
from textinv.settings import Settings
from textinv.spec import TrainSpec
from textinv.store.protocol import ObjectStore

_MAX_KNOWN_PICTURES = 100_000
_KNOWN_SHEETS = 64


class Learning:
    """What one front knows of learning."""

    def __init__(self, config: ServiceConfig, store: ObjectStore, fleet: fleet_driver.Fleet | None = None) -> None:
        self.config = config
        self.store = store
        self.job_store = JobStore(store)
        self.jobs = JobList(self.job_store)
        self.watches = JobWatches(self.job_store)
        self._fleet = fleet
        self._facts = FactsCache(None)
        self._sheet = lru_cache(_KNOWN_SHEETS)(
            lambda job_id, number, generation: self.job_store.spec_sheet(job_id, number)
        )

    @cached_property
    def settings(self) -> Settings:
        """Settings of this process."""
        return self.config.settings()

    @cached_property
    def fleet(self) -> fleet_driver.Fleet:
        """Whoever learns."""
        return self._fleet or fleet_for(self.settings, self.config.driver_options)

    @property
    def stored_fleet(self) -> StoredFleet:
        """The fleet's settings and status."""
        return StoredFleet(self.store, self.fleet.name)

    @property
    def facts(self) -> FactsCache:
        """What is known of pictures; begun anew before it grows without end."""
        if len(self._facts) > _MAX_KNOWN_PICTURES:
            self._facts = FactsCache(None)
        return self._facts

    def watch(self, record: JobRecord) -> JobWatch:
        """What readers of a job share; while it is followed, its driver is kept alive if it is this fleet's."""
        return self.watches.of(record, lambda: record.fleet == self.fleet.name and self.fleet.ensure())

    def shelf(self) -> Shelf:
        """Where manifests find their pictures: uploads, and what the operator allows; no files."""
        return Shelf(
            None,
            uploads=lambda: self.store,
            bucket=bucket_opener(self.settings),
            allowed_prefixes=self.config.picture_prefixes,
        )

    def sheet(self, record: JobRecord, number: int) -> Sequence[TrainSpec]:
        """One sheet of a job's specs, remembered."""
        return self._sheet(record.id, number, record.submitted)

    def base(self, name: str, studio: StudioFacts | None) -> BaseFacts:
        """What planning needs to know of a base model that may be learned on here.

        Raises:
            RequestError: it may not.
            BaseModelError: it cannot be read.
        """
        if studio is not None and name in (self.config.base_model, studio.base_model):
            from textinv.models import facts_of_family, guess_file_of

            return BaseFacts(
                studio.base_revision,
                studio.native_px,
                studio.has_clip,
                studio.encoder_widths,
                studio.takes_sizes,
                studio.learns_shapes,
                studio.recipe,
                guess_file=guess_file_of(self.config.base_model, aliases=self.settings.base_models),
                **facts_of_family(studio.family),
            )
        allowed = {self.config.base_model, *self.settings.stated_base_models}
        if name not in allowed:
            raise RequestError(
                f"base_model: this service does not learn on {name[:80]!r}; use one of {', '.join(sorted(allowed))}",
                param="base_model",
            )
        return self._read_base(name)

    def guesses(self, base: BaseFacts) -> Guesses:
        """Where the guess of the service's base model is found."""
        return Guesses(self.config.base_model, base, Registry(self.store))

    def guess(self, base: BaseFacts) -> str:
        """The digest of the guess that rows are predicted with, which lies in the store from then on.

        Raises:
            RequestError: there is none.
        """
        guesses = self.guesses(base)
        found = guesses.found
        if found is None:
            raise RequestError(guesses.missing)
        if found.source is not None and not self.store.exists(guess_key(found.digest)):
            put_guess(self.store, read_guess(found.source.read(), found.source.name))
        return found.digest

    def _read_base(self, name: str) -> BaseFacts:
        from textinv.models import look_up

        return BaseFacts(**look_up(name, aliases=self.settings.base_models)._asdict())


def fleet_for(settings: Settings, options: Mapping[str, Any]) -> fleet_driver.Fleet:
    """The fleet that learns what is submitted over HTTP, with its driver's options."""
    return fleet_driver.fleet_for(settings, json.dumps(dict(options)), _job_client)


def _job_client(address: str) -> Any:
    from ray.job_submission import JobSubmissionClient

    return JobSubmissionClient(address)
