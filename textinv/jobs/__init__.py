"""Jobs: submitted manifests as records in the object store, which any process can read and any may pick up.

Between a plan and whoever trains it. Owns the records, the order in which they are written, and how the process that
trains (the driver) is found or started; knows neither Ray nor how training is spread out. Open `layout.py` first for
what lies where, `job_store.py` for reading and changing it.
"""

from textinv.jobs.job_store import JobStore
from textinv.jobs.record import Cancellation, Failure, JobRecord
from textinv.jobs.status import ConceptStatus, JobStatus

__all__ = [
    "Cancellation",
    "ConceptStatus",
    "Failure",
    "JobRecord",
    "JobStatus",
    "JobStore",
]
