"""Jobs: submitted manifests as records in the object store, which any process can read and any may pick up.

Between a plan and whoever trains it; knows neither Ray nor how training is spread out.
"""

from textinv.jobs.job_store import JobStore
from textinv.jobs.record import Cancellation, Failure, JobRecord
from textinv.jobs.status import ConceptStatus, JobStatus
from textinv.jobs.submission import Submission, submit_plan

__all__ = [
    "Cancellation",
    "ConceptStatus",
    "Failure",
    "JobRecord",
    "JobStatus",
    "JobStore",
    "Submission",
    "submit_plan",
]
