"""How samples are masked and padded."""

import math
from collections.abc import Callable

import torch

from textinv.models.base import BaseModel
from textinv.models.room import Room
from textinv.training import ConceptPack, Work
from textinv.training.batch import each_forward, joined, sample_losses
from textinv.training.streams import padded_size


def test_masked_positions_do_not_count() -> None:
    predicted, target = torch.zeros(2, 4, 8, 8), torch.ones(2, 4, 8, 8)
    target[:, :, :, 4:] = 100
    weight = torch.zeros(2, 8, 8)
    weight[:, :, :4] = 1
    assert sample_losses(predicted, target, weight).tolist() == [1.0, 1.0]
    ones = torch.ones(2, 8, 8)
    assert torch.allclose(sample_losses(predicted, target, ones), sample_losses(predicted, target, None))


def test_padding_is_at_most_a_third_and_sizes_are_few() -> None:
    sizes = [padded_size(count) for count in range(1, 513)]
    assert all(count <= size <= math.ceil(count * 1.5) for count, size in enumerate(sizes, 1))
    assert len(set(sizes)) <= 20


def test_samples_with_one_caption_share_it_and_padding_weighs_nothing(
    tiny: BaseModel, works: Callable[..., Work]
) -> None:
    pack = ConceptPack(tiny, 3)
    two = {"picture_list": works("any").pictures[:2], "templates": ("a {}",), "resolution_px": 32}
    slots = [pack.add(works(f"c{index}", samples_per_step=count, **two)) for index, count in enumerate((4, 2, 1))]
    pack.remove(slots[1])
    samples = joined(pack.pool, pack.slots)
    (batch,) = each_forward(pack.pool, samples, Room(8), tiny.device, lambda batch: batch)
    assert batch.captions_K[batch.caption_of_B].tolist() == [0, 0, 0, 0, 1, 0]
    assert batch.share_B.tolist() == [0.25] * 4 + [1.0, 0.0]
    assert batch.slot_of_B.tolist() == [0, 0, 0, 0, 2, 0]
    assert batch.latents_B[4] in (2, 3)
    noise_BCA = slots[2].training_draw().noises_2BCA[1]
    assert torch.equal(batch.noise_BCHW[4:5].flatten(2), torch.from_numpy(noise_BCA))
