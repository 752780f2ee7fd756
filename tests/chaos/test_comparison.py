"""What the other tests here compare rows with is fine enough to find a step that was lost or other noise."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.outcome import MAX_STEPS, SMALL, Unharmed, difference, learn_all, works_of
from textinv.jobs import JobRecord, JobStore
from textinv.models.base import BaseModel
from textinv.store import MemoryStore
from textinv.training import Work

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(500)]
NUM_COMPARED = 12


@pytest.mark.parametrize("change", ["a step is lost", "other noise"])
def test_rows_that_lost_a_step_or_saw_other_noise_are_told_from_rounding(
    emoji: BaseModel, make_job: Callable[..., JobRecord], unharmed: Unharmed, change: str
) -> None:
    job_store = JobStore(MemoryStore())
    works = works_of(job_store, make_job(job_store.store, NUM_COMPARED, MAX_STEPS, **SMALL))
    harmed = learn_all(emoji, [harm(work, change) for work in works], num_slots=8)
    print(f"rounding: {unharmed.rounding:.1e}")
    for name, embedding in harmed.items():
        assert difference(embedding, unharmed.learned[name]) > 5 * unharmed.tolerance, name


def harm(work: Work, change: str) -> Work:
    """The same concept with a step less, or with the noise of another seed."""
    fewer = MAX_STEPS - 1
    changes: dict[str, Any] = {
        "a step is lost": {"max_steps": fewer, "min_steps": fewer},
        "other noise": {"seed": work.spec.seed + 1000},
    }[change]
    return Work(work.spec.model_copy(update=changes), work.pictures, None, work.work_id)
