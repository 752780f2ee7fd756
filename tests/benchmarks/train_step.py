"""What packing costs: a packed step against the bare forward and backward on the same batch."""

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

from textinv.models.base import BaseModel, Conditioning
from textinv.models.prompt import HIDDEN
from textinv.models.room import Room
from textinv.training import ConceptPack, Work
from textinv.training.batch import Batch, Pool, each_forward, joined, slot_losses
from textinv.training.slot import Slot


def step_costs(model: BaseModel, works: list[Work], repeats: int) -> dict[str, float]:
    """Median seconds of a packed step, also in two forwards, of bare UNet and text encoder, of the bare UNet, and of a
    look, in turns.

    Of the process on a CPU, which others may use as well; by the clock on a GPU.
    """
    num_samples = sum(work.spec.samples_per_step for work in works)
    pack, split = (ConceptPack(model, len(works), Room(most)) for most in (num_samples, (num_samples + 1) // 2))
    for work in works:
        pack.add(work)
        split.add(work)
    num_vectors = max(work.spec.num_vectors for work in works)
    pool = pack.pool
    batch = whole_batch(model, pool, pack.slots)
    parts: dict[str, Callable[[], None]] = {
        "packed": pack.step,
        "split": split.step,
        "bare": lambda: bare_step(model, pool, batch, len(works) * num_vectors),
        "unet": lambda: _bare_unet(model, batch),
        "look": lambda: _look(model, pool, pack, num_vectors),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            seconds[name].append(_timed(part, model.device))
    return {name: median(values[1:]) for name, values in seconds.items()}


def whole_batch(model: BaseModel, pool: Pool, slots: Sequence[Slot]) -> Batch:
    """What the slots draw for their step, as one forward."""
    samples = joined(pool, slots)
    (batch,) = each_forward(pool, samples, Room(len(samples.latents_B)), model.device, lambda batch: batch)
    return batch


def _timed(part: Callable[[], None], device: torch.device) -> float:
    if device.type != "cuda":
        begun = time.process_time()
        part()
        return time.process_time() - begun
    begun = time.perf_counter()
    for _ in range(5):  # the next step is prepared while this one runs
        part()
    torch.cuda.synchronize(device)
    return (time.perf_counter() - begun) / 5


@torch.no_grad()
def _look(model: BaseModel, pool: Pool, pack: ConceptPack, num_vectors: int) -> None:
    """All slots look at their fixed batches, as `ConceptPack.look` does when they are due."""
    rows = {
        name: torch.zeros(len(pack.slots), num_vectors, width, device=model.device)
        for name, width in model.encoder_widths.items()
    }
    samples = joined(pool, pack.slots, fixed=True)
    for losses in each_forward(pool, samples, pack.room, model.device, lambda at: slot_losses(model, pool, at, rows)):
        losses.tolist()


def bare_step(model: BaseModel, pool: Pool, batch: Batch, num_rows: int) -> None:
    rows = {
        name: torch.zeros(num_rows, width, device=model.device, requires_grad=True)
        for name, width in model.encoder_widths.items()
    }
    tokens = {name: one.index(batch.captions_K) for name, one in pool.captions.items()}
    encoded = model.encode_text(tokens, rows).index(batch.caption_of_B)
    predicted = model.predict(batch.noise_BCHW, batch.timesteps_B, encoded)
    torch.autograd.grad(predicted.square().mean(), list(rows.values()))


def _bare_unet(model: BaseModel, batch: Batch) -> None:
    width = sum(model.encoder_widths.values())
    hidden = torch.zeros(len(batch.noise_BCHW), model.window, width, device=model.device, requires_grad=True)
    predicted = model.predict(batch.noise_BCHW, batch.timesteps_B, Conditioning({HIDDEN: hidden}))
    torch.autograd.grad(predicted.square().mean(), hidden)
