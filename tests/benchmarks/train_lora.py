"""`make bench-lora`: Textual Inversion or LoRA? Both on the same pictures, at equal sample passes.

LoRA: rank 4 on the UNet's attention (peft), the class word in its captions, AdamW. Columns: fidelity and editability as
in the training benchmark; composition: mean fidelity to both concepts of "A and B" drawn with both at once; bytes per
concept; seconds to learn; and serving: seconds to draw for two different concepts, which embeddings share in one batch
and adapters cannot. Prints a table and writes `build/bench/lora.json`.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from torch import Tensor
from train_concepts import chosen_concepts, pictures_of, works_of
from train_scores import CONCEPT, EDITS, NUM_IMAGES

from textinv.demo import WEIGHTS
from textinv.demo.concept_pictures import prompt_for
from textinv.demo.concepts import DemoConcept
from textinv.embedding import Embedding
from textinv.evaluation import own_encoder
from textinv.evaluation.scores import all_pairs, matched
from textinv.generation.draw import generate_all
from textinv.generation.request import GenerateRequest
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.plan.resolve import BaseFacts
from textinv.training import Work
from textinv.training.captions import tokenize_texts
from textinv.training.latents import encode_work
from textinv.training.streams import Choices, draw
from textinv.training.train import learn

RANK, LEARNING_RATE, SAMPLES = 4, 1e-3, 4
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Taught:
    """A concept in one of both ways: the word that asks for it, and what has to be stored."""

    concept: DemoConcept
    word: str
    embedding: Embedding | None
    num_bytes: int
    seconds: float


class Adapters:
    """LoRA adapters on a base model's UNet, one per concept, switched between requests."""

    def __init__(self, model: BaseModel) -> None:
        self.model = model
        self._unet: Any = vars(model)["_network"]

    def teach(self, concept: DemoConcept, work: Work, sample_passes: int) -> Taught:
        """Learn one adapter."""
        begun = time.perf_counter()
        config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
        inject_adapter_in_model(config, self._unet, adapter_name=work.spec.name)
        self.use([work.spec.name])
        weights = [tensor for name, tensor in self._unet.named_parameters() if f".{work.spec.name}." in name]
        for weight in weights:
            weight.requires_grad_()
        optimizer = torch.optim.AdamW(weights, lr=LEARNING_RATE)
        for loss in self._losses(concept, work, sample_passes // SAMPLES):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds = time.perf_counter() - begun
        self._unet.requires_grad_(False)
        state = get_peft_model_state_dict(self._unet, adapter_name=work.spec.name)
        size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
        return Taught(concept, concept.class_word, None, size, seconds)

    def _losses(self, concept: DemoConcept, work: Work, steps: int) -> Any:
        model, spec = self.model, work.spec
        latents = encode_work(model, work)
        texts = [template.replace("{}", concept.class_word) for template in spec.templates]
        encoded = model.encode_text(tokenize_texts(model, texts), {})
        choices = Choices(latents.num_pictures, len(texts), (0, 1000), model.process, False, latents.shape)
        for step in range(steps):
            drawn = draw(spec.seed, step, SAMPLES, choices)
            (size,) = set(latents.latent_sizes_M)
            mean, std, noises = (
                each.unflatten(-1, size)
                for each in (
                    latents.mean_MCA[drawn.pictures_B],
                    latents.std_MCA[drawn.pictures_B],
                    torch.from_numpy(drawn.noises_2BCA),
                )
            )
            latent_noise, noise = noises.to(mean)
            clean, timesteps = mean + std * latent_noise, torch.from_numpy(drawn.timesteps_B).to(model.device)
            captions = torch.from_numpy(drawn.captions_B)
            predicted = model.predict(model.process.noised(clean, noise, timesteps), timesteps, encoded.index(captions))
            target: Tensor = model.process.target(clean, noise, timesteps)
            yield torch.nn.functional.mse_loss(predicted, target)

    def use(self, names: Sequence[str]) -> None:
        """Switch to the adapters of these concepts, or to none."""
        for module in self._unet.modules():
            if hasattr(module, "set_adapter") and hasattr(module, "lora_A"):
                module.enable_adapters(bool(names))
                if names:
                    module.set_adapter(list(names))


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concepts", type=int, default=8, help="an even number: they are composed two by two")
    parser.add_argument("--sample-passes", type=int, default=480)
    parser.add_argument("--inference-steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, default=Path("build/bench/lora.json"))
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    concepts = chosen_concepts(args.concepts)
    rows = {
        "embedding": _embeddings(concepts, args.sample_passes, args.inference_steps),
        "LoRA": _adapters(concepts, args.sample_passes, args.inference_steps),
    }
    for name, row in rows.items():
        print(f"{name:10}" + "".join(f"  {column} {value:.4g}" for column, value in row.items()))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(_report(rows, args), indent=2))
    print(f"written to {args.output}")
    return 0


def _embeddings(concepts: Sequence[DemoConcept], sample_passes: int, steps: int) -> dict[str, float]:
    model, works = _base_and_works(concepts, sample_passes)
    begun = time.perf_counter()
    done = learn(model, works, num_slots=len(works))
    seconds = (time.perf_counter() - begun) / len(works)
    taught = [
        Taught(concept, CONCEPT.placeholder, one.embedding, len(one.embedding.to_bytes()), seconds)
        for concept, one in zip(concepts, (done.concepts[work.spec.name] for work in works), strict=True)
    ]
    drawn = _draw(model, [(_prompts(one), [one]) for one in taught], steps)
    pairs = list(zip(taught[::2], taught[1::2], strict=False))
    both = _draw(model, [([_together(*pair)], pair) for pair in pairs], steps)
    begun = time.perf_counter()
    _draw(model, [([_prompts(one)[0]], [one]) for one in taught[:2]], steps)
    serving = time.perf_counter() - begun
    return _scores(model, taught, drawn, pairs, [images[0] for images in both], serving)


def _adapters(concepts: Sequence[DemoConcept], sample_passes: int, steps: int) -> dict[str, float]:
    model, works = _base_and_works(concepts, sample_passes)
    adapters = Adapters(model)
    taught = [adapters.teach(concept, work, sample_passes) for concept, work in zip(concepts, works, strict=True)]
    names = [work.spec.name for work in works]

    def draw_with(used: Sequence[str], prompts: Sequence[str]) -> list[list[Pixels]]:
        adapters.use(used)
        return _draw(model, [(prompts, [])], steps)[0]

    drawn = [draw_with([name], _prompts(one)) for name, one in zip(names, taught, strict=True)]
    pairs = list(zip(taught[::2], taught[1::2], strict=False))
    both = [draw_with(names[2 * place : 2 * place + 2], [_together(*pair)])[0] for place, pair in enumerate(pairs)]
    begun = time.perf_counter()
    for name, one in list(zip(names, taught, strict=True))[:2]:
        draw_with([name], [_prompts(one)[0]])
    serving = time.perf_counter() - begun
    adapters.use([])
    return _scores(model, taught, drawn, pairs, both, serving)


def _base_and_works(concepts: Sequence[DemoConcept], sample_passes: int) -> tuple[BaseModel, list[Work]]:
    model = load_base_model(str(WEIGHTS))
    steps = sample_passes // SAMPLES
    fields = {"max_steps": steps, "min_steps": min(20, steps), "stop": "fixed", "samples_per_step": SAMPLES}
    return model, works_of(concepts, fields, 0, BaseFacts(model.revision, model.native_px))


def _prompts(taught: Taught) -> list[str]:
    backgrounds = [None, *EDITS]
    return [prompt_for(taught.concept, taught.word, background=background) for background in backgrounds]


def _together(first: Taught, second: Taught) -> str:
    words = ("<first>", "<second>") if first.embedding else (first.word, second.word)
    return f"a {words[0]} and a {words[1]}"


def _draw(
    model: BaseModel, asked: Sequence[tuple[Sequence[str], Sequence[Taught]]], steps: int
) -> list[list[list[Pixels]]]:
    """Pictures per entry and prompt; an entry's concepts are mounted as the concept, or as the first and the second."""
    requests, counts = [], []
    for prompts, mounted in asked:
        names = [CONCEPT] if len(mounted) == 1 else [ConceptRef("first"), ConceptRef("second")]
        mounts = {ref: one.embedding for ref, one in zip(names, mounted, strict=False) if one.embedding}
        counts.append(len(prompts))
        requests += [
            (GenerateRequest(text, num_images=NUM_IMAGES, num_inference_steps=steps), mounts) for text in prompts
        ]
    images = iter(generate_all(model, requests, max_batch=32))
    return [[[image.pixels for image in next(images)] for _ in range(count)] for count in counts]


def _scores(
    model: BaseModel,
    taught: Sequence[Taught],
    drawn: Sequence[Sequence[Sequence[Pixels]]],
    pairs: Sequence[tuple[Taught, Taught]],
    both: Sequence[Sequence[Pixels]],
    serving_s: float,
) -> dict[str, float]:
    encoder = own_encoder(model)
    real = {one.concept.name: _real(model, one) for one in taught}
    fidelity = [
        all_pairs(encoder.pictures(images[0]), real[one.concept.name])
        for one, images in zip(taught, drawn, strict=True)
    ]
    editability = []
    for one, images in zip(taught, drawn, strict=True):
        said = [prompt_for(one.concept, one.concept.class_word, background=colour) for colour in EDITS]
        shown = [pixels for group in images[1:] for pixels in group]
        texts = encoder.prompts([text for text in said for _ in range(NUM_IMAGES)])
        editability.append(matched(encoder.pictures(shown), texts))
    composition = [
        all_pairs(encoder.pictures(images), real[one.concept.name])
        for pair, images in zip(pairs, both, strict=True)
        for one in pair
    ]
    return {
        "fidelity": fmean(fidelity),
        "editability": fmean(editability),
        "composition": fmean(composition),
        "bytes": fmean(one.num_bytes for one in taught),
        "seconds": fmean(one.seconds for one in taught),
        "serving two concepts, s": serving_s,
    }


def _real(model: BaseModel, taught: Taught) -> Tensor:
    return own_encoder(model).pictures([picture.pixels for picture in pictures_of(taught.concept, "evaluation")])


def _report(rows: Mapping[str, Mapping[str, float]], args: argparse.Namespace) -> dict[str, Any]:
    units = {"bytes": "B", "seconds": "s", "serving two concepts, s": "s"}
    ours, anchor = rows["embedding"], rows["LoRA"]
    measures = [
        {
            "measure": f"{name}, embedding against LoRA",
            "ours": ours[name],
            "anchor": anchor[name],
            "ratio": ours[name] / anchor[name] if anchor[name] else None,
            "unit": units.get(name, "score"),
        }
        for name in ours
    ]
    sizes = {name: value for name, value in vars(args).items() if name != "output"}
    return {"measures": measures, "rows": rows, "sizes": sizes}


if __name__ == "__main__":
    sys.exit(main())
