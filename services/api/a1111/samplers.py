"""A1111's sampler and schedule type as one of our noise schedulers.

Owns which schedule types A1111 knows. One that a noise scheduler does not have is left out and told, as A1111's other
fields without effect are; a word that A1111 does not know either is an error.
Source: A1111 and Forge, `modules/sd_schedulers.py`.
"""

from typing import NamedTuple

from textinv.errors import RequestError
from textinv.models.process import find_scheduler_kind

_LABELS = (
    "Automatic",
    "Uniform",
    "Karras",
    "Exponential",
    "Polyexponential",
    "SGM Uniform",
    "KL Optimal",
    "Align Your Steps",
    "Simple",
    "Normal",
    "DDIM",
    "Beta",
    "Turbo",
    "Align Your Steps GITS",
    "Align Your Steps 11",
    "Align Your Steps 32",
)
_KNOWN = {spelling for label in map(str.lower, _LABELS) for spelling in (label, label.replace(" ", "_"))} | {
    "sgmuniform"
}


class ChosenSampler(NamedTuple):
    """A noise scheduler by name (None: the service's), and whether it has the schedule type that was asked for."""

    noise_scheduler: str | None
    has_schedule_type: bool


def choose_sampler(sampler: str | None, schedule_type: str | None) -> ChosenSampler:
    """Choose the noise scheduler of a request.

    Raises:
        RequestError: there is no such sampler, or A1111 has no such schedule type.
    """
    if sampler is None and schedule_type is None:
        return ChosenSampler(None, True)
    try:
        return ChosenSampler(find_scheduler_kind(sampler, schedule_type).name, True)
    except RequestError as error:
        if schedule_type and schedule_type.lower() in _KNOWN:
            return ChosenSampler(choose_sampler(sampler, None).noise_scheduler, False)
        raise RequestError(error.message, param="sampler_name") from error
