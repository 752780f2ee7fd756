"""`textinv job` and `textinv fleet`, on a real store and without Ray."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from cluster.commands import register
from cluster.commands.follow import end_with
from cluster.driver.driver import Driver
from cluster.driver.reports import Reports
from cluster.queue.messages import StepReport, WorkerCard
from cluster.queue.queue import MAX_DEATHS, WorkQueue
from tests.cluster.shared_queue import told
from textinv.errors import ClusterError, InputError, UnknownConceptError
from textinv.jobs import ConceptStatus, Failure, JobRecord, JobStatus, JobStore
from textinv.jobs.fleet import FleetSettings, status_key
from textinv.jobs.home_driver import HomeDriver
from textinv.registry import Registry
from textinv.settings import Settings, StoreSettings, environment_of
from textinv.store import S3Store, connect_store

pytestmark = pytest.mark.store
MakeJob = Callable[..., JobRecord]
QUICKSTART = Path(__file__).resolve().parents[2] / "manifests" / "quickstart.yaml"


@pytest.fixture
def textinv(tmp_path: Path, s3_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command and gives what it prints, as JSON unless told otherwise; errors of ours are raised."""
    for name, value in environment_of(Settings(home=tmp_path / "home", store=s3_settings)).items():
        monkeypatch.setenv(name, value)
    app = typer.Typer()
    register(app)

    def run(*arguments: str, as_json: bool = True) -> Any:
        result: Result = CliRunner().invoke(app, [*arguments, *(["--json"] if as_json else [])])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout) if as_json else result.stdout

    return run


def test_jobs_are_listed_and_shown_with_what_became_of_each_concept(
    textinv: Callable[..., Any], s3_store: S3Store, make_job: MakeJob
) -> None:
    record, job_store = make_job(s3_store), JobStore(s3_store)
    spec = job_store.spec_sheet(record.id, 0)[1]
    job_store.write_failure(
        record.id,
        Failure(fingerprint=spec.fingerprint, name=spec.name, code="diverged", message="the loss became infinite"),
    )
    assert [(row["job"], row["state"], row["concepts"]) for row in textinv("job", "ls")] == [(record.id, "waiting", 3)]
    shown = textinv("job", "show", record.id)
    assert [concept["state"] for concept in shown["concepts"]] == ["waiting", "failed", "waiting"]
    assert shown["concepts"][1]["problem"] == "diverged: the loss became infinite"
    with pytest.raises(UnknownConceptError, match="no job 'nothing'"):
        textinv("job", "show", "nothing")


def test_a_poisoned_concept_is_shown_with_every_death_that_it_is_blamed_for(
    textinv: Callable[..., Any], s3_store: S3Store, make_job: MakeJob
) -> None:
    record, queue = make_job(s3_store), WorkQueue()
    told(Registry(s3_store), record, queue)
    for number in range(MAX_DEATHS):
        worker = WorkerCard(f"crew/{number}", "crew", 0, node=f"node-{number}", pid=10 + number)
        lease = queue.take(worker, 0).lease
        assert lease is not None
        queue.report(worker.id, lease.fingerprint, StepReport(20 + number, 100, 0.5, 40, 1.0, "training"))
        queue.leave(worker.id, "SIGSEGV")
    for event in queue.view().events:
        Reports(JobStore(s3_store)).note(event)
    shown = textinv("job", "show", record.id)["concepts"]
    assert [(one["node"], one["step"], one["worker"], one["reason"]) for one in shown[0]["evidence"]] == [
        (f"node-{number}", 20 + number, f"crew/{number}", "SIGSEGV") for number in range(MAX_DEATHS)
    ]
    assert shown[1]["evidence"] == []
    text = textinv("job", "show", record.id, as_json=False)
    for number in range(MAX_DEATHS):
        assert re.search(rf"concept-0 +crew/{number} +node-{number} +{10 + number} +{20 + number} +SIGSEGV", text)


def test_a_job_is_cancelled_in_part_and_purged_when_it_is_over(
    textinv: Callable[..., Any], s3_store: S3Store, make_job: MakeJob
) -> None:
    record, job_store = make_job(s3_store), JobStore(s3_store)
    assert textinv("job", "cancel", record.id, "--concept", "concept-1")["cancelled"] == ["concept-1"]
    again = textinv("job", "cancel", record.id, "--concept", "concept-1", as_json=False)
    assert again == "concept concept-1 is cancelled already: there is nothing to cancel\n"
    cancellation = job_store.cancellation(record.id)
    assert cancellation is not None
    assert cancellation.names == ("concept-1",)
    job_store.close(job_store.load(record.id))
    assert textinv("job", "purge", record.id, "--yes")["deleted"] == 9
    assert textinv("job", "logs", record.id) == {"lines": []}


