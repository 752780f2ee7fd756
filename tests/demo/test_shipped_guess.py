"""The guess that ships with the demo base: it is found, small, and better than ranked words on what it has not seen."""

import numpy as np
import pytest

from textinv.demo import GUESS, WEIGHTS
from textinv.demo.concept_pictures import concept_pictures
from textinv.demo.concepts import find_concept
from textinv.guess.guess import network_of, open_guess
from textinv.guess.measuring import HeldOut, measure
from textinv.guess.training import encode_example
from textinv.models import look_up
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import own_encoder
from textinv.registry.guesses import read_guess

NEVER_SEEN = ("tall-crab", "pink-pineapple", "tulip", "guitar", "night-vision-style", "blueprint-style")


def test_it_is_found_in_the_base_models_folder_and_belongs_to_it(emoji: BaseModel) -> None:
    assert look_up(str(WEIGHTS)).guess_file == str(GUESS)
    guess = open_guess(read_guess(GUESS.read_bytes(), str(GUESS)), emoji)
    assert guess.file.record.kinds == ("object", "style")
    assert len(guess.file.data) < 6e6
    found = guess.file.record.held_out
    assert found["is_better"]
    assert found["concepts"] == 40


@pytest.mark.load
def test_it_is_better_than_ranked_words_on_concepts_that_it_has_not_seen(emoji: BaseModel) -> None:
    concepts = []
    for name in NEVER_SEEN:
        concept = find_concept(name)
        shown = [*concept_pictures(concept, "training", 4), *concept_pictures(concept, "evaluation", 2)]
        pictures = [np.asarray(each.image.convert("RGB")) for each in shown]
        captions = [[each.caption] for each in shown]
        example = encode_example(emoji, own_encoder(emoji), concept.kind, pictures, captions)
        concepts.append(HeldOut(name, example, pictures))
    found = measure(emoji, network_of(GUESS.read_bytes()), concepts)
    assert found["better"] > 0.01
