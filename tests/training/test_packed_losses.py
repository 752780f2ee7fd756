"""One forward for all slots: whose gradient reaches whom, and what is left as it was."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch

from textinv.models.base import BaseModel
from textinv.models.room import Room
from textinv.training import ConceptPack, Work
from textinv.training.batch import Batch, Pool, each_forward, joined, slot_losses
from textinv.training.slot import Slot
from textinv.training.train import learn

MakeWork = Callable[..., Work]


def whole_batch(model: BaseModel, pool: Pool, slots: Sequence[Slot]) -> Batch:
    """What the slots draw for their step, as one forward."""
    (batch,) = each_forward(pool, joined(pool, slots), Room(64), model.device, lambda batch: batch)
    return batch


def test_the_loss_of_one_slot_has_no_gradient_by_another_slots_rows(model: BaseModel, works: MakeWork) -> None:
    pack = ConceptPack(model, 3)
    for index, colour in enumerate(("red", "teal", "yellow")):
        pack.add(works(colour, colour, num_vectors=2, samples_per_step=1 + index, class_word="fox", context_weight=0.1))
    pool = pack.pool
    batch = whole_batch(model, pool, pack.slots)
    rows = torch.randn(3, 2, model.encoder_widths["text_encoder"]).requires_grad_()
    losses = slot_losses(model, pool, batch, {"text_encoder": rows})
    for slot in range(3):
        (gradient,) = torch.autograd.grad(losses[slot], rows, retain_graph=True)
        assert gradient[slot].abs().max() > 0
        assert all(gradient[other].abs().max() == 0 for other in range(3) if other != slot)


def test_a_packed_loss_is_the_mean_over_the_slots_own_samples(model: BaseModel, works: MakeWork) -> None:
    pack = ConceptPack(model, 2)
    pack.add(works("one", samples_per_step=3))
    pack.add(works("two", "teal", samples_per_step=2))
    rows = {"text_encoder": torch.randn(2, 1, model.encoder_widths["text_encoder"])}
    together = slot_losses(model, pack.pool, whole_batch(model, pack.pool, pack.slots), rows)
    for slot in pack.slots:
        own = Pool.of([slot], 1)
        alone = slot_losses(model, own, whole_batch(model, own, [slot]), rows)
        assert torch.allclose(alone[slot.index], together[slot.index], rtol=1e-4)
        assert alone[1 - slot.index] == 0


def frozen_tensors(model: BaseModel) -> dict[str, torch.Tensor]:
    """Every parameter and buffer of the base, by where it lies."""
    found: dict[str, torch.Tensor] = {}
    parts = [*vars(model).values(), *(encoder.network for encoder in vars(model)["_encoders"].values())]
    for index, part in enumerate(parts):
        if isinstance(part, torch.nn.Module):
            found |= {f"{index}.{key}": tensor for key, tensor in part.state_dict().items()}
    return found


def test_frozen_weights_and_vocabulary_are_bit_identical_after_training(model: BaseModel, works: MakeWork) -> None:
    before = {name: tensor.clone() for name, tensor in frozen_tensors(model).items()}
    assert len(before) > 100
    learn(model, [works("one", max_steps=3, flip=True)], num_slots=1)
    after = frozen_tensors(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert not any(tensor.requires_grad for tensor in after.values())


def test_transparent_parts_of_pictures_weigh_nothing_also_in_their_mirror_images(
    model: BaseModel, works: MakeWork
) -> None:
    work = works("masked", flip=True, resolution_px=64)
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[:, 32:] = 0
    masked = [dataclasses.replace(picture, alpha=alpha) for picture in work.pictures]
    latents = ConceptPack(model, 1).add(dataclasses.replace(work, pictures=masked)).latents
    weights = latents.weight_MA.reshape(-1, *latents.latent_sizes_M[0])
    assert weights.shape == (6, 16, 16)
    assert weights[:3, :, :7].min() == 1
    assert weights[:3, :, 9:].max() == 0
    assert torch.equal(weights[3:], weights[:3].flip(-1))