def test_a_job_is_told_as_a_file(
    textinv: Callable[..., Any], s3_store: S3Store, make_job: MakeJob, tmp_path: Path
) -> None:
    record = make_job(s3_store)
    told = textinv(
        "job", "report", record.id, "-o", str(tmp_path / "story.html"), "--tensorboard", str(tmp_path / "tb")
    )
    assert told["concepts"] == 3
    assert told["curves"] == 0
    assert "Not learned yet." in (tmp_path / "story.html").read_text()


def test_a_fleet_is_scaled_and_drained_by_what_is_written_in_the_store(
    textinv: Callable[..., Any], s3_store: S3Store
) -> None:
    assert textinv("fleet", "scale", "--max", "8", "--crew-size", "4")["max_workers"] == 8
    assert textinv("fleet", "drain")["changed"] is True
    again = textinv("fleet", "drain")
    assert (again["draining"], again["changed"], "nothing to drain" in again["note"]) == (True, False, True)
    fleet = textinv("fleet", "status")
    assert fleet["driver"]["running"] is False

    def no_crews(*_: Any) -> Any:
        raise AssertionError("a drained fleet starts no crews")

    name = next(info.key.split("/")[1] for info in s3_store.list("fleets/"))
    driver = Driver(Registry(s3_store), name, lambda base: WorkQueue(), no_crews, settings=FleetSettings())
    driver.round()
    assert textinv("fleet", "status")["settings"] == {
        "min_workers": 0,
        "max_workers": 8,
        "crew_size": 4,
        "draining": True,
    }
    assert textinv("fleet", "scale")["draining"] is False
    with pytest.raises(InputError, match=r"min is 9, more than max \(8\)"):
        textinv("fleet", "scale", "--min", "9")
    assert textinv("fleet", "stop") == {"stopped": False}


def test_who_waits_for_a_job_that_has_ended_hears_how_at_once(
    textinv: Callable[..., Any], s3_store: S3Store, make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    record, job_store = make_job(s3_store), JobStore(s3_store)
    told = {"job_id": record.id, "name": record.name, "generation": record.generation}
    job_store.write_status(JobStatus(**told, state="done", done=3))
    assert textinv("job", "wait", record.id)["status"]["done"] == 3
    failed = ConceptStatus(name="concept-0", fingerprint="fp", state="failed", problem="the loss became infinite")
    job_store.write_status(
        JobStatus(**told, state="failed", done=2, failed=1, concepts=(failed,), problem="no worker starts")
    )
    status = job_store.status(record.id)
    assert status is not None
    with pytest.raises(typer.Exit):
        end_with(status, json=False)
    assert capsys.readouterr().out.splitlines() == [
        f"job {record.id}: failed (2 done, 1 failed)",
        "concept-0: the loss became infinite",
        "no worker starts",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--slots", "many"], "--slots 'many' is neither a positive number nor auto"),
        (["--gpus", "first"], "--gpus 'first' is not a list of GPU numbers: write 0, or 0,1"),
        (["--compile"], "would compile every number that is tried: add --slots N"),
        (["--gate", "maybe"], "--gate 'maybe' is neither on, warn nor off"),
    ],
)
def test_an_option_of_submit_that_cannot_be_is_told(textinv: Callable[..., Any], options: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        textinv("submit", str(QUICKSTART), *options)


def test_a_living_driver_is_shown_with_its_nodes_and_workers_and_can_be_ended(
    textinv: Callable[..., Any], s3_settings: StoreSettings, tmp_path: Path
) -> None:
    driver = HomeDriver(tmp_path / "home")
    lock = driver.lock()
    assert lock is not None
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        driver.write_state(pid=process.pid)
        assert textinv("fleet", "status")["driver"]["pid"] == process.pid
        textinv("fleet", "scale", "--max", "2")
        store = connect_store(s3_settings)
        node = {"node": "n1", "address": "10.0.0.7", "cpus": 8, "gpus": 0}
        worker = {"id": "crew/0", "node": "n1", "pid": 77, "concepts": ["fox"], "silent_s": 0.5}
        store.put(status_key(driver.fleet), json.dumps({"nodes": [node], "workers": [worker]}).encode())
        shown = textinv("fleet", "status", as_json=False)
        assert "10.0.0.7" in shown
        assert "crew/0" in shown
        assert textinv("fleet", "stop") == {"stopped": True}
        assert process.wait(30) == -signal.SIGTERM
    finally:
        process.kill()
        os.close(lock)
    driver.log.write_text("serving fleet local\nsent home\n")
    assert textinv("job", "logs", "--driver") == {"lines": ["serving fleet local", "sent home"]}


def test_a_cluster_that_does_not_answer_is_named(textinv: Callable[..., Any]) -> None:
    with pytest.raises(ClusterError, match=r"the Ray cluster at http://127\.0\.0\.1:9 cannot be reached"):
        textinv("fleet", "status", "--address", "http://127.0.0.1:9")
