"""Groups of the wider world share one thing or one look, their captions are true, and what is held out stays out."""

import random
import re
from functools import cache

import numpy as np

from textinv.demo.artwork import demo_sprites
from textinv.demo.held_out_styles import HELD_OUT_EFFECTS
from textinv.demo.icons import HELD_OUT_OBJECTS, HELD_OUT_STYLE, OBJECTS
from textinv.demo.making.drawing_figures import background_of
from textinv.demo.making.wide_world import GROUP, LOOK, MADE, PLAIN, THING, Shown, wide_world
from textinv.demo.world import COLOURS

_BACKGROUND = re.compile(r"on an? (\w+) background")


@cache
def groups() -> list[tuple[str, list[Shown]]]:
    world, rng = wide_world(demo_sprites()), random.Random("groups")
    return [world.group(rng) for _ in range(60)]


def of_kind(kind: str) -> list[list[Shown]]:
    return [shown for found, shown in groups() if found == kind]


def test_all_kinds_of_groups_are_composed_of_as_many_pictures() -> None:
    assert {kind for kind, _ in groups()} == {PLAIN, THING, LOOK}
    assert {len(shown) for _, shown in groups()} == {GROUP}


def test_a_group_is_a_function_of_its_seed() -> None:
    world = wide_world(demo_sprites())
    (first, shown), (again, same), (_, other) = (world.group(random.Random(seed)) for seed in (3, 3, 4))
    assert first == again
    assert [each.caption for each in shown] == [each.caption for each in same]
    assert all(np.array_equal(one.image, two.image) for one, two in zip(shown, same, strict=True))
    assert not all(np.array_equal(one.image, two.image) for one, two in zip(shown, other, strict=True))


def test_a_named_background_is_the_one_that_is_shown() -> None:
    named = 0
    for _, group in groups():
        for shown in group:
            for caption in (shown.caption, shown.word_caption or ""):
                for colour in _BACKGROUND.findall(caption):
                    assert colour == shown.scene.background
                    if not shown.look and not shown.scene.effect and shown.scene.size != "large":
                        assert background_of(np.asarray(shown.image)) in (colour, None)
                        named += 1
    assert named > 50


def test_counts_and_sizes_in_captions_are_true() -> None:
    for _, group in groups():
        for shown in group:
            things = shown.scene.things
            for caption in (shown.caption, shown.word_caption or ""):
                assert ("two " in f" {caption}") <= (len(things) == 2 and things[0] == things[1])
                for size in ("small", "large"):
                    assert (f" {size} " in f" {caption} ") <= (shown.scene.size == size)


def test_a_word_stands_for_the_thing_that_a_group_shares_and_nothing_else_names_it() -> None:
    for group in of_kind(THING):
        shared = set.intersection(*(set(shown.scene.things) for shown in group))
        assert shared
        name = next(iter(shared)).object.replace("-", " ")
        for shown in group:
            assert shown.word_caption is not None
            assert shown.word_caption.count("{}") == 1
            alone = len({thing.object for thing in shown.scene.things}) == 1
            assert not alone or name not in shown.word_caption
            assert not shown.caption or name in shown.caption or not alone


def test_a_word_stands_for_a_look_that_different_things_share() -> None:
    for group in of_kind(LOOK):
        assert len({shown.look for shown in group}) == 1
        assert len({shown.scene.effect for shown in group}) == 1
        for shown in group:
            assert shown.word_caption is not None
            assert "in {} style" in shown.word_caption
            assert shown.scene.things[0].object.replace("-", " ") in shown.word_caption


def test_unrelated_pictures_have_no_word() -> None:
    assert all(shown.word_caption is None for group in of_kind(PLAIN) for shown in group)


def test_made_things_are_about_as_common_as_artwork() -> None:
    made = [any(thing.style == MADE for thing in shown.scene.things) for group in of_kind(THING) for shown in group]
    assert 0.35 < np.mean(made) < 0.85


def test_nothing_that_is_held_out_is_ever_shown_or_named() -> None:
    world = wide_world(demo_sprites())
    assert not set(world.all.objects) & set(HELD_OUT_OBJECTS)
    assert HELD_OUT_STYLE not in world.all.styles
    unseen = {name.replace("-", " ") for name in HELD_OUT_OBJECTS if not any(name in other for other in OBJECTS)}
    for _, group in groups():
        for shown in group:
            assert shown.scene.effect not in HELD_OUT_EFFECTS
            assert all(thing.style != HELD_OUT_STYLE for thing in shown.scene.things)
            assert all(thing.object not in HELD_OUT_OBJECTS for thing in shown.scene.things)
            assert not any(f" {name} " in f" {shown.caption} " for name in unseen)


def test_colours_of_backgrounds_are_those_of_the_world() -> None:
    assert {shown.scene.background for _, group in groups() for shown in group} == set(COLOURS)
