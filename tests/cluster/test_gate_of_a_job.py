"""A worker holds back what is less like its pictures than what is current, as its job's gate says."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.commands.follow import tell_of_the_gate
from cluster.queue.messages import WorkerCard
from cluster.worker.config import PackSettings
from cluster.worker.worker import learn_leased
from tests.cluster.shared_queue import LetsGo, told
from tests.evaluation.tiny_encoders import clip_folder
from textinv.jobs import ConceptStatus, JobRecord, JobStore
from textinv.jobs.layout import spec_sheet_key
from textinv.jobs.record import spec_sheets_of
from textinv.jobs.status import waiting_status
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.registry import Registry
from textinv.registry.attachments import load_pinned
from textinv.store.memory import MemoryStore

PACK = PackSettings(num_slots=2, lease_s=30.0, checkpoint_every_s=0.0)
MakeJob = Callable[..., JobRecord]
NAME = "concept-0"


def learn(model: BaseModel, registry: Registry, record: JobRecord, gate: str, clip: Path) -> str:
    """Learn a job; what its submitter is told of the concept's new version."""
    job_store = JobStore(registry.store)
    specs = [spec.model_copy(update={"evaluate": True}) for spec in job_store.spec_sheet(record.id, 0)]
    registry.store.put(spec_sheet_key(record.id, 0), spec_sheets_of(specs)[0])
    record = job_store.open(record.model_copy(update={"gate": gate}))
    queue = told(registry, record, LetsGo())
    learn_leased(lambda: model, queue, registry, WorkerCard("crew/0", "crew", 0), PACK, encoders=[clip])
    version = registry.versions(NAME)[-1].version
    done = ConceptStatus(name=NAME, fingerprint=specs[0].fingerprint, state="done", version=version)
    status = waiting_status(record).model_copy(update={"state": "done", "concepts": (done,)})
    with contextlib.redirect_stderr(io.StringIO()) as said:
        tell_of_the_gate(job_store, record, status)
    return said.getvalue()


def praised(evaluation: dict[str, Any]) -> dict[str, Any]:
    """The same scores, each by half higher."""
    each = {
        encoder: {field: [one + 0.5 for one in scores] for field, scores in fields.items()}
        for encoder, fields in evaluation["each"].items()
    }
    return {**evaluation, "each": each}


@pytest.mark.timeout(400)
def test_a_worse_version_is_held_back_or_told_as_the_job_says(
    model: BaseModel, make_job: MakeJob, tmp_path: Path
) -> None:
    registry, clip = Registry(MemoryStore()), clip_folder(tmp_path / "clip")
    assert learn(model, registry, make_job(registry.store, 1, max_steps=2), "on", clip) == ""
    first = registry.resolve(ConceptRef(NAME))
    assert set(first.record["evaluation"]["each"][str(clip)]) >= {"fidelity"}
    assert "gate" not in first.record
    assert registry.entry(NAME, 1).pinned == tuple(first.record["pinned"]["prompts"])
    assert load_pinned(registry.store, registry.entry(NAME, 1)) is not None
    better = registry.publish(
        NAME,
        first.embedding,
        {**first.record, "evaluation": praised(first.record["evaluation"])},
        fingerprint="better",
        base_model=first.base_model,
        base_revision=first.base_revision,
    )
    assert registry.resolve(ConceptRef(NAME)).version == better.version == 2
    said = learn(model, registry, make_job(registry.store, 1, max_steps=3), "on", clip)
    assert f"<{NAME}@3> is not current" in said
    assert f"`textinv concept promote {NAME}@3`" in said
    third = registry.resolve(ConceptRef(NAME, 3))
    assert registry.resolve(ConceptRef(NAME)).version == 2
    assert third.record["gate"]["against"] == 2
    assert third.record["gate"]["held"].startswith(("editability fell from", "likeness fell from"))
    said = learn(model, registry, make_job(registry.store, 1, max_steps=4), "warn", clip)
    assert f"<{NAME}@4> is current, and worse: " in said
    assert f"`textinv concept rollback {NAME}`" in said
    fourth = registry.resolve(ConceptRef(NAME))
    assert fourth.version == 4
    assert fourth.record["gate"]["reasons"]
    assert learn(model, registry, make_job(registry.store, 1, max_steps=5), "off", clip) == ""
    assert "gate" not in registry.resolve(ConceptRef(NAME)).record
