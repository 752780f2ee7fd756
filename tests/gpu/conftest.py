"""The demo base on the CPU and on the GPU, works for packs of any size, and a base of Stable Diffusion's size."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers

from textinv.demo import WEIGHTS
from textinv.models import BaseModel, load_base_model
from textinv.training import Work

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
FIGURES = Path("build/bench/gpu.json")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip this folder's tests where there is no GPU."""
    if torch.cuda.is_available():
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="there is no GPU"))


@pytest.fixture(scope="session")
def on_cpu() -> BaseModel:
    """The demo base in float32 on the CPU."""
    return load_base_model(str(WEIGHTS), device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def on_gpu() -> BaseModel:
    """The demo base in float32 on the GPU."""
    return load_base_model(str(WEIGHTS), device="cuda", dtype="float32")


@pytest.fixture(scope="session")
def in_bf16() -> BaseModel:
    """The demo base in bfloat16 on the GPU."""
    return load_base_model(str(WEIGHTS), device="cuda", dtype="bfloat16")


@pytest.fixture(scope="session")
def works() -> Callable[[BaseModel, int], list[Work]]:
    """Works for a pack: concepts of the demo world, with seeds of their own."""
    from train_concepts import chosen_concepts, works_of

    from textinv.plan.resolve import BaseFacts

    def make(model: BaseModel, count: int) -> list[Work]:
        concepts = chosen_concepts(8)
        facts = BaseFacts(model.revision, model.native_px)
        made = [works_of([concepts[index % 8]], {"recipe": "fast"}, index // 8, facts)[0] for index in range(count)]
        return [
            Work(work.spec.model_copy(update={"name": f"c{index}"}), work.pictures) for index, work in enumerate(made)
        ]

    return make


def stable_diffusion() -> diffusers.StableDiffusionPipeline:
    """Random weights of Stable Diffusion 1's size, with the demo base's small tokenizer."""
    cross, plain = "CrossAttn", ""
    unet = diffusers.UNet2DConditionModel(
        sample_size=64,
        cross_attention_dim=768,
        block_out_channels=(320, 640, 1280, 1280),
        attention_head_dim=8,
        down_block_types=tuple(f"{kind}DownBlock2D" for kind in (cross, cross, cross, plain)),
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in (plain, cross, cross, cross)),
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )
    sizes = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    return diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=transformers.CLIPTextModel(transformers.CLIPTextConfig(**sizes)),
        tokenizer=transformers.CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer", model_max_length=77),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A base of Stable Diffusion 1's size with random weights, in bfloat16."""
    folder = tmp_path_factory.mktemp("large")
    stable_diffusion().to(torch.bfloat16).save_pretrained(folder)
    return load_base_model(str(folder), device="cuda", dtype="bfloat16")


@pytest.fixture(scope="session")
def figures() -> Iterator[dict[str, Any]]:
    """Figures that the suite measures, written to `build/bench/gpu.json` at its end."""
    found: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    yield found
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(json.dumps(found, indent=2))
    print(json.dumps(found, indent=2))
