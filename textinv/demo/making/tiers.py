"""Prove Textual Inversion on a demo base: teach concepts of every tier, compare the learned words with plain ones.

For each concept the learned word, the plain word for what it is (what a person would start from: its initializer word;
the learned one starts from what `init: auto` finds) and the best plain description draw the same prompts from the same
seeds. Pictures of the concept that were not trained on are the measure of CLIP-I; the judge, which no training
saw, says how plainly the truth is there; "on a red background" must still turn the background red. Writes `tiers.json`
and `tiers.png`.

    python -m textinv.demo.making.tiers --out FOLDER [--base NAME] [--per-tier N] [--recipe NAME]

Legend: R real pictures, G drawn pictures, F features.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from textinv.demo.concept_pictures import concept_pictures, prompt_for, write_pictures
from textinv.demo.concepts import TIERS, DemoConcept, concepts_of
from textinv.demo.judge import JUDGE, score, shows
from textinv.demo.making.drawing import Pixels
from textinv.demo.making.drawing_figures import background_of
from textinv.demo.sheet import PictureGroup, SheetRow, contact_sheet
from textinv.embedding import Embedding
from textinv.evaluation.classifier import load_classifier
from textinv.evaluation.judge import Judge
from textinv.evaluation.scores import all_pairs, within
from textinv.generation.draw import generate_all
from textinv.generation.request import GenerateRequest
from textinv.guess.guess import work_of
from textinv.manifest.load import load_manifest
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import own_encoder
from textinv.placeholders import ConceptRef
from textinv.plan import make_plan
from textinv.training.train import learn

WAYS = ("learned", "initializer", "description")
"""The ways to ask for a concept, each in its own words."""
REAL = "real"
"""Scored beside them: the evaluation pictures themselves, which show how far each measure can be trusted."""
NUM_TRAINING = 4
"""Pictures that a concept is taught by."""
NUM_DRAWN = 12
"""Of a concept in each way and on each background, and so many other pictures to compare with."""
SEED = 1000


@dataclass(frozen=True)
class Drawn:
    """What one way of asking drew for one concept."""

    plain: Pixels
    on_red: Pixels


def teach(
    model: BaseModel, concepts: Sequence[DemoConcept], base: str, recipe: str, folder: Path
) -> dict[str, Embedding]:
    """Learn concepts from a manifest written into `folder`; returns their embeddings by name."""
    entries = []
    for concept in concepts:
        write_pictures(concept_pictures(concept, "training", NUM_TRAINING), folder / "pictures" / concept.name)
        entry = {"name": concept.name, "kind": concept.kind, "images": f"pictures/{concept.name}"}
        entries.append({**entry, "class_word": concept.class_word})
    manifest = folder / "tiers.yaml"
    defaults = {"recipe": recipe, "init": "auto"}
    manifest.write_text(json.dumps({"base_model": base, "defaults": defaults, "concepts": entries}, indent=2))
    plan = make_plan(load_manifest(manifest))
    works = [work_of(plan, planned.spec) for planned in plan.specs]
    learned = learn(model, works)
    for name, error in learned.errors.items():
        raise RuntimeError(f"{name} could not be learned") from error
    return {name: concept.embedding for name, concept in learned.concepts.items()}


def draw_concepts(
    model: BaseModel, concepts: Sequence[DemoConcept], embeddings: Mapping[str, Embedding]
) -> dict[str, dict[str, Drawn]]:
    """Draw every concept in every way; by name, then by way."""
    requests = []
    for concept in concepts:
        mounts = {ConceptRef(concept.name): embeddings[concept.name]}
        for way in WAYS:
            for background in ("white", "red"):
                prompts = prompts_for(concept, way, background)
                requests += [(GenerateRequest(prompt, seed=SEED + i), mounts) for i, prompt in enumerate(prompts)]
    images = iter(generate_all(model, requests))

    def take() -> Pixels:
        return np.stack([next(images)[0].pixels for _ in range(NUM_DRAWN)])

    return {concept.name: {way: Drawn(take(), take()) for way in WAYS} for concept in concepts}


def prompts_for(concept: DemoConcept, way: str, background: str) -> list[str]:
    """Prompts that ask for a concept; a style is asked for on the things of its evaluation pictures."""
    word = {"learned": f"<{concept.name}>", "initializer": concept.initializer, "description": concept.description}[way]
    shown = [picture.scene.things[0].object for picture in concept_pictures(concept, "evaluation", NUM_DRAWN)]
    said = None if concept.effect else background
    return [prompt_for(concept, word, subject=name.replace("-", " "), background=said) for name in shown]


def compare(model: BaseModel, judge: Judge, concept: DemoConcept, drawn: Mapping[str, Drawn]) -> dict[str, Any]:
    """Score every way of asking for one concept, and the real pictures."""
    encoder = own_encoder(model)
    real = np.stack([np.asarray(picture.image) for picture in concept_pictures(concept, "evaluation", NUM_DRAWN)])
    real_RF = encoder.pictures(list(real))
    scores = {REAL: {"clip_i": within(real_RF) or 0.0, "judge": score(judge, concept, real)}}
    scores[REAL]["judge_shows"] = shows(judge, concept, real)
    for way, pictures in drawn.items():
        scores[way] = {
            "clip_i": all_pairs(encoder.pictures(list(pictures.plain)), real_RF),
            "judge": score(judge, concept, pictures.plain),
            "judge_shows": shows(judge, concept, pictures.plain),
        }
        if not concept.effect:  # an effect recolours backgrounds
            scores[way]["red_background"] = float(np.mean([background_of(each) == "red" for each in pictures.on_red]))
    return {"name": concept.name, "tier": concept.tier, **scores}


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means by tier and way, and in how many concepts the learned word wins against both others."""
    tiers: dict[str, Any] = {}
    for tier in dict.fromkeys(row["tier"] for row in rows):
        mine = [row for row in rows if row["tier"] == tier]
        means = {way: _means([row[way] for row in mine]) for way in (*WAYS, REAL)}
        wins = {
            measure: float(
                np.mean([row["learned"][measure] > max(row[way][measure] for way in WAYS[1:]) for row in mine])
            )
            for measure in ("clip_i", "judge")
        }
        tiers[tier] = {"concepts": len(mine), **means, "learned_wins": wins}
    return tiers


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in scores for name in row)
    return {name: round(float(np.mean([row[name] for row in scores if name in row])), 4) for name in names}


