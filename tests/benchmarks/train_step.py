"""What packing costs: a packed step against the bare forward and backward on the same batch."""

import time
from collections.abc import Callable
from statistics import median

import torch

from textinv.models.base import BaseModel, Conditioning, Tokens
from textinv.training import ConceptPack, Work
from textinv.training.pack import Batch, assemble, slot_losses
from textinv.training.pool import Pool
from textinv.training.slot import look_parts


def step_costs(model: BaseModel, works: list[Work], repeats: int) -> dict[str, float]:
    """Median seconds of a packed step, of bare UNet and text encoder, of the bare UNet, and of a look, in turns.

    Of the process on a CPU, which others may use as well; by the clock on a GPU.
    """
    pack = ConceptPack(model, len(works))
    for work in works:
        pack.add(work)
    num_vectors = max(work.spec.num_vectors for work in works)
    pool = pack.pool
    batch = assemble(pool, pack.slots, model.device)
    parts: dict[str, Callable[[], None]] = {
        "packed": pack.step,
        "bare": lambda: bare_step(model, pool, batch, len(works) * num_vectors),
        "unet": lambda: _bare_unet(model, batch),
        "look": lambda: _look(model, pool, pack, num_vectors),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            seconds[name].append(_timed(part, model.device))
    return {name: median(values[1:]) for name, values in seconds.items()}


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
    for part in look_parts(pack.slots, pack.slots):
        slot_losses(model, pool, assemble(pool, part, model.device, fixed=True), rows).tolist()


def bare_step(model: BaseModel, pool: Pool, batch: Batch, num_rows: int) -> None:
    rows = {
        name: torch.zeros(num_rows, width, device=model.device, requires_grad=True)
        for name, width in model.encoder_widths.items()
    }
    tokens = {
        name: Tokens(one.ids_BL[batch.captions_K], one.row_BL[batch.captions_K]) for name, one in pool.captions.items()
    }
    encoded = model.encode_text(tokens, rows).index(batch.caption_of_B)
    predicted = model.predict(batch.noise_BCHW, batch.timesteps_B, encoded)
    torch.autograd.grad(predicted.square().mean(), list(rows.values()))


def _bare_unet(model: BaseModel, batch: Batch) -> None:
    width = sum(model.encoder_widths.values())
    hidden = torch.zeros(len(batch.noise_BCHW), model.window, width, device=model.device, requires_grad=True)
    predicted = model.predict(batch.noise_BCHW, batch.timesteps_B, Conditioning(hidden))
    torch.autograd.grad(predicted.square().mean(), hidden)
