"""Does a guess help? Concepts of the demo world, learned for a few steps from the guess and from ranked words.

None of them was in what the guess was trained on. Each piece (where rows start, steps, tier, seed) is measured once and
kept in the folder, so that a run goes on where it was left off, and another guess is compared with the same words.
Scores of each concept: the loss on pictures that were not taught with, CLIP-I with them (in the CLIP that the guess
sees through, too: read with care), and the judge, which nothing here was trained against. Differences are paired by
concept and seed, with the bounds of 95 of 100 draws.

    python tests/benchmarks/guess.py --base FOLDER [--concepts N] [--steps N ...] [--seeds N] [--tiers TIER ...]
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from textinv.demo.concept_pictures import concept_pictures, prompt_for, write_pictures
from textinv.demo.concepts import TIERS, DemoConcept, concepts_of
from textinv.demo.judge import JUDGE, score
from textinv.embedding import Embedding
from textinv.evaluation.classifier import load_classifier
from textinv.evaluation.scores import all_pairs
from textinv.generation.draw import generate_all
from textinv.generation.request import GenerateRequest
from textinv.guess.guess import work_of
from textinv.guess.measuring import HeldOut, loss_on_unseen
from textinv.guess.training import encode_example
from textinv.manifest.load import load_manifest
from textinv.models import load_base_model, look_up
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import own_encoder
from textinv.placeholders import ConceptRef
from textinv.plan import make_plan
from textinv.plan.resolve import base_facts
from textinv.registry.guesses import read_guess
from textinv.settings import Settings
from textinv.training.train import learn

STARTS = {"guess": "guess", "words": "auto"}
"""What `init` says; ranked words alone are had by planning as if the base model had no guess."""
SCORES = ("loss", "clip_i", "judge")
NUM_TAUGHT, NUM_UNSEEN, NUM_DRAWN = 4, 4, 4
Scores = Mapping[str, Mapping[str, float]]


def learned(
    model: BaseModel, concepts: Sequence[DemoConcept], start: str, steps: int, seed: int
) -> tuple[Mapping[str, Embedding], float]:
    """Learn concepts for so many steps; their embeddings, and seconds of the CPU for each."""
    fields = {"recipe": "fast", "num_vectors": 4, "evaluate": False, "seed": seed, "init": STARTS[start]}
    steps_of = {"max_steps": steps, "min_steps": steps, "stop": "fixed"} if steps else {"recipe": "instant"}
    with tempfile.TemporaryDirectory() as folder:
        entries = []
        for concept in concepts:
            write_pictures(concept_pictures(concept, "training", NUM_TAUGHT), Path(folder) / concept.name)
            entry = {"name": concept.name, "kind": concept.kind, "class_word": concept.class_word}
            entries.append({**entry, "images": concept.name})
        path = Path(folder) / "manifest.json"
        path.write_text(json.dumps({"base_model": model.id, "defaults": fields | steps_of, "concepts": entries}))
        manifest = load_manifest(path)
        facts = base_facts(manifest, Settings())
        plan = make_plan(manifest, base=facts if start == "guess" else replace(facts, guess_file=""))
        works = [work_of(plan, planned.spec) for planned in plan.specs]
    begun = time.process_time()
    found = learn(model, works, num_slots=8)
    assert found.errors == {}
    seconds = (time.process_time() - begun) / len(concepts)
    return {name: one.embedding for name, one in found.concepts.items()}, seconds


def taught_and_unseen(model: BaseModel, concept: DemoConcept) -> HeldOut:
    """The pictures that a concept is taught with and as many that it is not, with their captions."""
    taught = concept_pictures(concept, "training", NUM_TAUGHT)
    shown = [*taught, *concept_pictures(concept, "evaluation", NUM_UNSEEN)]
    pictures = [np.asarray(each.image.convert("RGB"), np.uint8) for each in shown]
    captions = [[each.caption] for each in shown]
    return HeldOut(concept.name, encode_example(model, own_encoder(model), concept.kind, pictures, captions), pictures)


def scores_of(model: BaseModel, concept: DemoConcept, embedding: Embedding) -> dict[str, float]:
    """The scores of a concept that was learned."""
    encoder, judge = own_encoder(model), load_classifier(JUDGE)
    unseen = concept_pictures(concept, "evaluation", NUM_UNSEEN)
    held_out = taught_and_unseen(model, concept)
    requests = [
        GenerateRequest(_prompt(concept, each.scene.things[0].object), seed=100 + at, num_inference_steps=12)
        for at, each in enumerate(unseen[:NUM_DRAWN])
    ]
    mounts = {ConceptRef(concept.name): embedding}
    drawn = [images[0].pixels for images in generate_all(model, [(request, mounts) for request in requests])]
    return {
        "loss": loss_on_unseen(model, held_out, embedding.rows),
        "clip_i": float(all_pairs(encoder.pictures(drawn), encoder.pictures(held_out.pictures[NUM_TAUGHT:]))),
        "judge": score(judge, concept, np.stack(drawn)),
    }


def _prompt(concept: DemoConcept, subject: str) -> str:
    background = None if concept.effect else "white"
    return prompt_for(concept, f"<{concept.name}>", subject=subject.replace("-", " "), background=background)


def piece(model: BaseModel, out: Path, tier: str, start: str, steps: int, seed: int, count: int) -> Scores:
    """Scores by concept of one piece, measured where the folder does not have them; `words` serves for every guess."""
    folder = out if start == "guess" else out.parent / start
    file = folder / f"{tier}-{count}-{start}-{steps}-{seed}.json"
    if not file.is_file():
        concepts = [concept for name in TIERS if name == tier for concept in concepts_of(name)[:count]]
        embeddings, seconds = learned(model, concepts, start, steps, seed)
        scores = {one.name: scores_of(model, one, embeddings[one.name]) for one in concepts}
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"seconds": round(seconds, 2), "scores": scores}))
    found: Scores = json.loads(file.read_text())["scores"]
    return found


def bounds(differences: Sequence[float]) -> tuple[float, float]:
    """Where the mean of differences lies in 95 of 100 draws of the pairs."""
    values = np.asarray(differences)
    means = values[np.random.default_rng(0).integers(len(values), size=(4000, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concepts", type=int, default=12, help="of each tier, the first ones")
    parser.add_argument("--steps", type=int, nargs="*", default=[0, 20, 60])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tiers", nargs="*", default=list(TIERS), choices=list(TIERS))
    parser.add_argument("--base", default="emoji", help="a folder like the demo base's, with a guess in it")
    parser.add_argument("--out", type=Path, default=Path("build/bench-guess"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_base_model(args.base, device="cpu", dtype="float32")
    file = look_up(args.base).guess_file
    if not file:
        sys.exit(f"{args.base} has no guess in its folder: name a copy of the demo base's folder with one beside")
    out = args.out / read_guess(Path(file).read_bytes(), file).digest[:12]
    print("| tier | steps | concepts x seeds | score | guess | words | guess - words |\n|---|--:|--:|---|--:|--:|---|")
    for tier in args.tiers:
        for steps in args.steps:
            ways = {
                start: [piece(model, out, tier, start, steps, seed, args.concepts) for seed in range(args.seeds)]
                for start in STARTS
            }
            for name in SCORES:
                guess, words = ([one[name] for each in ways[start] for one in each.values()] for start in STARTS)
                low, high = bounds([a - b for a, b in zip(guess, words, strict=True)])
                means = f"{np.mean(guess):.3f} | {np.mean(words):.3f} | {low:+.3f} to {high:+.3f}"
                print(f"| {tier} | {steps} | {len(guess)} | {name} | {means} |", flush=True)


if __name__ == "__main__":
    main()
