"""`textinv concept relearn` from the command to the new versions, on a real store, learned by a worker without Ray."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.worker.config import PackSettings
from cluster.worker.worker import learn_leased
from tests.cluster.conftest import make_spec
from tests.cluster.shared_queue import LetsGo, told
from tests.cluster.whole_worker import CARD
from tests.models.tiny_bases import make_base
from textinv.embedding import Embedding
from textinv.errors import UnknownConceptError
from textinv.jobs import JobStore
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.registry import Registry
from textinv.store import S3Store

pytestmark = pytest.mark.store
NAMES = ["concept-0", "concept-1"]
Relearn = Callable[..., Any]


@pytest.fixture
def relearn(run_beside_a_driver: Callable[..., tuple[int, Any]]) -> Relearn:
    """Runs the command, which must not fail."""

    def run(*arguments: str) -> Any:
        exit_code, printed = run_beside_a_driver("concept", "relearn", *arguments)
        assert exit_code == 0, printed
        return printed

    return run


@pytest.fixture(scope="module")
def new_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A base model that nothing was learned on."""
    folder = str(make_base("sd1", tmp_path_factory.mktemp("base") / "new"))
    return load_base_model(folder, device="cpu", dtype="float32")


def publish_learned(registry: Registry, revision: str) -> None:
    """Publish what was learned on the demo base, with pictures in the store, and one that came from elsewhere."""
    for number, name in enumerate(NAMES):
        spec = make_spec(registry.store, number, 3, revision)
        rows = load_base_model("emoji", device="cpu").token_rows("text_encoder", "ball")[:1]
        registry.publish(
            name,
            Embedding({"text_encoder": rows}),
            {"spec": spec.model_dump(mode="json")},
            fingerprint=spec.fingerprint,
            base_model="emoji",
            base_revision=revision,
        )
    registry.publish("found", Embedding({"text_encoder": rows}), {}, fingerprint="f", base_model="", base_revision="")


def test_concepts_are_learned_anew_and_those_of_the_old_base_stay_what_they_are(
    relearn: Relearn, s3_store: S3Store, revision: str, new_base: BaseModel
) -> None:
    publish_learned(Registry(s3_store, revision), revision)
    plan = relearn("--base", new_base.id, "--dry-run")
    assert plan["counts"] == {"new": 2, "changed": 0, "done": 0}
    assert list(plan["left_out"]) == ["found"]
    assert JobStore(s3_store).open_jobs() == {}

    job_id = relearn("--base", new_base.id)["job"]
    registry = Registry(s3_store, new_base.revision)
    queue = told(registry, JobStore(s3_store).load(job_id), LetsGo())
    learn_leased(lambda: new_base, queue, registry, CARD, PackSettings(num_slots=2), lambda: False)
    assert dict(queue.view().jobs[0].counts)["done"] == 2

    for name in NAMES:
        old, new = (Registry(s3_store, base).resolve(ConceptRef(name)) for base in (revision, new_base.revision))
        assert (old.version, old.base_revision) == (1, revision)
        assert (new.version, new.base_revision) == (2, new_base.revision)
        assert new.embedding.widths == dict(new_base.encoder_widths)
        assert new.record["spec"]["resolution_px"] == new_base.native_px

    again = relearn("--base", new_base.id, *NAMES)
    assert (again["counts"], again["driver_started"]) == ({"new": 0, "changed": 0, "done": 2}, False)


def test_a_base_model_is_named_as_workers_find_it(
    relearn: Relearn, s3_store: S3Store, revision: str, new_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_learned(Registry(s3_store, revision), revision)
    monkeypatch.chdir(Path(new_base.id).parent)
    job_id = relearn("--base", "./new")["job"]
    assert JobStore(s3_store).load(job_id).base_model == new_base.id


def test_a_concept_that_there_is_none_of_is_named(relearn: Relearn, s3_store: S3Store, new_base: BaseModel) -> None:
    with pytest.raises(UnknownConceptError, match="there is no concept 'dragon'"):
        relearn("--base", new_base.id, "dragon")
