"""Removing what jobs left behind in the store: checkpoints and deaths of specs that are done, and previews that show
nothing there is any more.

Owns which previews are needed: those of specs that have a version, can be resumed, or are to be learned by an open job.
Runs and versions are swept by `textinv.registry.sweep`.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from textinv.jobs.job_store import JobStore
from textinv.jobs.layout import CHECKPOINTS, DEATHS, fingerprint_of
from textinv.jobs.previews import list_previews
from textinv.registry.guesses import published_works
from textinv.store.protocol import ObjectInfo, ObjectStore, server_time

if TYPE_CHECKING:
    from textinv.registry import Registry


def sweep_jobs(registry: "Registry", *, grace_s: float, dry_run: bool = False) -> list[ObjectInfo]:
    """Remove checkpoints of specs that are done, which a worker that was thought dead wrote late, deaths of such specs,
    and previews that nobody needs, the youngest of a spec older than `grace_s` by the store's own clock; what was
    removed, or would be.
    """
    store, job_store = registry.store, JobStore(registry.store)
    # What is needed is asked for in the order in which a spec goes through it, so that none slips through between.
    old = _old_previews(store, grace_s)
    wanted = set(_open_specs(job_store)) if old else set()
    resumable = {info.key.removeprefix(CHECKPOINTS): info for info in store.list(CHECKPOINTS)}
    done = registry.finished_fingerprints() | published_works(store)
    doomed = [info for fingerprint, info in resumable.items() if fingerprint in done]
    doomed += [info for info in store.list(DEATHS) if fingerprint_of(info.key) in done]
    needed = wanted | resumable.keys() | done
    doomed += [info for fingerprint, infos in old.items() if fingerprint not in needed for info in infos]
    if not dry_run:
        store.delete(info.key for info in doomed)
    return doomed


def _old_previews(store: ObjectStore, grace_s: float) -> dict[str, list[ObjectInfo]]:
    """Previews by fingerprint, of the specs that have had no new one for a while."""
    limit = server_time(store) - timedelta(seconds=grace_s)
    found: dict[str, list[ObjectInfo]] = defaultdict(list)
    for fingerprint, info in list_previews(store):
        found[fingerprint].append(info)
    return {fingerprint: infos for fingerprint, infos in found.items() if all(info.modified <= limit for info in infos)}


def _open_specs(job_store: JobStore) -> Iterator[str]:
    """Fingerprints of the specs of all jobs that have work to do."""
    for job_id in job_store.open_jobs():
        yield from (spec.fingerprint for spec in job_store.specs(job_store.load(job_id)))
