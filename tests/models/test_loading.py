"""Base models load from folders and from the hub's cache, pinned, or say what is wrong."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import torch

from textinv.demo import WEIGHTS
from textinv.errors import BaseModelError
from textinv.models import (
    BaseModel,
    base_revision,
    load_base_model,
    load_words,
    look_up,
    native_size_px,
    revisions_of,
)

OLD, NEW = "a" * 40, "b" * 40


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "ldm"])
def test_a_folder_is_recognised_and_looked_up_without_loading_it(
    tiny: Callable[[str], BaseModel], tiny_folder: Callable[[str], Path], family: str
) -> None:
    model, folder = tiny(family), str(tiny_folder(family))
    assert (model.id, model.family, model.process.predicts) == (
        folder,
        family,
        "v_prediction" if family == "sd2" else "epsilon",
    )
    assert model.revision == base_revision(folder)
    assert model.native_px == native_size_px(folder) == 32
    widths = dict(model.encoder_widths)
    assert look_up(folder) == (model.revision, 32, False, widths, family == "sdxl", False, {}, {}, (), (), (), "", "")
    assert (model.takes_sizes, model.max_clip_skip) == (family == "sdxl", {"sdxl": 2, "ldm": 1}.get(family, 3))
    assert (model.latent_scale, model.latent_channels, model.masks_text) == (4, 4, True)


def test_the_demo_base_ships_with_its_clip(emoji: BaseModel) -> None:
    assert (emoji.id, emoji.family, emoji.native_px, emoji.window) == ("emoji", "sd1", 64, 32)
    assert emoji.process.predicts == "v_prediction"
    assert emoji.clip is not None
    assert look_up("emoji") == (
        emoji.revision,
        64,
        True,
        {"text_encoder": 192},
        False,
        False,
        {},
        {},
        (),
        (),
        (),
        "",
        str(WEIGHTS / "guess.safetensors"),
    )
    assert emoji.clip.folder == WEIGHTS / "clip"
    features = emoji.clip.model.get_text_features(**emoji.clip.tokenizer(["a fox"], return_tensors="pt"))
    assert features.pooler_output.shape == (1, 192)


def test_a_revision_follows_the_weights_and_not_who_saved_them(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_folder("sd1"), folder)
    before = base_revision(str(folder))
    assert before == base_revision(str(tiny_folder("sd1")))
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_diffusers_version": "0.0.1"}))
    assert base_revision(str(folder)) == before
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert base_revision(str(folder)) != before


def test_weights_are_hashed_once_per_change(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    base_revision(str(tiny_folder("ldm")))
    remembered = sorted((tmp_path / "textinv").rglob("*"))
    files = [path for path in remembered if path.is_file()]
    assert len(files) == 3
    for path in files:
        path.write_text("0" * 64)
    poisoned = base_revision(str(tiny_folder("ldm")))
    os.utime(tiny_folder("ldm") / "unet" / "diffusion_pytorch_model.safetensors")
    assert base_revision(str(tiny_folder("ldm"))) != poisoned


def test_a_folder_with_other_weights_than_the_pinned_ones_is_refused(tiny_folder: Callable[[str], Path]) -> None:
    folder = str(tiny_folder("sd1"))
    assert base_revision(folder, revision=base_revision(folder)) == base_revision(folder)
    with pytest.raises(BaseModelError, match="f" * 64 + " was asked for"):
        load_base_model(folder, revision="f" * 64)


def test_an_alias_names_a_folder(tiny_folder: Callable[[str], Path]) -> None:
    folder = str(tiny_folder("sd1"))
    assert base_revision("ours", aliases={"ours": folder}) == base_revision(folder)


def test_the_hubs_cache_is_enough_and_a_revision_is_its_commit(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models--acme--tiny"
    for ref, commit, family in (("main", NEW, "sd2"), ("v1", OLD, "sd1")):
        shutil.copytree(tiny_folder(family), repository / "snapshots" / commit)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / ref).write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    model = load_base_model("acme/tiny", device="cpu")
    assert (model.revision, model.process.predicts) == (NEW, "v_prediction")
    assert base_revision("acme/tiny") == base_revision("ours", aliases={"ours": "acme/tiny"}) == NEW
    assert native_size_px("acme/tiny") == 32
    pinned = load_base_model("acme/tiny", revision="v1", device="cpu")
    assert (pinned.revision, pinned.process.predicts) == (OLD, "epsilon")
    skipped = load_base_model("acme/tiny?clip_skip=2", revision="v1", device="cpu")
    assert skipped.revision == f"skip2-{OLD}"
    assert load_base_model("acme/tiny?clip_skip=2", revision=skipped.revision).clip_skip == 2
    with pytest.raises(BaseModelError, match="'acme/tiny' at revision v3"):
        base_revision("acme/tiny", revision="v3")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nowhere", "nowhere does not exist"),
        ("/nowhere/model.safetensors", "does not exist"),
        ("acme/nothing", "the model hub did not provide it"),
    ],
)
def test_a_name_that_is_nothing_is_refused(name: str, message: str) -> None:
    with pytest.raises(BaseModelError, match=message):
        load_base_model(name)


def test_a_folder_that_holds_no_base_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=r"no model_index\.json"):
        load_base_model(str(tmp_path))
    (tmp_path / "model_index.json").write_text('{"_class_name": "MochiPipeline"}')
    with pytest.raises(BaseModelError, match="is a MochiPipeline; known families are flux, ldm, "):
        load_base_model(str(tmp_path))


def test_a_folder_with_a_part_missing_is_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "partial"
    shutil.copytree(tiny_folder("sd1"), folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(BaseModelError, match="cannot be loaded"):
        load_base_model(str(folder))


def test_a_folder_without_weights_or_sizes_is_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "hollow"
    shutil.copytree(tiny_folder("sd1"), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    assert native_size_px(str(folder)) == 32
    with pytest.raises(BaseModelError, match="holds no weights"):
        base_revision(str(folder))
    (folder / "unet" / "config.json").unlink()
    with pytest.raises(BaseModelError, match="does not say its size"):
        native_size_px(str(folder))


@pytest.mark.parametrize(("device", "dtype"), [("tpu9", "auto"), ("cpu", "int3")])
def test_an_unknown_device_or_dtype_is_refused(device: str, dtype: str) -> None:
    with pytest.raises(BaseModelError, match="write auto"):
        load_base_model("emoji", device=device, dtype=dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_freezes_the_same_weights(tiny_folder: Callable[[str], Path], dtype: str) -> None:
    model = load_base_model(str(tiny_folder("sdxl")), device="cpu", dtype=dtype)
    assert model.dtype == getattr(torch, dtype)
    assert {model.vocabulary(name).dtype for name in model.encoder_names} == {model.dtype}
    mean_BCHW, std_BCHW = model.encode_pixels(torch.zeros(1, 3, 32, 32))
    assert (mean_BCHW.dtype, std_BCHW.dtype) == (torch.float32, torch.float32)
    assert model.decode_latents(mean_BCHW).dtype == torch.float32


def test_words_are_looked_up_without_loading_the_rest(
    tiny: Callable[[str], BaseModel], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder("sdxl"), tmp_path / "base"))
    for weights in [*folder.glob("unet/*.safetensors"), *folder.glob("vae/*.safetensors")]:
        weights.write_bytes(b"not looked at")
    model, encoders = tiny("sdxl"), ["text_encoder", "text_encoder_2"]
    found = load_words(str(folder), model.encoder_names, "apple fox")
    assert set(found) == set(model.encoder_names)
    for name, rows_ND in found.items():
        assert torch.equal(rows_ND, model.token_rows(name, "apple fox").float())
    for part in encoders:
        (folder / part / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(BaseModelError, match="cannot be loaded alone"):
        load_words(str(folder), model.encoder_names, "apple")


def test_a_pinned_commit_of_the_hub_is_the_revision_of_every_format(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models--acme--tiny"
    shutil.copytree(tiny_folder("sd1"), repository / "snapshots" / NEW)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(NEW)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert revisions_of("acme/tiny") == (NEW, NEW)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("clip/model.safetensors", r"clip cannot be loaded: .*; correct or remove it"),
        ("text_encoder/model.safetensors", r"cannot be loaded: .*; get its files again"),
        ("unet/diffusion_pytorch_model.safetensors", r"cannot be loaded: .*; get its files again"),
    ],
)
def test_weights_that_are_cut_off_are_named(tmp_path: Path, file: str, said: str) -> None:
    folder = Path(shutil.copytree(WEIGHTS, tmp_path / "base"))
    (folder / file).write_bytes(b"cut off")
    with pytest.raises(BaseModelError, match=said):
        load_base_model(str(folder), device="cpu")


def test_a_home_that_cannot_be_written_costs_nothing_but_hashing_again(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = base_revision(str(tiny_folder("sd1")))
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert base_revision(str(tiny_folder("sd1"))) == expected
