"""How this service reaches the fleet that learns what is submitted over HTTP.

Owns the way to a cluster's jobs, through Ray's jobs API, and how a driver's options are told. Making sure that a driver
runs is the matter of `textinv.jobs.fleet_driver`.
"""

import json
from collections.abc import Mapping
from typing import Any

from textinv.jobs import fleet_driver
from textinv.settings import Settings


def fleet_for(settings: Settings, options: Mapping[str, Any]) -> fleet_driver.Fleet:
    """The fleet that settings mean, with its driver's options."""
    return fleet_driver.fleet_for(settings, json.dumps(dict(options)), job_client)


def job_client(address: str) -> Any:
    """The client of a cluster's jobs."""
    from ray.job_submission import JobSubmissionClient

    return JobSubmissionClient(address)
