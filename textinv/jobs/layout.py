"""Where the objects of jobs lie.

    images/<sha256>                      training pictures and masks
    jobs/<job-id>/job.json               what was submitted
    jobs/<job-id>/specs/<00000>.gz       its specs, a sheet of them in each object, one JSON line per spec
    jobs/<job-id>/status.json            how far it is, as its driver last saw it; derived
    jobs/<job-id>/log.txt                what happened in it, its last lines; derived
    jobs/<job-id>/cancelled.json         what of it is not wanted any more
    jobs-open/<job-id>                   there as long as the job has work to do; changes when the job does
    checkpoints/<fingerprint>            resumable state of an unfinished concept
    failures/<fingerprint>.json          why a spec was given up
    deaths/<fingerprint>.json            workers that died while they had it, as long as it is not done
    previews/<fingerprint>/<000050>.jpg  how a concept was drawn after so many steps; derived

Whether a spec is done is said by the registry alone. Owns the names only.
"""

SPECS_PER_SHEET = 256
JOBS = "jobs/"
OPEN_JOBS = "jobs-open/"
FAILURES = "failures/"
CHECKPOINTS = "checkpoints/"
DEATHS = "deaths/"


def job_key(job_id: str) -> str:
    """Key of a job's record."""
    return f"{JOBS}{job_id}/job.json"


def spec_sheet_key(job_id: str, sheet: int) -> str:
    """Key of a sheet of a job's specs."""
    return f"{JOBS}{job_id}/specs/{sheet:05d}.gz"


def status_key(job_id: str) -> str:
    """Key of a job's status."""
    return f"{JOBS}{job_id}/status.json"


def log_key(job_id: str) -> str:
    """Key of a job's log."""
    return f"{JOBS}{job_id}/log.txt"


def cancellation_key(job_id: str) -> str:
    """Key of what was cancelled of a job."""
    return f"{JOBS}{job_id}/cancelled.json"


def open_key(job_id: str) -> str:
    """Key of the mark of a job that has work to do."""
    return f"{OPEN_JOBS}{job_id}"


def checkpoint_key(fingerprint: str) -> str:
    """Key of a concept's checkpoint."""
    return f"{CHECKPOINTS}{fingerprint}"


def failure_key(fingerprint: str) -> str:
    """Key of the reason for which a spec was given up."""
    return f"{FAILURES}{fingerprint}.json"


def deaths_key(fingerprint: str) -> str:
    """Key of the deaths that a spec may be guilty of."""
    return f"{DEATHS}{fingerprint}.json"
