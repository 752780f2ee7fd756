"""Pictures are learned in their own shape: one forward for each, and nothing else changes by it."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from tests.training.device_checks import three_portraits_and_two_landscapes
from textinv.generation import GenerateRequest
from textinv.generation.draw import generate
from textinv.images.fit import kept_share, shapes, trained_size
from textinv.models.base import BaseModel
from textinv.models.room import Room
from textinv.placeholders import ConceptRef
from textinv.training import ConceptPack, Work
from textinv.training.batch import each_forward, joined
from textinv.training.train import Collected, WorkList, learn, train_pack

SDXL_SHAPES = """512x2048 512x1984 512x1920 512x1856 576x1792 576x1728 576x1664 640x1600 640x1536 704x1472 704x1408
704x1344 768x1344 768x1280 832x1216 832x1152 896x1152 896x1088 960x1088 960x1024"""
"""Podell et al. 2023, arXiv:2307.01952, appendix I: the half of it that is taller than wide."""


def test_the_shapes_at_1024_px_are_those_that_sdxl_was_trained_in() -> None:
    tall = [tuple(map(int, shape.split("x"))) for shape in SDXL_SHAPES.split()]
    assert set(shapes(1024)) == {(1024, 1024), *tall, *((height, width) for width, height in tall)}
    assert shapes(1024)[0] == (1024, 1024)


@pytest.mark.parametrize("side", [32, 64, 256, 512, 768, 1024])
def test_a_picture_takes_the_shape_that_cuts_least_of_about_the_squares_area(side: int) -> None:
    assert trained_size((700, 700), side, "fit") == (side, side)
    assert trained_size((700, 400), side, "center") == (side, side)
    for picture in ((600, 800), (800, 600), (100, 900), (1920, 1080)):
        width, height = trained_size(picture, side, "fit")
        assert 0.9 <= width * height / side**2 <= 1
        assert all(kept_share(picture, (width, height)) >= kept_share(picture, shape) for shape in shapes(side))
    assert kept_share((600, 800), trained_size((600, 800), side, "fit")) >= 0.8, "a square keeps 0.75"


@pytest.fixture
def mixed(works: Callable[..., Work]) -> Callable[..., Work]:
    def make(name: str = "mixed", **changes: object) -> Work:
        fields = {"crop": "fit", "resolution_px": 32, "max_steps": 4, "flip": True}
        return works(name, picture_list=three_portraits_and_two_landscapes(), **{**fields, **changes})

    return make


def test_each_shape_is_a_forward_of_its_own(tiny: BaseModel, mixed: Callable[..., Work]) -> None:
    pack = ConceptPack(tiny, 1)
    slot = pack.add(mixed(samples_per_step=6))
    assert set(slot.latents.latent_sizes_M) == {(10, 6), (6, 10)}
    assert slot.latents.sizes_M6[0].tolist() == [40, 24, 0, 0, 40, 24]
    batches = each_forward(pack.pool, joined(pack.pool, pack.slots), Room(8), tiny.device, lambda batch: batch)
    assert sorted(tuple(batch.noise_BCHW.shape[-2:]) for batch in batches) == [(6, 10), (10, 6)]
    assert sum(float(batch.share_B.sum()) for batch in batches) == pytest.approx(1)
    again = each_forward(pack.pool, joined(pack.pool, pack.slots), Room(8), tiny.device, lambda batch: batch)
    assert torch.equal(batches[0].noise_BCHW, again[0].noise_BCHW)


def test_a_portrait_trains_as_it_does_alone_whatever_shapes_are_beside_it(
    tiny: BaseModel, mixed: Callable[..., Work], works: Callable[..., Work]
) -> None:
    """Independence, resuming and splitting, with mixed shapes."""
    alone = learn(tiny, [mixed()], num_slots=1).concepts["mixed"].embedding.rows["text_encoder"]
    beside = [works("square", "teal", resolution_px=32, seed=4, num_vectors=2, max_steps=6), mixed()]
    collected = Collected()
    train_pack(
        tiny,
        WorkList(beside),
        collected,
        num_slots=2,
        should_drain=lambda: "mixed" in collected.checkpoints,
        checkpoint_every_s=0.0,
    )
    rest = dataclasses.replace(mixed(), checkpoint=collected.checkpoints["mixed"])
    pack = ConceptPack(tiny, 2, Room(1))
    slot = pack.add(rest)
    assert 0 < slot.step < 4
    while slot.step < 4:
        pack.step()
    rows = pack._tables.current()["text_encoder"][slot.index, :1]
    assert torch.allclose(rows, alone, rtol=1e-4, atol=1e-6)


def test_a_concept_of_portraits_and_landscapes_is_drawn_in_both_shapes(
    tiny: BaseModel, mixed: Callable[..., Work]
) -> None:
    learned = learn(tiny, [mixed()], num_slots=1).concepts["mixed"].embedding
    for width, height in ((24, 40), (40, 24)):
        request = GenerateRequest("a <mixed>", width_px=width, height_px=height, num_inference_steps=2)
        (image,) = generate(tiny, request, {ConceptRef("mixed"): learned})
        assert image.pixels.shape == (height, width, 3)
