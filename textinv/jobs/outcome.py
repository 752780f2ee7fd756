"""Why a spec was given up, with the evidence, and the evidence against one that was not.

Owns the JSON of failures and deaths. What went well is in the registry.
"""

from typing import Any

from pydantic import Field

from textinv.jobs.record import Stored


class Failure(Stored):
    """A spec that was given up; submitting or resuming its job tries it again."""

    fingerprint: str
    name: str
    code: str
    message: str
    evidence: tuple[dict[str, Any], ...] = ()
    """Workers that died while they had it, with what was known of each."""
    record: dict[str, Any] = Field(default_factory=dict)
    """What training knew of it."""


class Deaths(Stored):
    """Workers that died while they had a spec, with what was known of each."""

    evidence: tuple[dict[str, Any], ...]
