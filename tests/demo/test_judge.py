"""The judge knows what no part of the base has seen, and tells concepts apart."""

from statistics import mean

import numpy as np

from textinv.demo.concept_pictures import concept_pictures
from textinv.demo.concepts import DemoConcept, Tier, concepts_of, find_concept
from textinv.demo.judge import JUDGE, concept_truth, scene_truth, score, shows
from textinv.evaluation.classifier import load_classifier
from textinv.evaluation.judge import Pixels


def pixels_of(concept: DemoConcept) -> Pixels:
    return np.stack([np.asarray(picture.image) for picture in concept_pictures(concept, "evaluation", 8)])


def mean_shown(tier: Tier) -> float:
    return mean(shows(load_classifier(JUDGE), concept, pixels_of(concept)) for concept in concepts_of(tier))


def test_most_pictures_of_held_out_objects_and_styles_are_recognised() -> None:
    assert mean_shown("held-out-object") > 0.8
    assert mean_shown("held-out-style") > 0.8


def test_pictures_score_higher_for_their_own_concept_than_for_others() -> None:
    concepts, judge = concepts_of("held-out-object"), load_classifier(JUDGE)
    for concept in concepts:
        pictures = pixels_of(concept)
        own = score(judge, concept, pictures)
        assert all(own > score(judge, other, pictures) for other in concepts if other is not concept)


def test_the_truth_of_a_scene_leaves_out_what_an_effect_hides() -> None:
    plain, drawn_through = (
        concept_pictures(find_concept(name), "evaluation", 1)[0].scene for name in ("dotty-fox", "thermal-style")
    )
    assert scene_truth(plain)["pattern"] == "dotted"
    assert scene_truth(drawn_through).keys() == {"object", "effect", "count"}
    assert concept_truth(find_concept("dotty-fox")) == {"object": "fox", "hue": "teal", "pattern": "dotted"}


def test_the_judge_is_small() -> None:
    assert sum(path.stat().st_size for path in JUDGE.iterdir()) < 2_000_000
