"""The ways of learning that the benchmark compares, each in a process of its own: its time, its memory, its scores."""

import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from train_concepts import pictures_of, works_of
from train_pieces import Row
from train_plain import SAMPLES, STEPS, learn_plainly
from train_scores import score

from textinv.demo import WEIGHTS
from textinv.demo.concepts import DemoConcept
from textinv.embedding import Embedding, import_embedding
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.plan.resolve import BaseFacts
from textinv.training import Work
from textinv.training.train import learn

SCRIPT_SAMPLES = 4


@dataclass(frozen=True)
class Sizes:
    """How much the benchmark does."""

    num_concepts: int
    seeds: tuple[int, ...]
    num_slots: int
    num_inference_steps: int
    plain_learning_rate: float
    num_threads: int


@dataclass(frozen=True)
class Learned:
    """Embeddings in the order of the works, and the sample passes that each took."""

    embeddings: Sequence[Embedding | None]
    sample_passes: Sequence[int]


Method = Callable[[BaseModel, Sequence[Work], Sequence[DemoConcept], Sizes], Learned]


def by_recipe(model: BaseModel, works: Sequence[Work], _concepts: Sequence[DemoConcept], sizes: Sizes) -> Learned:
    """Our packs."""
    done = learn(model, works, num_slots=sizes.num_slots)
    learned = [done.concepts[work.spec.name] for work in works]
    return Learned([one.embedding for one in learned], [one.record["sample_passes"] for one in learned])


def by_plain_loop(model: BaseModel, works: Sequence[Work], _concepts: Sequence[DemoConcept], sizes: Sizes) -> Learned:
    """The honest loop, one concept after the other."""
    embeddings = [learn_plainly(model, work, sizes.plain_learning_rate) for work in works]
    return Learned(embeddings, [STEPS * SAMPLES] * len(works))


def by_word(_model: BaseModel, works: Sequence[Work], _concepts: Sequence[DemoConcept], _sizes: Sizes) -> Learned:
    """No learning: the initializer's word."""
    return Learned([None] * len(works), [0] * len(works))


@dataclass(frozen=True)
class Script:
    """The diffusers example script, one process per concept, at the settings of its README."""

    path: Path
    python: str
    steps: int

    def __call__(
        self, model: BaseModel, works: Sequence[Work], concepts: Sequence[DemoConcept], _sizes: Sizes
    ) -> Learned:
        """Run the script for every concept."""
        with tempfile.TemporaryDirectory() as base:  # in float32, or the script would learn its row in float16
            StableDiffusionPipeline.from_pretrained(WEIGHTS, dtype=torch.float32).save_pretrained(base)
            pairs = zip(works, concepts, strict=True)
            embeddings = [self._one(model, Path(base), work, concept) for work, concept in pairs]
        return Learned(embeddings, [self.steps * SCRIPT_SAMPLES] * len(works))

    def _one(self, model: BaseModel, base: Path, work: Work, concept: DemoConcept) -> Embedding:
        with tempfile.TemporaryDirectory() as folder:
            pictures, output = Path(folder) / "pictures", Path(folder) / "output"
            pictures.mkdir()
            for picture in pictures_of(concept, "training"):
                Image.fromarray(picture.pixels).save(pictures / picture.name)
            subprocess.run(self._command(model, base, work, concept, pictures, output), check=True)
            return import_embedding(output / "learned_embeds.safetensors")

    def _command(
        self, model: BaseModel, base: Path, work: Work, concept: DemoConcept, pictures: Path, output: Path
    ) -> list[str]:
        options: dict[str, Any] = {
            "pretrained_model_name_or_path": base,
            "train_data_dir": pictures,
            "learnable_property": concept.kind,
            "placeholder_token": "<concept>",
            "initializer_token": _single_token(model, concept),
            "resolution": model.native_px,
            "train_batch_size": 1,
            "gradient_accumulation_steps": SCRIPT_SAMPLES,
            "max_train_steps": self.steps,
            "learning_rate": 5e-4,
            "lr_scheduler": "constant",
            "lr_warmup_steps": 0,
            "seed": work.spec.seed,
            "output_dir": output,
            "report_to": "all",
            "scale_lr": None,
        }
        flags = [str(part) for name, value in options.items() for part in (f"--{name}", value) if part is not None]
        return [self.python, str(self.path), *flags]


def _single_token(model: BaseModel, concept: DemoConcept) -> str:
    """The script starts from exactly one token: the last word of the initializer that is one."""
    (encoder,) = model.encoder_names
    words = reversed(["a", *concept.class_word.split(), *concept.initializer.split()])
    return next(word for word in words if len(model.token_rows(encoder, word)) == 1)


def measure(
    method: Method, defaults: Mapping[str, Any], concepts: Sequence[DemoConcept], seed: int, sizes: Sizes
) -> Row:
    """Run a method in a fresh process over some concepts: seconds in all, and the scores of each concept."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(_measure, method, defaults, concepts, seed, sizes).result()


def _measure(
    method: Method, defaults: Mapping[str, Any], concepts: Sequence[DemoConcept], seed: int, sizes: Sizes
) -> Row:
    torch.set_num_threads(sizes.num_threads)
    model = load_base_model(str(WEIGHTS))
    works = works_of(concepts, defaults, seed, BaseFacts(model.revision, model.native_px))
    begun, cpu_begun = time.perf_counter(), _cpu_seconds()
    learned = method(model, works, concepts, sizes)
    seconds, cpu_seconds = time.perf_counter() - begun, _cpu_seconds() - cpu_begun
    memory = _peak_bytes(model)
    return {
        "concepts": len(concepts),
        "sample_passes": fmean(learned.sample_passes),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_memory_bytes": memory,
        "each": score(model, concepts, learned.embeddings, sizes.num_inference_steps),
    }


def _cpu_seconds() -> float:
    """Of this process and its ended children: on a shared machine these say more than the clock."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_bytes(model: BaseModel) -> float:
    if model.device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(model.device))
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return float(max(own, children) * (1 if sys.platform == "darwin" else 1024))
