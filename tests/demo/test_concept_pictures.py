"""What concept pictures promise: nothing the base has seen, nothing shared between training and evaluation."""

import numpy as np
import pytest

from textinv.demo.artwork import SPRITES, default_world, demo_sprites
from textinv.demo.concept_pictures import PURPOSES, concept_pictures, prompt_for
from textinv.demo.concepts import CONCEPTS, TIERS, DemoConcept, concepts_of, find_concept
from textinv.demo.held_out_styles import HELD_OUT_EFFECTS
from textinv.demo.icons import HELD_OUT_OBJECTS, HELD_OUT_STYLE, OBJECTS, UNET_STYLES
from textinv.demo.world import HUE_WORDS, hue_word, rotate_hue


@pytest.fixture(params=CONCEPTS, ids=lambda concept: concept.name)
def concept(request: pytest.FixtureRequest) -> DemoConcept:
    found: DemoConcept = request.param
    return found


def test_every_tier_has_at_least_twelve_concepts_with_unique_names() -> None:
    assert all(len(concepts_of(tier)) >= 12 for tier in TIERS)
    assert len({concept.name for concept in CONCEPTS}) == len(CONCEPTS)


def test_the_shipped_sprites_are_small_and_complete() -> None:
    assert SPRITES.stat().st_size <= 3_300_000
    assert {(style, name) for style in UNET_STYLES for name in OBJECTS} <= set(demo_sprites())


def test_the_trained_world_holds_nothing_that_is_held_out() -> None:
    world = default_world()
    assert not set(world.objects) & set(HELD_OUT_OBJECTS)
    assert HELD_OUT_STYLE not in world.styles
    assert not set(world.effects) & set(HELD_OUT_EFFECTS)


def test_a_concept_is_outside_of_what_the_base_was_taught(concept: DemoConcept) -> None:
    thing = concept.things[0]
    seen = thing.object in OBJECTS and thing.style in UNET_STYLES and concept.effect is None
    plain = not thing.hue_deg and thing.pattern is None and thing.stretch == 1
    assert not (seen and plain)
    assert (concept.effect in HELD_OUT_EFFECTS) == (concept.tier == "held-out-style" and concept.effect is not None)


def test_training_and_evaluation_pictures_share_no_composition(concept: DemoConcept) -> None:
    training, evaluation = (concept_pictures(concept, purpose, 8) for purpose in PURPOSES)
    assert not {picture.scene for picture in training} & {picture.scene for picture in evaluation}
    if concept.kind == "style":
        shown = [{picture.scene.things[0].object for picture in pictures} for pictures in (training, evaluation)]
        assert not shown[0] & shown[1]


def test_pictures_depend_on_seed_and_place_alone() -> None:
    concept = find_concept("dotty-fox")
    few, many = concept_pictures(concept, "training", 2), concept_pictures(concept, "training", 6)
    assert [np.asarray(p.image).tobytes() for p in few] == [np.asarray(p.image).tobytes() for p in many[:2]]
    other = concept_pictures(concept, "training", 2, seed=1)
    assert [p.scene for p in few] != [p.scene for p in other]


def test_the_described_hue_of_a_particular_thing_is_its_own(concept: DemoConcept) -> None:
    if concept.tier != "particular-thing" or not concept.things[0].hue_deg:
        return
    thing = concept.things[0]
    rgba = demo_sprites()[thing.style, thing.object].astype(np.float32)
    rgba[..., :3] = rotate_hue(rgba[..., :3], thing.hue_deg)
    if (word := hue_word(rgba)) is not None:
        described = concept.description.split(" noto ")[0].split(" fluent ")[0].split(" twitter ")[0].split()
        assert word == [hue for hue in described if hue in dict(HUE_WORDS)][-1]


def test_captions_say_what_the_base_can_see_and_leave_the_concept_open() -> None:
    caption = concept_pictures(find_concept("cherries"), "training", 2)[1].caption
    assert caption == "a {} on a gray background"
    assert (
        prompt_for(find_concept("thermal-style"), "<x>", background="red") == "a fox in <x> style on a red background"
    )
