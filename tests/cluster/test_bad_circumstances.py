"""Workers with wrong clocks, before a store that misbehaves, and on machines that are taken away."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.worker.config import PackSettings
from cluster.worker.worker import learn_leased
from tests.cluster.shared_queue import LetsGo, told
from tests.cluster.whole_worker import CARD
from tests.fixtures.faulty_store import FaultyStore
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.sweep import sweep_jobs
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.registry import Registry
from textinv.settings import Settings, StoreSettings, environment_of
from textinv.store import S3Store, connect_store

pytestmark = [pytest.mark.chaos, pytest.mark.store]
MakeJob = Callable[..., JobRecord]
ROOT = Path(__file__).resolve().parents[2]
PACK = PackSettings(num_slots=2, lease_s=30.0, checkpoint_every_s=0.0)


def run_worker(settings: StoreSettings, job_id: str, num_looks: int, changes: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.whole_worker", job_id, str(num_looks)],
        cwd=ROOT,
        env=os.environ | environment_of(Settings(store=settings)) | {"OMP_NUM_THREADS": "1"} | changes,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def test_workers_whose_clocks_are_hours_off_lease_checkpoint_and_publish_as_others_do(
    wrong_clock: Callable[[float], dict[str, str]], s3_settings: StoreSettings, s3_store: S3Store, make_job: MakeJob
) -> None:
    record, registry = make_job(s3_store, 2, max_steps=12), Registry(s3_store)
    early = run_worker(s3_settings, record.id, 9, wrong_clock(-7))
    assert early["counts"]["waiting"] == 2
    assert len(JobStore(s3_store).checkpoints()) == 2
    late = run_worker(s3_settings, record.id, 0, wrong_clock(31))
    assert early["year_to_minute"] < late["year_to_minute"]
    assert (late["counts"]["done"], late["expiries"], late["repeated_passes"]) == (2, 0, 0)
    assert registry.gc().removed_keys == []
    assert list(registry.verify()) == []
    for number in range(2):
        found = registry.resolve(ConceptRef(f"concept-{number}"))
        assert (found.version, found.record["steps"], found.record["sample_passes"]) == (1, 12, 24)
    assert JobStore(s3_store).checkpoints() == set()


@pytest.mark.parametrize("faults", [{"swallow_every": 3}, {"delay_s": 0.15}], ids=["replies lost", "slow"])
def test_a_worker_before_a_store_that_misbehaves_publishes_everything_once(
    faulty_store: FaultyStore, s3_store: S3Store, model: BaseModel, make_job: MakeJob, faults: dict[str, float]
) -> None:
    queue = work_through(faulty_store, s3_store, model, make_job, lambda: vars(faulty_store).update(faults))
    assert queue.view().expiries == 0
    check_three_concepts(s3_store)


@pytest.mark.parametrize("status", [500, 503])
def test_a_worker_outlasts_a_store_that_refuses_everything_for_seconds(
    faulty_store: FaultyStore, s3_store: S3Store, model: BaseModel, make_job: MakeJob, status: int
) -> None:
    work_through(faulty_store, s3_store, model, make_job, lambda: refuse_in_mid_job(faulty_store, status))
    assert faulty_store.num_faults > 4
    check_three_concepts(s3_store)


def test_credentials_that_expire_in_mid_job_fail_no_concept(
    faulty_store: FaultyStore, s3_store: S3Store, model: BaseModel, make_job: MakeJob
) -> None:
    queue = work_through(faulty_store, s3_store, model, make_job, lambda: refuse_in_mid_job(faulty_store, 403))
    assert faulty_store.num_faults > 2
    assert [event for event in queue.view().events if event.kind == "failed"] == []
    check_three_concepts(s3_store)


def refuse_in_mid_job(faulty_store: FaultyStore, status: int) -> None:
    """Let everything be refused for seconds, from a quarter of what is written on, however fast the machine is."""
    begun = faulty_store.num_puts

    def refuse() -> None:
        while faulty_store.num_puts < begun + 10:
            time.sleep(0.01)
        faulty_store.refuse_with, faulty_store.refuse_until = status, time.monotonic() + 8.0

    threading.Thread(target=refuse, daemon=True).start()


def work_through(
    faulty_store: FaultyStore, store: S3Store, model: BaseModel, make_job: MakeJob, begin: Callable[[], object]
) -> LetsGo:
    """Learn a job of three concepts through the proxy."""
    record = make_job(store, 3, max_steps=10)
    registry = Registry(connect_store(faulty_store.settings))
    queue = told(registry, record, LetsGo())
    begin()
    learn_leased(lambda: model, queue, registry, CARD, PACK)
    assert queue.view().jobs[0].counts["done"] == 3
    return queue


def check_three_concepts(store: S3Store) -> None:
    registry = Registry(store)
    assert {summary.name: summary.version for summary in registry.list()} == {f"concept-{n}": 1 for n in range(3)}
    assert len(registry.finished_fingerprints()) == 3
    assert list(registry.verify()) == []
    registry.gc(grace_s=0)
    assert len({info.key.split("/")[1] for info in store.list("runs/")}) == 3
    sweep_jobs(registry, grace_s=0)
    assert JobStore(store).checkpoints() == set()


def test_after_a_notice_a_worker_has_saved_and_handed_back_within_five_seconds(
    s3_settings: StoreSettings, s3_store: S3Store, make_job: MakeJob
) -> None:
    record = make_job(s3_store, 2, max_steps=200)
    facts = run_worker(s3_settings, record.id, 6, {})
    assert facts["hand_back_s"] < 5.0
    print(f"handed back {facts['hand_back_s']:.2f} s after the notice")
    assert facts["counts"]["waiting"] == 2
    assert len(JobStore(s3_store).checkpoints()) == 2
