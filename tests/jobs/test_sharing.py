"""What the guess may learn from: only what a manifest or its tenant shares, and only until it is taken back."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
import torch
import yaml

from textinv.embedding import Embedding
from textinv.errors import InputError
from textinv.jobs import JobStore
from textinv.jobs.purge import purge
from textinv.jobs.sharing import Tenant, share_concept, take_back
from textinv.jobs.submission import Submission, submit_plan
from textinv.manifest import load_manifest
from textinv.plan import make_plan
from textinv.plan.resolve import BaseFacts
from textinv.registry import Registry
from textinv.registry.shares import NOT_SAID, PURGED, TAKEN_BACK, shares, withdrawals
from textinv.spec import TrainSpec, image_key
from textinv.store.memory import MemoryStore

DATA = Path(__file__).resolve().parents[1] / "data" / "quickstart"
NAMES = sorted(folder.name for folder in DATA.iterdir())[:3]
REVISION = "r" * 40
OWN = Tenant()
Submit = Callable[..., Submission]


@pytest.fixture
def registry() -> Registry:
    return Registry(MemoryStore())


@pytest.fixture
def submit(registry: Registry, tmp_path: Path) -> Submit:
    """Submits the concepts of these names for a tenant, each with what it says of sharing."""

    def submitted(
        tenant: Tenant | None = OWN,
        job: str = "job",
        default: bool | None = None,
        into: Registry = registry,
        **says: bool | None,
    ) -> Submission:
        concepts = [
            {"name": name, "images": str(DATA / name), "init": "ball"}
            | ({} if said is None else {"share_with_guess": said})
            for name, said in says.items()
        ]
        defaults = {} if default is None else {"share_with_guess": default}
        path = tmp_path / f"{job}.yaml"
        path.write_text(yaml.safe_dump({"base_model": "emoji", "defaults": defaults, "concepts": concepts}))
        plan = make_plan(load_manifest(path), into, base=BaseFacts(REVISION, 64))
        return submit_plan(plan, into, base_model="emoji", tenant=tenant)

    return submitted


def shared(registry: Registry) -> list[tuple[str, str]]:
    return sorted((one.concept, one.tenant) for one in shares(registry.store))


def specs(registry: Registry, made: Submission) -> Sequence[TrainSpec]:
    return list(JobStore(registry.store).specs(made.record))


def test_nothing_is_shared_unless_somebody_says_so(registry: Registry, submit: Submit) -> None:
    submit(**dict.fromkeys(NAMES))
    submit(tenant=None, **dict.fromkeys(NAMES, True))
    assert shared(registry) == []


def test_a_concept_says_it_for_itself_and_defaults_for_those_that_do_not(registry: Registry, submit: Submit) -> None:
    one, other, third = NAMES
    made = submit(default=True, **{one: None, other: False, third: True})
    assert shared(registry) == [(one, "operator"), (third, "operator")]
    first = next(share for share in shares(registry.store) if share.concept == one)
    spec = specs(registry, made)[0]
    assert first.job == made.record.id
    assert [picture.digest for picture in first.pictures] == [picture.digest for picture in spec.pictures]
    assert [picture.caption for picture in first.pictures] == [picture.caption for picture in spec.pictures]


def test_sharing_changes_no_fingerprint(registry: Registry, submit: Submit) -> None:
    quiet, sharing = (specs(registry, submit(**{NAMES[0]: says}))[0] for says in (None, True))
    assert sharing == quiet
    assert sharing.fingerprint == quiet.fingerprint


def test_a_tenant_that_shares_does_so_for_what_says_nothing_and_a_manifest_has_the_last_word(
    registry: Registry, submit: Submit
) -> None:
    one, other, _ = NAMES
    submit(Tenant("key-1", shares=True), **{one: None, other: False})
    assert shared(registry) == [(one, "key-1")]


def test_a_manifest_that_is_submitted_again_without_it_takes_it_back_from_its_own_tenant_only(
    registry: Registry, submit: Submit
) -> None:
    name = NAMES[0]
    for tenant in ("one", "two"):
        submit(Tenant(tenant), **{name: True})
    before = {share.tenant: share.id for share in shares(registry.store)}
    submit(Tenant("one"), **{name: None})
    assert shared(registry) == [(name, "two")]
    assert [one.why for one in withdrawals(registry.store, REVISION, before.values())] == [NOT_SAID]
    submit(Tenant("one"), **{name: True})
    assert shared(registry) == [(name, "one"), (name, "two")]
    assert list(withdrawals(registry.store, REVISION, before.values())) == []


def test_what_learns_on_another_base_model_leaves_alone_what_is_shared(registry: Registry, submit: Submit) -> None:
    submit(**{NAMES[0]: True})
    submit(tenant=None, **{NAMES[0]: None})
    assert shared(registry) == [(NAMES[0], "operator")]


def test_pictures_that_are_purged_are_taken_back(registry: Registry, submit: Submit) -> None:
    one, other, _ = NAMES
    made, stays = submit(job="first", **{one: True}), submit(job="second", **{other: True})
    (before,) = (share.id for share in shares(registry.store) if share.concept == one)
    JobStore(registry.store).close(made.record)
    purge(registry, made.record.id)
    assert [share.job for share in shares(registry.store)] == [stays.record.id]
    assert [one.why for one in withdrawals(registry.store, REVISION, [before])] == [PURGED]


def test_pictures_that_another_job_keeps_stay_shared_with_that_one(registry: Registry, submit: Submit) -> None:
    purged, stays = (submit(job=job, **{NAMES[0]: True}) for job in ("first", "second"))
    JobStore(registry.store).close(purged.record)
    assert purge(registry, purged.record.id).deleted == 0
    assert [share.job for share in shares(registry.store)] == [stays.record.id]


class DyingStore(MemoryStore):
    """The machine dies when pictures are deleted."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete everything else."""
        gone = list(keys)
        if any(key.startswith("images/") for key in gone):
            raise KeyboardInterrupt
        super().delete(gone)


