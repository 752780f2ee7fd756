"""Looks are points of one continuous space, from which the neighbourhoods of the held-out effects are cut out."""

import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from textinv.demo.artwork import demo_sprites
from textinv.demo.held_out_styles import HELD_OUT_EFFECTS
from textinv.demo.making.drawn_looks import describe_look, near_held_out, sample_look
from textinv.demo.making.looks import Look, redraw
from textinv.demo.world import Scene, Thing, draw

BLUEPRINT = Look(palette=((25, 60, 150), (225, 240, 255)), only_outlines=True, line_gain=3.5)
SCAN_LINES = Look(hatch_px=8, hatch_share=3 / 8, hatch_strength=0.75)
GLITCH = Look(shift_px=(-5, 0))
MOSAIC = Look(cell_px=8, gap=1.0)
SEPIA = Look(palette=((60, 30, 10), (170, 120, 70), (250, 230, 190)))


def picture() -> Image.Image:
    return draw(Scene((Thing("owl", "fluent-emoji-flat"),), "green"), demo_sprites())


def distance(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean())


def test_the_plain_look_leaves_a_picture_as_it_is() -> None:
    assert distance(redraw(picture(), Look()), picture()) == 0


@pytest.mark.parametrize(
    ("name", "at", "near", "far"),
    [
        ("blur_px", 1.0, 1.1, 2.0),
        ("line_px", 0.8, 0.85, 1.6),
        ("hatch_deg", 30.0, 30.5, 60.0),
        ("hatch_strength", 0.5, 0.52, 0.9),
        ("grain", 10.0, 10.5, 30.0),
    ],
)
def test_near_looks_draw_nearly_the_same(name: str, at: float, near: float, far: float) -> None:
    look = Look(line_gain=4, hatch_px=6, **{name: at})
    here, beside, away = (redraw(picture(), replace(look, **{name: value})) for value in (at, near, far))
    assert 0 < distance(here, beside) < 0.5 * distance(here, away)


@pytest.mark.parametrize("look", [BLUEPRINT, SCAN_LINES, GLITCH, MOSAIC, SEPIA])
def test_a_look_that_does_what_a_held_out_effect_does_is_refused(look: Look) -> None:
    assert near_held_out(look)


def test_no_drawn_look_does_to_another_picture_what_a_held_out_effect_does_to_it() -> None:
    rng, plain = random.Random(0), picture()
    effects = [(effect(plain), distance(effect(plain), plain)) for effect in HELD_OUT_EFFECTS.values()]
    for _ in range(24):
        drawn = redraw(plain, sample_look(rng))
        assert all(distance(drawn, held_out) > 0.25 * moved for held_out, moved in effects)


def test_a_look_is_described_by_what_it_does() -> None:
    rng = random.Random(0)
    assert describe_look(Look(palette=((255, 0, 0), (0, 0, 255))), rng) == "red and blue duotone"
    assert describe_look(Look(hatch_px=5, hatch_deg=90), rng) == "lined"
    assert describe_look(Look(hatch_px=5, hatch_deg=40), rng) == "hatched"
    assert describe_look(Look(cell_px=5), rng) == "pixel art"
    assert all(describe_look(sample_look(rng), rng) for _ in range(8))
