"""How good learned concepts of the demo world are: CLIP's opinion, and that of a judge that no recipe sees."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
from guess import taught_and_unseen
from numpy.typing import NDArray
from train_concepts import pictures_of

from textinv.demo.concept_pictures import prompt_for
from textinv.demo.concepts import DemoConcept
from textinv.demo.judge import JUDGE
from textinv.demo.judge import score as judge_score
from textinv.embedding import Embedding
from textinv.evaluation import own_encoder
from textinv.evaluation.classifier import load_classifier
from textinv.evaluation.scores import all_pairs, matched, norm_ratio
from textinv.generation.draw import generate_all
from textinv.generation.request import GenerateRequest
from textinv.guess.measuring import loss_on_unseen
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef

NUM_IMAGES = 4
EDITS = ("red", "black")
"""Backgrounds that no training picture has."""
CONCEPT = ConceptRef("concept")


def score(
    model: BaseModel, concepts: Sequence[DemoConcept], embeddings: Sequence[Embedding | None], num_inference_steps: int
) -> list[dict[str, float]]:
    """Scores of every concept; an embedding of None draws the initializer's word instead."""
    pairs = list(zip(concepts, embeddings, strict=True))
    asked = [text for concept, embedding in pairs for text in _prompts(concept, _word(concept, embedding))]
    mounts = [{CONCEPT: e} if e else {} for _, e in pairs for _ in range(1 + len(EDITS))]
    requests = [
        GenerateRequest(prompt=text, num_images=NUM_IMAGES, num_inference_steps=num_inference_steps) for text in asked
    ]
    drawn = generate_all(model, list(zip(requests, mounts, strict=True)), max_batch=32)
    pixels = [[image.pixels for image in images] for images in drawn]
    per = 1 + len(EDITS)
    return [_scores(model, c, e, pixels[k * per : (k + 1) * per]) for k, (c, e) in enumerate(pairs)]


def _word(concept: DemoConcept, embedding: Embedding | None) -> str:
    return CONCEPT.placeholder if embedding else concept.initializer


def _prompts(concept: DemoConcept, word: str) -> list[str]:
    return [prompt_for(concept, word)] + [prompt_for(concept, word, background=colour) for colour in EDITS]


def _scores(
    model: BaseModel, concept: DemoConcept, embedding: Embedding | None, drawn: Sequence[Sequence[NDArray[np.uint8]]]
) -> dict[str, float]:
    encoder = own_encoder(model)
    real = encoder.pictures([picture.pixels for picture in pictures_of(concept, "evaluation")])
    edits = [pixels for group in drawn[1:] for pixels in group]
    said = [text for text in _prompts(concept, concept.class_word)[1:] for _ in range(NUM_IMAGES)]
    found = {
        "fidelity": all_pairs(encoder.pictures(drawn[0]), real),
        "editability": matched(encoder.pictures(edits), encoder.prompts(said)),
    }
    judge = load_classifier(JUDGE)
    found["judge"] = judge_score(judge, concept, np.stack(drawn[0]))
    right = [colour for colour in EDITS for _ in range(NUM_IMAGES)]
    seen = zip(judge.look(np.stack(edits)), right, strict=True)
    found["judge_editability"] = fmean(one.probability("background", colour) for one, colour in seen)
    if embedding:
        found["loss"] = loss_on_unseen(model, taught_and_unseen(model, concept), embedding.rows)
        (name,) = model.encoder_names
        found["norm_ratio"] = norm_ratio(embedding.rows[name], model.vocabulary(name))
    return found
