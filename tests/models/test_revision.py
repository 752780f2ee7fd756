"""A revision says what rows mean: other weights, or other values that they are used with; not who saved them."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from textinv.errors import BaseModelError
from textinv.models import base_revision, load_base_model, revisions_of
from textinv.models.meaning import Parts, meaning_of

TinyFolder = Callable[[str], Path]
PARTS = Parts("unet", "vae", ("text_encoder",))
SCHEDULER, VAE, UNET = "scheduler/scheduler_config.json", "vae/config.json", "unet/config.json"
TEXT, TOKENIZER = "text_encoder/config.json", "tokenizer/tokenizer.json"


@pytest.fixture
def folder(tiny_folder: TinyFolder, tmp_path: Path) -> Path:
    """A copy of a tiny SD1."""
    return Path(shutil.copytree(tiny_folder("sd1"), tmp_path / "base"))


def change(file: Path, changes: Mapping[str, Any], drop: tuple[str, ...] = ()) -> None:
    fields = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in fields.items() if name not in drop}, indent=7))


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        (SCHEDULER, {"prediction_type": "v_prediction"}),
        (SCHEDULER, {"beta_end": 0.013}),
        (SCHEDULER, {"rescale_betas_zero_snr": True}),
        (SCHEDULER, {"_class_name": "EDMEulerScheduler"}),
        (VAE, {"scaling_factor": 0.13025}),
        (VAE, {"shift_factor": 0.1}),
        (VAE, {"latents_mean": [0.0, 1.0, 0.0, 0.0]}),
        (UNET, {"in_channels": 9}),
        (TEXT, {"num_hidden_layers": 1}),
        (TEXT, {"max_position_embeddings": 16}),
    ],
)
def test_the_same_weights_that_are_used_otherwise_have_another_revision(
    folder: Path, file: str, changes: Mapping[str, Any]
) -> None:
    weights, before = revisions_of(str(folder))
    change(folder / file, changes)
    assert revisions_of(str(folder))[0] == weights
    assert base_revision(str(folder)) != before


def test_an_earlier_layer_is_another_revision_and_the_own_one_is_not(folder: Path) -> None:
    plain = base_revision(str(folder))
    second = base_revision(f"{folder}?clip_skip=2")
    assert len({plain, second, base_revision(f"{folder}?clip_skip=3")}) == 3
    assert base_revision(f"{folder}?clip_skip=1") == plain
    assert base_revision("mine", aliases={"mine": f"{folder}?clip_skip=2"}) == second
    with pytest.raises(BaseModelError, match=f"has revision {second}"):
        base_revision(f"{folder}?clip_skip=2", revision=revisions_of(str(folder))[0])


@pytest.mark.parametrize("said", ["0", "-1", "two", "2.5", ""])
def test_a_layer_that_is_no_number_of_layers_is_refused(folder: Path, said: str) -> None:
    with pytest.raises(BaseModelError, match=f"is named with clip_skip={said}; write 1 for"):
        base_revision(f"{folder}?clip_skip={said}")


def test_a_layer_that_the_text_encoder_does_not_have_is_refused(folder: Path) -> None:
    assert load_base_model(f"{folder}?clip_skip=3", device="cpu").clip_skip == 3
    with pytest.raises(BaseModelError, match="clip_skip=4, but its text encoder takes 1 to 3"):
        load_base_model(f"{folder}?clip_skip=4", device="cpu")


def test_another_vocabulary_or_another_order_of_merges_is_another_revision(folder: Path) -> None:
    before = base_revision(str(folder))
    whole = json.loads((folder / TOKENIZER).read_text())
    words = whole["model"]["vocab"]
    first, second, *_ = words
    whole["model"]["vocab"] = {**words, first: words[second], second: words[first]}
    (folder / TOKENIZER).write_text(json.dumps(whole))
    assert base_revision(str(folder)) != before


def test_a_config_that_was_saved_anew_and_means_the_same_keeps_the_revision(folder: Path) -> None:
    before = base_revision(str(folder))
    fields = json.loads((folder / SCHEDULER).read_text())
    assert fields["prediction_type"] == "epsilon"
    silent = tuple(name for name in ("prediction_type", "rescale_betas_zero_snr", "trained_betas") if name in fields)
    change(folder / SCHEDULER, {"_class_name": "PNDMScheduler", "_diffusers_version": "0.0.1", "x": 1}, silent)
    change(folder / VAE, {"force_upcast": False, "latents_mean": None, "_name_or_path": "elsewhere"}, ("shift_factor",))
    change(folder / TEXT, {"transformers_version": "0", "torch_dtype": "float16"})
    assert base_revision(str(folder)) == before


def test_a_tokenizer_is_its_words_and_merges_in_whichever_files(folder: Path) -> None:
    before = meaning_of(folder, PARTS)
    whole = json.loads((folder / TOKENIZER).read_text())
    (folder / TOKENIZER).unlink()
    added = {one["content"]: one["id"] for one in whole["added_tokens"]}
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps({**added, **whole["model"]["vocab"]}))
    merges = [one if isinstance(one, str) else " ".join(one) for one in whole["model"]["merges"]]
    (folder / "tokenizer" / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    assert meaning_of(folder, PARTS) == before
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\na b\n")
    assert meaning_of(folder, PARTS) != before


def test_a_config_that_is_no_json_is_named(folder: Path) -> None:
    (folder / SCHEDULER).write_text("{")
    with pytest.raises(BaseModelError, match=r"scheduler_config\.json is not JSON"):
        base_revision(str(folder))
