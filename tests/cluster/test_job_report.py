"""The file that tells a job's story."""

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from textinv.embedding import Embedding
from textinv.errors import SettingsError
from textinv.jobs import Failure, JobRecord, JobStore
from textinv.jobs.layout import spec_sheet_key
from textinv.jobs.previews import write_preview
from textinv.jobs.purge import purge
from textinv.jobs.record import spec_sheets_of
from textinv.registry import Registry
from textinv.report import tell, write_page
from textinv.report.curve import loss_curve
from textinv.report.events import write_events
from textinv.store.memory import MemoryStore

MakeJob = Callable[..., JobRecord]
EVALUATION = {
    "encoders": [{"encoder": "own", "fidelity": 0.8125, "editability": 0.25}],
    "judge": {"fidelity": 0.625, "asked": 4},
    "norm_ratio": {"text_encoder": 1.125},
}
HOSTILE = "<script>alert('{}')</script>"
DEATH = {"worker": "crew-a/0-1f", "node": "0a1b", "pid": 7, "step": 7, "reason": HOSTILE, "held": 1}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def job(store: MemoryStore, make_job: MakeJob) -> JobRecord:
    """One concept learned, one given up, one untouched."""
    record, job_store = make_job(store), JobStore(store)
    learned, given_up, _ = job_store.spec_sheet(record.id, 0)
    trace = [{"step": step, "loss": 0.2 - step / 1000} for step in range(0, 30, 5)]
    training = {"stopped": "converged", "steps": 25, "kept_step": 20, "sample_passes": 50, "trace": trace}
    Registry(store).publish(
        learned.name,
        Embedding({"text_encoder": torch.ones(1, 8)}),
        training | {"evaluation": EVALUATION, "cosine_to_initializer": {"text_encoder": 0.875}},
        fingerprint=learned.fingerprint,
        base_model="emoji",
        base_revision=learned.base_revision,
    )
    job_store.write_failure(
        record.id,
        Failure(
            fingerprint=given_up.fingerprint, name=given_up.name, code="diverged", message=HOSTILE, evidence=(DEATH,)
        ),
    )
    return record


def test_one_file_holds_pictures_curve_figures_and_why_it_stopped(
    store: MemoryStore, job: JobRecord, tmp_path: Path
) -> None:
    write_page(tell(store, job.id), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == 9
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    assert "&lt;concept-0@1&gt;" in page
    assert "its loss on the fixed batch no longer fell" in page
    assert "kept: step 20" in page
    assert "0.812" in page
    assert "<dt>judge: fidelity</dt><dd>0.625</dd>" in page
    assert "<dt>norm over that of a word (text_encoder)</dt><dd>1.125</dd>" in page
    assert "<dt>cosine to where it started (text_encoder)</dt><dd>0.875</dd>" in page
    assert "Not learned yet." in page


def test_a_concept_without_scores_is_told_with_the_reason(
    store: MemoryStore, make_job: MakeJob, tmp_path: Path
) -> None:
    record = make_job(store, 1)
    (spec,) = JobStore(store).spec_sheet(record.id, 0)
    problem = {"code": "invalid_settings", "message": "it has no CLIP of its own"}
    Registry(store).publish(
        spec.name,
        Embedding({"text_encoder": torch.ones(1, 8)}),
        {"evaluation": {"norm_ratio": {"text_encoder": 1.125}, "anchor_word": "ball", "error": problem}},
        fingerprint=spec.fingerprint,
        base_model="emoji",
        base_revision=spec.base_revision,
    )
    write_page(tell(store, record.id), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<dt>why there are no scores</dt><dd>it has no CLIP of its own</dd>" in page
    assert "<dt>norm over that of a word (text_encoder)</dt><dd>1.125</dd>" in page


def test_what_people_wrote_stays_text(store: MemoryStore, job: JobRecord, tmp_path: Path) -> None:
    job_store = JobStore(store)
    specs = job_store.spec_sheet(job.id, 0)
    hostile = [ref.model_copy(update={"caption": HOSTILE}) for ref in specs[2].pictures]
    store.put(
        spec_sheet_key(job.id, 0),
        spec_sheets_of([*specs[:2], specs[2].model_copy(update={"pictures": tuple(hostile)})])[0],
    )
    write_page(tell(store, job.id), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "at step 7: &lt;script&gt;" in page
    assert page.count("&lt;script&gt;alert") >= 4  # the failure's message, and a caption under each picture


def test_purged_pictures_are_missed_and_the_rest_is_told(store: MemoryStore, job: JobRecord, tmp_path: Path) -> None:
    job_store = JobStore(store)
    job_store.close(job_store.load(job.id))
    purge(Registry(store), job.id)
    story = tell(store, job.id)
    assert [len(concept.pictures) for concept in story.concepts] == [0, 0, 0]
    write_page(story, tmp_path / "report.html")
    assert "not in the store any more" in (tmp_path / "report.html").read_text()


def test_previews_are_shown_with_their_steps_and_not_too_many(
    store: MemoryStore, job: JobRecord, tmp_path: Path
) -> None:
    spec = JobStore(store).spec_sheet(job.id, 0)[0]
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(file, "JPEG")
    for step in range(0, 1000, 50):
        write_preview(store, spec.fingerprint, step, file.getvalue())
    story = tell(store, job.id)
    shown = [step for step, _ in story.concepts[0].previews]
    assert (shown[0], shown[-1], len(shown)) == (0, 950, 12)
    write_page(story, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count('src="data:image/jpeg;base64,') == 12
    assert "step 950" in page


def test_a_large_job_says_how_much_is_left_out(store: MemoryStore, job: JobRecord) -> None:
    story = tell(store, job.id, max_concepts=2)
    assert (len(story.concepts), story.left_out) == (2, 1)


def test_a_curve_of_one_value_is_no_curve() -> None:
    assert "no curve" in loss_curve([(0, 0.1)], 0, "loss")
    assert "<polyline" in loss_curve([(0, 0.1), (5, 0.1)], 5, "loss")


def test_event_files_hold_the_curve_and_the_scores(store: MemoryStore, job: JobRecord, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert write_events(tell(store, job.id), tmp_path) == 1
    events = accumulator.EventAccumulator(str(tmp_path / "concept-0"))
    events.Reload()
    assert [(event.step, round(event.value, 3)) for event in events.Scalars("loss on the fixed batch")][-1] == (
        25,
        0.175,
    )
    scores = {
        name: [(event.step, event.value) for event in events.Scalars(name)] for name in ("fidelity", "editability")
    }
    assert scores == {"fidelity": [(20, 0.8125)], "editability": [(20, 0.25)]}
    assert events.Tags()["images"] == ["training picture/0", "training picture/1", "training picture/2"]


def test_without_tensorboard_the_error_says_what_to_install(
    store: MemoryStore, job: JobRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SettingsError, match="pip install tensorboard"):
        write_events(tell(store, job.id), tmp_path)