def test_a_purge_that_dies_half_way_has_taken_back_what_it_was_to_delete(submit: Submit) -> None:
    dying = Registry(DyingStore())
    made = submit(into=dying, **{NAMES[0]: True})
    JobStore(dying.store).close(made.record)
    (before,) = shares(dying.store)
    with pytest.raises(KeyboardInterrupt):
        purge(dying, made.record.id)
    assert all(dying.store.exists(image_key(digest)) for digest in before.digests)
    assert list(shares(dying.store)) == []
    assert [one.why for one in withdrawals(dying.store, REVISION, [before.id])] == [PURGED]


def test_a_withdrawal_that_was_cut_short_holds(registry: Registry, submit: Submit) -> None:
    submit(**{NAMES[0]: True})
    (given,) = registry.store.list("shares/given/")
    body = registry.store.get(given.key).body
    take_back(registry.store, NAMES[0])
    registry.store.put(given.key, body)  # as if it had not been deleted
    assert shared(registry) == []


def test_what_was_learned_before_can_be_shared_and_taken_back_by_its_name(registry: Registry, submit: Submit) -> None:
    (spec,) = specs(registry, submit(**{NAMES[0]: None}))
    with pytest.raises(InputError, match="nobody knows the pictures of a concept"):
        share_concept(registry, spec.name)
    registry.publish(
        spec.name,
        Embedding({"text_encoder": torch.ones(1, 4)}),
        {"spec": spec.model_dump(mode="json")},
        fingerprint=spec.fingerprint,
        base_model="emoji",
        base_revision=REVISION,
    )
    (given,) = share_concept(registry, spec.name)
    assert shared(registry) == [(spec.name, "operator")]
    submit(**{spec.name: None})
    assert shared(registry) == [(spec.name, "operator")]
    submit(**{spec.name: False})
    assert shared(registry) == []
    share_concept(registry, spec.name)
    assert take_back(registry.store, spec.name) == 1
    assert take_back(registry.store, spec.name) == 0
    assert [one.why for one in withdrawals(registry.store, REVISION, [given.id])] == [TAKEN_BACK]
    registry.store.delete([image_key(next(iter(given.digests)))])
    with pytest.raises(InputError, match=r"1 pictures of .* were deleted: submit them in a manifest"):
        share_concept(registry, spec.name)
