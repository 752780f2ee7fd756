"""Weights of the frozen parts in fewer bits: another base model, on which nearly the same rows are learned."""

import sys
from pathlib import Path

import pytest
import torch

from tests.models.tiny_bases import make_base
from tests.models.transformer_bases import make_transformer_base
from tests.training.conftest import make_work
from textinv.errors import BaseModelError
from textinv.manifest import parse_manifest
from textinv.models import base_revision, load_base_model, look_up
from textinv.models.location import Location, Stated
from textinv.plan.resolve import base_name
from textinv.training.train import learn


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.set_num_threads(1)
    return str(make_base("sd1", tmp_path_factory.mktemp("weights") / "base"))


def test_rounded_weights_are_another_revision_and_auto_is_not(folder: str) -> None:
    plain = base_revision(folder)
    assert base_revision(f"{folder}?weights=auto") == plain
    rounded = base_revision(f"{folder}?weights=int8")
    others = [base_revision(f"{folder}?weights={weights}") for weights in ("bfloat16", "nf4")]
    assert len({plain, rounded, *others}) == 4
    assert rounded != base_revision(f"{folder}?weights=int8&clip_skip=2")
    with pytest.raises(BaseModelError, match=f"has revision {rounded}"):
        base_revision(f"{folder}?weights=int8", revision=plain)
    with pytest.raises(BaseModelError, match="is named with weights=int3; write auto, bfloat16, int8 or nf4"):
        base_revision(f"{folder}?weights=int3")


def test_a_commit_of_the_hub_is_told_from_the_same_one_rounded() -> None:
    said = Stated(clip_skip=2, weights="int8")
    assert Location(Path(), commit="a1b2", stated=said).hub_revision == "skip2-int8-a1b2"
    assert Location(Path(), commit="a1b2", stated=Stated()).hub_revision == "a1b2"


def test_it_may_be_said_behind_an_alias_as_well(folder: str) -> None:
    aliases = {"mine": f"{folder}?clip_skip=2"}
    found = look_up("mine?weights=int8", aliases=aliases)
    assert found.revision == look_up(f"{folder}?clip_skip=2&weights=int8").revision
    assert look_up("mine", aliases=aliases).revision == look_up(f"{folder}?clip_skip=2").revision


def test_a_manifest_says_it_of_its_base_model() -> None:
    text = "base_model: {}\nweights: {}\nconcepts:\n- {{name: fox, images: foxes}}\n"
    named = [
        base_name(parse_manifest(text.format(base, weights)))
        for base, weights in (("emoji", "auto"), ("emoji", "int8"), ("emoji?clip_skip=2", "bfloat16"))
    ]
    assert named == ["emoji", "emoji?weights=int8", "emoji?clip_skip=2&weights=bfloat16"]


def test_in_bfloat16_all_parts_run_in_it_on_a_cpu_too(folder: str) -> None:
    model = load_base_model(f"{folder}?weights=bfloat16", device="cpu")
    assert model.dtype == model.vocabulary("text_encoder").dtype == torch.bfloat16


def test_without_torchao_it_is_said_what_to_install(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(
        BaseModelError, match=r"needs torchao, and that is not installed: `pip install 'textinv\[int8\]'`"
    ):
        load_base_model(f"{folder}?weights=int8", device="cpu")


def test_nf4_is_refused_without_a_gpu_and_it_is_said_what_to_choose(folder: str) -> None:
    with pytest.raises(BaseModelError, match="weights=nf4, which needs a GPU, but it is to run on cpu: write int8"):
        load_base_model(f"{folder}?weights=nf4", device="cpu")


@pytest.mark.parametrize("family", ["sd1", "sdxl", "ldm", "sd3", "sana"])
def test_rows_learned_on_int8_are_close_to_those_of_float32(family: str, tmp_path: Path) -> None:
    """Stated tolerance: after 10 steps of the sphere method a row's cosine to float32's is over .999, where that of
    the first row to the last is below .99."""
    pytest.importorskip("torchao", reason="with it, diffusers warns at every start: pip install 'textinv[int8]'")
    make = make_transformer_base if family in ("sd3", "sana") else make_base
    folder = str(make(family, tmp_path / "base"))
    work = make_work("fox", init="apple", resolution_px=32, max_steps=10)
    learned = {}
    for said in ("", "?weights=int8"):
        model = load_base_model(folder + said, device="cpu", dtype="float32")
        began = {name: model.token_rows(name, "apple")[:1] for name in model.encoder_names}
        learned[said] = learn(model, [work], num_slots=1).concepts["fox"].embedding
    for name, rows in learned[""].rows.items():
        rounded = learned["?weights=int8"].rows[name]
        assert not torch.equal(rounded, rows)
        assert torch.cosine_similarity(rounded, rows) > 0.999
        assert torch.cosine_similarity(began[name], rows) < 0.99, "they have moved"