def tiers_sheet(concepts: Sequence[DemoConcept], drawn: Mapping[str, Mapping[str, Drawn]]) -> Image.Image:
    """Training pictures beside what every way of asking drew."""

    def group(concept: DemoConcept, way: str) -> PictureGroup:
        shown = [
            Image.fromarray(pixels)
            for pixels in (*drawn[concept.name][way].plain[:2], drawn[concept.name][way].on_red[0])
        ]
        asked = [*prompts_for(concept, way, "white")[:2], prompts_for(concept, way, "red")[0]]
        return PictureGroup(way, list(zip(shown, asked, strict=True)))

    rows = []
    for concept in concepts:
        trained = [(picture.image, "") for picture in concept_pictures(concept, "training", 3)]
        rows.append(
            SheetRow(f"<{concept.name}>", [PictureGroup("training", trained), *(group(concept, way) for way in WAYS)])
        )
    return contact_sheet(rows)


def prove(
    model: BaseModel, judge: Judge, concepts: Sequence[DemoConcept], base: str, recipe: str, out: Path
) -> dict[str, Any]:
    """Teach, draw, compare; write the result and a sheet into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    embeddings = teach(model, concepts, base, recipe, out)
    taught_s = time.monotonic() - started
    drawn = draw_concepts(model, concepts, embeddings)
    rows = [compare(model, judge, concept, drawn[concept.name]) for concept in concepts]
    facts = {"recipe": recipe, "drawn": NUM_DRAWN, "base_revision": model.revision, "teaching_s": round(taught_s)}
    result = {"tiers": summary(rows), "concepts": rows, **facts}
    (out / "tiers.json").write_text(json.dumps(result, indent=2) + "\n")
    tiers_sheet(concepts, drawn).save(out / "tiers.png")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default="emoji", help="base model: an alias or a folder")
    parser.add_argument("--per-tier", type=int, default=12)
    parser.add_argument("--recipe", default="balanced")
    parser.add_argument("--judge", type=Path, default=JUDGE)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    concepts = [concept for tier in TIERS for concept in concepts_of(tier)[: arguments.per_tier]]
    model = load_base_model(arguments.base)
    result = prove(model, load_classifier(arguments.judge), concepts, arguments.base, arguments.recipe, arguments.out)
    print(json.dumps(result["tiers"], indent=2))


if __name__ == "__main__":
    main()
