"""One file of weights: derivatives load as what they say they are; what is no base model is called what it is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.models.original_layout import save_original
from textinv.errors import BaseModelError
from textinv.models import BaseModel, base_revision, load_base_model
from textinv.models.process import Diffusion

FIRST = "model.diffusion_model.input_blocks.0.0.weight"
EMPTY = torch.zeros(0)


@pytest.fixture(scope="session")
def originals(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny base as one file, its configs beside it, by family."""
    root = tmp_path_factory.mktemp("originals")
    stable = diffusers.StableDiffusionPipeline
    pipelines = {"sd1": stable, "sd2": stable, "sdxl": diffusers.StableDiffusionXLPipeline}

    def file(family: str) -> Path:
        target = root / f"{family}.safetensors"
        if not target.exists():
            folder = tiny_folder(family)
            save_original(pipelines[family].from_pretrained(folder), target, family)
            shutil.copytree(folder, target.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors"))
        return target

    return file


def _derived(original: Path, target: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    save_file(change(load_file(original)), target)
    shutil.copytree(original.with_suffix(""), target.with_suffix(""))
    return target


def _predicted(model: BaseModel) -> Tensor:
    encoded = model.encode_text(model.tokenize(["a photo of two cups"], {}), {})
    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    return model.predict(noisy, torch.tensor([300]), encoded)


def _load(name: str) -> BaseModel:
    return load_base_model(name, device="cpu", dtype="float32")


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_markers_in_a_file_say_how_it_predicts(originals: Callable[[str], Path], tmp_path: Path, family: str) -> None:
    v_pred = _derived(originals(family), tmp_path / "v.safetensors", lambda found: found | {"v_pred": EMPTY})
    both = _derived(
        originals(family), tmp_path / "zero.safetensors", lambda found: found | {"v_pred": EMPTY, "ztsnr": EMPTY}
    )
    for file, zero_snr in ((v_pred, False), (both, True)):
        config = file.with_suffix("") / "scheduler" / "scheduler_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "prediction_type": "epsilon"}))
        process = _load(str(file)).process
        assert isinstance(process, Diffusion)
        assert (process.predicts, process.has_zero_snr) == ("v_prediction", zero_snr)
        assert (process.alphas_cumprod_T[-1] == 0) == zero_snr


def test_a_name_may_say_what_a_file_does_not(originals: Callable[[str], Path], tmp_path: Path) -> None:
    original = originals("sd1")
    lone = Path(shutil.copy(original, tmp_path / "lone.safetensors"))
    said = f"{lone}?prediction_type=v_prediction&config={original.with_suffix('')}"
    assert _load(said).process.predicts == "v_prediction"
    aliased = load_base_model("mine", device="cpu", dtype="float32", aliases={"mine": said})
    assert (aliased.id, aliased.process.predicts) == ("mine", "v_prediction")
    with pytest.raises(BaseModelError, match="is named with prediction_type=noise; write epsilon or v_prediction or"):
        _load(f"{lone}?prediction_type=noise")
    with pytest.raises(BaseModelError, match="is named with the unknown option 'predicts'; known are"):
        _load(f"{lone}?predicts=noise")
    assert base_revision(said) != base_revision(said.replace("prediction_type=v_prediction&", ""))
    with pytest.raises(BaseModelError, match="is not a single file, and prediction_type and config can be given"):
        _load(f"{original.with_suffix('')}?prediction_type=epsilon")
    marked = _derived(original, tmp_path / "marked.safetensors", lambda found: found | {"v_pred": EMPTY})
    with pytest.raises(BaseModelError, match="prediction_type=epsilon, but its file is marked as v_prediction"):
        _load(f"{marked}?prediction_type=epsilon")


def test_averaged_weights_in_a_file_are_not_taken_for_the_weights(
    originals: Callable[[str], Path], tmp_path: Path
) -> None:
    def averaged(found: dict[str, Tensor]) -> dict[str, Tensor]:
        unet = [key for key in found if key.startswith("model.diffusion_model.")]
        return found | {f"model_ema.{key[6:].replace('.', '')}": torch.zeros_like(found[key]) for key in unet}

    file = _derived(originals("sd1"), tmp_path / "ema.safetensors", averaged)
    assert torch.allclose(_predicted(_load(str(file))), _predicted(_load(str(originals("sd1")))), atol=1e-5)


def test_a_pruned_file_of_halves_loads(originals: Callable[[str], Path], tmp_path: Path) -> None:
    def pruned(found: dict[str, Tensor]) -> dict[str, Tensor]:
        kept = {key: value for key, value in found.items() if "position_ids" not in key}
        return {key: value.half() if value.is_floating_point() else value for key, value in kept.items()}

    file = _derived(originals("sd1"), tmp_path / "fp16.safetensors", pruned)
    assert torch.allclose(_predicted(_load(str(file))), _predicted(_load(str(originals("sd1")))), atol=1e-2)


LINE = torch.zeros(1, 8)
SQUARE = torch.zeros(8, 4, 3, 3)
UNET = {"model.diffusion_model.out.2.weight": SQUARE, FIRST: SQUARE}
WHOLE = UNET | {"first_stage_model.x": SQUARE, "cond_stage_model.x": LINE}
OTHERS: dict[str, tuple[dict[str, Tensor], str]] = {
    "LoRA of kohya": (
        {"lora_unet_down.lora_up.weight": LINE},
        "is a LoRA: it changes a base model and is not one itself; name the base model that it was made for",
    ),
    "LoRA of diffusers": (
        {"unet.down_blocks.0.to_q.lora.down.weight": LINE},
        "is a LoRA: it changes a base model and is not one itself; name the base model that it was made for",
    ),
    "embedding": (
        {"emb_params": LINE},
        "is an embedding: rows learned on a base model; name the base model, and add the rows as a concept",
    ),
    "embedding of SDXL": (
        {"clip_l": LINE, "clip_g": LINE},
        "is an embedding: rows learned on a base model; name the base model, and add the rows as a concept",
    ),
    "VAE": (
        {"encoder.conv_in.weight": SQUARE, "decoder.conv_in.weight": SQUARE},
        "is a VAE: one part of a base model; name the whole base model",
    ),
    "ControlNet": (
        {"control_model.input_blocks.0.0.weight": SQUARE},
        "is a ControlNet: it steers a base model and is not one itself; name the base model",
    ),
    "UNet alone": (
        UNET,
        "holds a UNet and no text encoder and no VAE; get the whole checkpoint, or a diffusers folder",
    ),
    "inpainting": (
        WHOLE | {FIRST: torch.zeros(8, 9, 3, 3)},
        "is an inpainting model (its UNet takes 9 channels); name the base model that it was made from: every "
        "base model can edit pictures",
    ),
    "instructed": (
        WHOLE | {FIRST: torch.zeros(8, 8, 3, 3)},
        "edits pictures by instruction (its UNet takes 8 channels); name the base model that it was made from",
    ),
    "refiner": (
        UNET | {"first_stage_model.x": SQUARE, "conditioner.embedders.0.model.ln_final.weight": LINE},
        "is SDXL's refiner, which has no first text encoder; name SDXL's base",
    ),
    "something else": (
        {"blocks.0.attention.weight": SQUARE},
        "holds no model.diffusion_model.* tensors: it is not Stable Diffusion 1, 2 or XL in the original layout; name "
        "such a file, or a diffusers folder",
    ),
}


@pytest.mark.parametrize(("tensors", "said"), OTHERS.values(), ids=OTHERS)
def test_a_file_that_is_no_base_model_is_called_what_it_is(
    tmp_path: Path, tensors: dict[str, Tensor], said: str
) -> None:
    file = tmp_path / "model.safetensors"
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, file)
    with pytest.raises(BaseModelError) as caught:
        _load(str(file))
    assert caught.value.message == f"{file} {said}"


def test_an_old_embedding_is_called_one(tmp_path: Path) -> None:
    file = tmp_path / "frog.ckpt"
    torch.save({"string_to_param": {"*": LINE}, "name": "frog"}, file)
    with pytest.raises(BaseModelError, match="is an embedding: rows learned on a base model"):
        _load(str(file))


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_a_file_that_is_cut_off_is_said_to_be(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"model{suffix}"
    if suffix == ".ckpt":
        torch.save({"state_dict": WHOLE}, file)
    else:
        save_file({name: tensor.clone() for name, tensor in WHOLE.items()}, file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(BaseModelError, match=r"is cut off or damaged: .*; get the file again"):
        _load(str(file))


def test_a_pickle_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "model.ckpt"
    torch.save({"state_dict": WHOLE, "callback": print}, file)
    with pytest.raises(BaseModelError, match=r"model\.ckpt would run code when it is loaded, or is damaged: get it as"):
        _load(str(file))
