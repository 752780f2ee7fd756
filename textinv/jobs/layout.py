"""Where the objects of jobs lie.

    images/<sha256>                      training pictures and masks
    jobs/<job-id>/job.json               what was submitted
    jobs/<job-id>/specs/<00000>.gz       its specs, a sheet of them in each object, one JSON line per spec
    jobs/<job-id>/guess.json             in the place of specs: the guess that it trains, and what from
    jobs/<job-id>/status.json            how far it is, as its driver last saw it; derived
    jobs/<job-id>/log.txt                what happened in it, its last lines; derived
    jobs/<job-id>/cancelled.json         what of it is not wanted any more
    jobs/<job-id>/purged.json            there when its pictures were deleted on purpose
    jobs-open/<job-id>                   there as long as the job has work to do; changes when the job does
    checkpoints/<fingerprint>            resumable state of an unfinished concept or guess
    failures/<job-id>/<fingerprint>.json  why a spec of the job was given up
    deaths/<job-id>/<fingerprint>.json   workers that died while they had it, as long as it is not done
    previews/<fingerprint>/<000050>.jpg  how a concept was drawn after so many steps; derived

Whether a spec is done is said by the registry alone, whether a guess is by the published ones. Owns the names only.
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


def order_key(job_id: str) -> str:
    """Key of the guess that a job trains."""
    return f"{JOBS}{job_id}/guess.json"


def status_key(job_id: str) -> str:
    """Key of a job's status."""
    return f"{JOBS}{job_id}/status.json"


def log_key(job_id: str) -> str:
    """Key of a job's log."""
    return f"{JOBS}{job_id}/log.txt"


def cancellation_key(job_id: str) -> str:
    """Key of what was cancelled of a job."""
    return f"{JOBS}{job_id}/cancelled.json"


def purged_key(job_id: str) -> str:
    """Key of the mark of a job whose pictures were deleted on purpose."""
    return f"{JOBS}{job_id}/purged.json"


def open_key(job_id: str) -> str:
    """Key of the mark of a job that has work to do."""
    return f"{OPEN_JOBS}{job_id}"


def checkpoint_key(fingerprint: str) -> str:
    """Key of a concept's checkpoint."""
    return f"{CHECKPOINTS}{fingerprint}"


def failures_prefix(job_id: str) -> str:
    """Prefix of the failures of a job."""
    return f"{FAILURES}{job_id}/"


def deaths_prefix(job_id: str) -> str:
    """Prefix of the deaths that specs of a job may be guilty of."""
    return f"{DEATHS}{job_id}/"


def failure_key(job_id: str, fingerprint: str) -> str:
    """Key of the reason for which a spec of a job was given up."""
    return f"{failures_prefix(job_id)}{fingerprint}.json"


def deaths_key(job_id: str, fingerprint: str) -> str:
    """Key of the deaths that a spec of a job may be guilty of."""
    return f"{deaths_prefix(job_id)}{fingerprint}.json"


def fingerprint_of(key: str) -> str:
    """The fingerprint that a key of failures or deaths ends with."""
    return key.rpartition("/")[2].removesuffix(".json")
