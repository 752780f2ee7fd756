"""The honest baseline: Textual Inversion one concept at a time, without packing and without waste.

The base model is loaded once, latents are cached, captions are tokenised once, and AdamW moves the learned rows only.
475 steps of 2 samples: where DVAR stops on average (Voronov et al. 2023, arXiv:2302.04841, "few iters").
"""

import torch
from torch import Tensor

from textinv.embedding import Embedding
from textinv.models.base import BaseModel, Tokens
from textinv.training import Work
from textinv.training.captions import tokenize_captions
from textinv.training.latents import PictureLatents, encode_work
from textinv.training.opening import first_rows, open_slot
from textinv.training.pack import fixed_losses

STEPS, SAMPLES = 475, 2


def learn_plainly(model: BaseModel, work: Work, learning_rate: float, steps: int = STEPS) -> Embedding:
    """Learn one concept with AdamW at a constant rate over all timesteps."""
    (encoder,) = model.encoder_names
    latents = encode_work(model, work)
    captions = tokenize_captions(model, work.spec.templates, work.spec.num_vectors)[encoder]
    slot, _ = open_slot(model, work, 0, {encoder: 1.0}, fixed_losses)
    rows = torch.nn.Parameter(first_rows(model, slot, fixed_losses)[encoder])
    optimizer = torch.optim.AdamW([rows], lr=learning_rate, weight_decay=1e-2)
    generator = torch.Generator(model.device).manual_seed(work.spec.seed)
    for _ in range(steps):
        loss = _loss(model, *_as_maps(latents), captions, {encoder: rows}, generator)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Embedding({encoder: rows.detach()})


def _as_maps(latents: PictureLatents) -> tuple[Tensor, Tensor]:
    """Mean and deviation (M, C, H, W) of latents of one size."""
    (size,) = set(latents.latent_sizes_M)
    return latents.mean_MCA.unflatten(-1, size), latents.std_MCA.unflatten(-1, size)


def _loss(
    model: BaseModel, mean: Tensor, std: Tensor, captions: Tokens, rows: dict[str, Tensor], generator: torch.Generator
) -> Tensor:
    def draw(high: int) -> Tensor:
        return torch.randint(0, high, (SAMPLES,), generator=generator, device=model.device)

    picture, caption, timesteps = draw(len(mean)), draw(len(captions.ids_BL)), draw(1000)
    shape = (SAMPLES, *mean.shape[1:])
    posterior, noise = (torch.randn(shape, generator=generator, device=model.device) for _ in range(2))
    latents = mean[picture] + std[picture] * posterior
    (encoder,) = model.encoder_names
    encoded = model.encode_text({encoder: Tokens(captions.ids_BL[caption], captions.row_BL[caption])}, rows)
    predicted = model.predict(model.process.noised(latents, noise, timesteps), timesteps, encoded)
    return torch.nn.functional.mse_loss(predicted, model.process.target(latents, noise, timesteps))
